"""A schema file that a person names on the command line."""

from pathlib import Path

from api.cli.terminal import CommandFailed, read_file
from scoring.errors import SchemaInvalid
from scoring.schema import MAX_BYTES, Schema, parse_schema


def load_schema(path: Path) -> Schema:
    """The schema in a file; raises `CommandFailed` where it cannot be read or breaks the grammar."""
    try:
        return parse_schema(read_file(path, max_bytes=MAX_BYTES))
    except SchemaInvalid as refused:
        raise CommandFailed(f"{path}: {refused}") from None
