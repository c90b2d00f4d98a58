"""docs/reason-codes.md says what the registry says."""

from pathlib import Path

from scoring.reasons import load_registry

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reason-codes.md"


def test_the_page_lists_every_code_with_its_text() -> None:
    rows = [line.strip("| \n").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert {code.strip("`"): text for code, text in rows} == dict(load_registry().texts)
