"""Rows of data in a CSV file: one header, a text a column, an empty text for an absent value."""

import csv
import gzip
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from scoring.errors import TrainingDataInvalid

Row = Mapping[str, str]


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV file (UTF-8, a byte order mark allowed), or one of gzip named .gz; raises TrainingDataInvalid."""
    try:
        open_text = gzip.open if path.suffix == ".gz" else open
        with open_text(path, "rt", encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            if not header or len(set(header)) != len(header):
                raise TrainingDataInvalid
            rows = []
            for record in reader:
                if not record:
                    continue  # a blank line
                if len(record) != len(header):
                    raise TrainingDataInvalid
                rows.append(dict(zip(header, record, strict=True)))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        raise TrainingDataInvalid from error
    return rows


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write rows of the same columns, in the first row's order; raises TrainingDataInvalid where they differ."""
    if not rows:
        raise TrainingDataInvalid
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            if row.keys() != rows[0].keys():
                raise TrainingDataInvalid
            writer.writerow(row)
