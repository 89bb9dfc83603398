"""Numbers with their nouns: one helper, and no text with "1 rows"."""

from __future__ import annotations

import re
from pathlib import Path

from ftkit.counts import counted, verb

PACKAGE = Path(__file__).parents[1] / "ftkit"
LOOSE = re.compile(
    r"\{(?:count_text\([^{}]*\)|len\([^{}]*\)(?::,)?)\} (?:rows|groups|questions|answers|requests|examples)\b"
)
"""A count in a text with a noun that does not follow it."""


def test_counts() -> None:
    assert (counted(1, "row"), counted(0, "row"), counted(1200, "row")) == ("1 row", "0 rows", "1,200 rows")
    assert (verb(1, "is", "are"), verb(0, "is", "are")) == ("is", "are")


def test_texts_count_by_the_helper() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}: {match[0]}"
        for path in PACKAGE.rglob("*.py")
        if "server" not in path.parts
        for match in LOOSE.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []
