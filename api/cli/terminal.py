"""What every command shares with the person in front of it: reports, progress, and refusals of one line."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from decimal import Context, Decimal, DecimalException, Inexact
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

PROGRESS_AFTER_S = 2.0
_EXACT = Context(traps=[Inexact])

#: The exit codes: what was asked did not come true, and what was asked makes no sense.
FAILED, USAGE = 1, 2


class CommandFailed(Exception):
    """Ends a command with one line on standard error; the message is for a person and holds no secret."""

    def __init__(self, message: str, *, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def print_json(value: Mapping[str, Any]) -> None:
    """The one JSON document that a command with ``--json`` writes to standard output."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def print_rows(rows: Sequence[tuple[str, object]], *, indent: int = 2) -> None:
    """Names and values in two columns; a value that is None is left out."""
    shown = [(name, value) for name, value in rows if value is not None]
    width = max((len(name) for name, _ in shown), default=0) + 2
    for name, value in shown:
        print(f"{'':{indent}}{name:<{width}}{value}")


def printable(text: str | None) -> str | None:
    """A text that somebody else wrote, without what a terminal would obey."""
    return None if text is None else "".join(character if character.isprintable() else "?" for character in text)


def print_problem(message: str) -> None:
    """One line on standard error."""
    print(f"credence: {' '.join(message.split())}", file=sys.stderr)


def format_epsilon(epsilon_micro: int) -> str:
    """Millionths of an epsilon as a decimal number."""
    return f"{epsilon_micro / 1_000_000:.6f}".rstrip("0").rstrip(".")


def parse_exact(text: str, places: int, option: str) -> int:
    """A positive decimal number of at most so many places, as a whole number of the last of them."""
    try:
        scaled = Decimal(text).scaleb(places, _EXACT)
        if scaled.is_finite() and 0 < scaled < 10**15 and scaled == scaled.to_integral_value():
            return int(scaled)
    except DecimalException:
        pass
    raise CommandFailed(f"{option} is a positive decimal number of at most {places} places.", exit_code=USAGE)


def read_file(path: Path, *, max_bytes: int, too_large: int = USAGE) -> bytes:
    """The content of a file; raises `CommandFailed` where it cannot be read, or is larger with `too_large` for code."""
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror}.", exit_code=USAGE) from None
    if len(data) > max_bytes:
        raise CommandFailed(f"{path} is larger than {max_bytes} bytes.", exit_code=too_large)
    return data


class LateProgress:
    """A progress bar on standard error for work that turns out to take longer than two seconds, on a terminal only."""

    def __init__(self) -> None:
        self._started_s = time.monotonic()
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, stage: str, done: int, total: int) -> None:
        """Say how far a stage has come; the first call past two seconds draws the bar."""
        if self._bar is None:
            if time.monotonic() - self._started_s < PROGRESS_AFTER_S or not sys.stderr.isatty():
                return
            columns = (TextColumn("  {task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task(stage, total=total)
        self._bar.update(self._tasks[stage], completed=done, total=total)
