"""One row of a dataset, as training and evaluation see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ftkit.data.unusable_value import UnusableValue, require_columns
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import DataError, Place
from ftkit.task import Message

__all__ = ["Row", "no_answer_after"]

_CONVERSATION = ("messages", "tools", "parallel_tool_calls")
"""Columns of the prompt, which graders do not read."""


def no_answer_after(role: str) -> str:
    """Say that a conversation ends without an answer.

    Args:
        role: of its last turn.

    Returns:
        The message of the error.
    """
    return (
        f"the conversation ends with a turn of role {role!r}, so there is no answer to learn; add the assistant's "
        "answer, or delete the row"
    )


@dataclass(frozen=True, slots=True)
class Row:
    """A prompt and, where the data has one, the wanted answer; of a preference also a worse answer."""

    id: str
    """The value of the ``id`` column when there is one, else 16 hex digits over the row's content."""
    place: Place
    """File and line."""
    columns: Mapping[str, Any]
    """The row as it was read, under the file's own column names."""
    prompt: list[Message]
    """What the model is asked: everything before the final assistant turn. Empty for a plain text."""
    target: Any | None
    """The wanted answer as a plain value: a dict for JSON outputs, a str for text and choices; None when absent."""
    completion: Message | None
    """The wanted assistant turn; it may hold ``tool_calls`` and a ``weight``. None when the row has no answer."""
    tools: list[dict[str, Any]] | None
    """The functions the model may call, in OpenAI's form."""
    group: str | None
    """What a split keeps together (a patient, a document), from the ``group`` column; None for null."""
    parallel_tool_calls: bool | None = None
    """Whether one turn may call several functions; None if the row does not say."""
    rejected: Message | None = None
    """The worse answer to the prompt, of a preference, whose ``completion`` is the better one; or the answer of an
    unpaired preference whose label is false, which has no ``completion``. None for a demonstration."""
    margin: float | None = None
    """By how much ``completion`` is better than ``rejected``, on any scale; None if unknown."""
    label: bool | None = None
    """Whether the row's answer is a good one, of an unpaired preference (for KTO); None if unknown. Of these rows a
    good answer is the ``completion``, and a bad one is ``rejected``."""

    text: str | None = None
    """The plain text of a row that is no conversation, for continued pre-training."""

    @property
    def messages(self) -> list[Message]:
        """Prompt and completion: what training sees. Earlier assistant turns keep their ``weight``."""
        return self.prompt if self.completion is None else [*self.prompt, self.completion]

    def require_answer(self) -> Message:
        """Return the wanted answer of a row that must have one.

        Returns:
            :attr:`completion`.

        Raises:
            DataError: the row has no answer, or a label that says whether it is a good one, which only losses on
                unpaired answers can honour.
        """
        if self.label is not None:
            raise DataError(
                f"the row is labelled as {'a good' if self.label else 'a bad'} answer. KTO learns from rows that all "
                "have such a label; as a demonstration every answer would be learned as a good one. Train with ft.KTO, "
                "leave out the bad answers and the column, or rename the column if it is something else",
                place=self.place,
                field=next((name for name in ("label", "kto_tag") if name in self.columns), None),
            )
        if self.completion is None:
            if any(turn["role"] == "assistant" for turn in self.prompt):
                raise DataError(
                    no_answer_after(self.prompt[-1]["role"]),
                    place=self.place,
                    field=f"messages[{len(self.prompt) - 1}]",
                    problem="no_answer",
                )
            raise DataError(
                ErrorText(
                    "the row has no answer to learn; leave it out, or name the answer's column with ",
                    Argument("target"),
                ),
                place=self.place,
                problem="no_answer",
            )
        return self.completion

    def require_text(self) -> str:
        """Return the plain text of a row that must be one.

        Returns:
            :attr:`text`.

        Raises:
            DataError: the row is a conversation.
        """
        if self.text is None:
            raise DataError("the row is a conversation, not a plain text", place=self.place)
        return self.text

    @property
    def labelled_answer(self) -> Message:
        """The answer of an unpaired preference, good or bad.

        Raises:
            DataError: the row has no label.
        """
        answer = self.completion if self.label else self.rejected
        if self.label is None or answer is None:
            raise DataError("the row does not say whether its answer is a good one", place=self.place, field="label")
        return answer

    @property
    def item(self) -> dict[str, Any]:
        """The columns that graders read: all but the conversation, and those whose value JSON cannot hold.

        ``target`` is the wanted answer, where there is one and no column has this name.
        """
        columns = {
            name: value
            for name, value in self.columns.items()
            if name not in _CONVERSATION and not isinstance(value, UnusableValue)
        }
        return columns if self.target is None or "target" in columns else {**columns, "target": self.target}

    def item_to_write(self) -> dict[str, Any]:
        """Return :attr:`item` for a file, which must not lack a column.

        Returns:
            The columns.

        Raises:
            DataError: JSON cannot hold the value of a column.
        """
        require_columns(self.columns, self.columns, self.place)
        return self.item

    @property
    def rejected_messages(self) -> list[Message]:
        """Prompt and the worse answer.

        Raises:
            DataError: the row is a demonstration: it has no worse answer.
        """
        if self.rejected is None:
            raise DataError("the row is a demonstration, not a preference: it has no rejected answer", place=self.place)
        return [*self.prompt, self.rejected]
