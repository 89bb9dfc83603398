"""What a rule found."""

from __future__ import annotations

from dataclasses import dataclass

from ftkit.results.lint_report import Severity

__all__ = [
    "Found",
]


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule yields. Cheap, because there may be a million.

    Attributes:
        message: what is wrong and what to do, one sentence without the place.
        path: where in the row: a column, a message's field, or the JSON path in the answer.
        excerpt: the text to show under the message.
        row: number of the row in the whole that is linted; filled in for rules that look at one row, and None for a
            finding about the data as a whole.
        others: numbers of rows that have to do with it.
        severity: instead of the rule's own.
        fixable: whether this one can be mended, of a rule whose findings can.
    """

    message: str
    path: str | None = None
    excerpt: str | None = None
    row: int | None = None
    others: tuple[int, ...] = ()
    severity: Severity | None = None
    fixable: bool = True
