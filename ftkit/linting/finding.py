"""What a rule found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["SEVERITIES", "Finding", "Found", "Severity"]

Severity = Literal["error", "warning", "info"]
"""``error``: the row cannot be trained on, or what is measured on it is void. ``warning``: it teaches something that
was hardly meant. ``info``: worth knowing."""

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


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


class Finding(BaseModel):
    """What was found, where."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    code: str
    name: str
    severity: Severity
    message: str
    split: str | None = None
    """``train`` or ``test``; None for a finding about the data as a whole."""
    file: str | None = None
    line: int | None = None
    row: str | None = None
    """The row's id, None where it could not be read."""
    path: str | None = None
    """A column, a message's field, or the JSON path in the answer."""
    excerpt: str | None = None
    related: tuple[str, ...] = ()
    """Places of other rows that have to do with it, as ``file:line``."""
    fixable: bool = False

    @property
    def place(self) -> str:
        """``file:line``, or the file alone."""
        return f"{self.file}:{self.line}" if self.line is not None else (self.file or "(all rows)")
