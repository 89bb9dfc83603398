"""A dataset format: dictations as a clinic's recorder exports them.

``{"dictation": "…", "speaker": "Dr Okafor", "letter": "…"}``: what the doctor said, and the letter
that was typed from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from ftkit.data import Row
from ftkit.data.formats import Conversation, Format, RawRow, read_text, text_content
from ftkit.errors import DataError

__all__ = ["Dictation"]


class Dictation(Format):
    """The dictation is the question, the letter is the answer; the speaker is the name of the user's turn."""

    name = "clinic_dictation"
    columns = ("dictation", "speaker", "letter")
    required = "dictation and letter"
    answer_field = "letter"

    @override
    def matches(self, columns: Mapping[str, Any]) -> bool:
        return "dictation" in columns and "letter" in columns

    @override
    def read(self, row: RawRow) -> Conversation:
        letter = read_text(row, "letter")
        if not letter.strip():
            raise DataError("the letter is empty", place=row.place, field="letter", problem="empty_answer")
        question: Any = {"role": "user", "content": read_text(row, "dictation")}
        if row.columns.get("speaker"):
            question["name"] = read_text(row, "speaker")
        return Conversation([question, {"role": "assistant", "content": letter}])

    @override
    def write(self, row: Row) -> dict[str, Any]:
        if len(row.prompt) != 1:
            raise DataError("a dictation is one turn, without a system message", place=row.place, field="messages")
        line = {"dictation": text_content(row.prompt[0]), "letter": text_content(row.require_answer())}
        return {**line, "speaker": row.prompt[0]["name"]} if "name" in row.prompt[0] else line
