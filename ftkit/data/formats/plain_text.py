"""``text``: plain text to be learned as it is, for continued pre-training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import override

from ftkit.data.formats.base import Conversation, Format, RawRow, read_text
from ftkit.data.row import Row
from ftkit.errors import DataError

__all__ = ["PlainText"]

_OTHER_FORMS = frozenset(
    (
        *("messages", "conversations", "conversation", "prompt", "completion", "chosen", "rejected", "instruction"),
        *("input", "output", "question", "answer", "response", "label", "labels", "target", "summary"),
    )
)
"""Columns beside which a text is more often an input of a task than something to learn. ``format="text"`` reads it."""


class PlainText(Format):
    """One document a row. Files that end in ``.txt`` or ``.md`` are one row each."""

    name = "text"
    columns = ("text",)
    required = "text, alone"
    answer_field = "text"
    holds_texts: ClassVar[bool] = True

    @override
    def matches(self, columns: Mapping[str, Any]) -> bool:
        return isinstance(columns.get("text"), str) and not _OTHER_FORMS.intersection(columns)

    @override
    def read(self, row: RawRow) -> Conversation:
        text = read_text(row, "text")
        if not text.strip():
            raise DataError("empty; there is nothing to learn", place=row.place, field="text", problem="empty_answer")
        return Conversation([], text=text)

    @override
    def write(self, row: Row) -> dict[str, Any]:
        return {"text": row.require_text()}
