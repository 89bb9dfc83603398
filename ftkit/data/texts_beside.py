"""Texts in columns beside a conversation that belong to it: a system message, a thought, what a question is about."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from ftkit.data.formats import REASONING, RawRow, read_system, text_content
from ftkit.data.unusable_value import UnusableValue
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import DataError
from ftkit.task import Message

__all__ = ["CONTEXT", "INSTRUCTIONS", "SYSTEM", "THOUGHT", "is_empty", "read_systems", "read_thought", "refuse_texts"]

SYSTEM = ("system", "system_prompt", "system_message")
"""Columns with the text of the system message."""
THOUGHT = "reasoning_content"
"""The column with the thought before the answer, as DeepSeek's API and vLLM name it."""
_OTHER_THOUGHTS = tuple(name for name in REASONING if name != THOUGHT)
CONTEXT = "context"
INSTRUCTIONS = "instructions"
"""The system message of a request to OpenAI's Responses API."""
"""Dolly's column of what a question is about."""
_EMPTY_TEXTS = ("", "[]", "{}", "null")


def is_empty(value: Any) -> bool:
    """Say whether a column holds nothing, also as a cell of a CSV file.

    Args:
        value: its value.

    Returns:
        Whether it is empty.
    """
    return value in (None, "", [], {}) or (isinstance(value, str) and value.strip() in _EMPTY_TEXTS)


def read_systems(messages: list[Message], row: RawRow, names: Collection[str]) -> None:
    """Insert the text of a column such as ``system_prompt`` as the first message of a conversation.

    Args:
        messages: the conversation, which is changed.
        row: the row.
        names: columns to leave alone.

    Raises:
        DataError: the conversation, or another column, has another system message, or the column holds no text.
    """
    for name in SYSTEM:
        value = row.columns.get(name)
        if name in names or value is None:
            continue
        if isinstance(value, UnusableValue):
            raise value.error(row.place)
        read_system(messages, value, row.place, name)


def read_thought(completion: Message, row: RawRow, names: Collection[str]) -> None:
    """Give an answer the thought that stands in a column.

    Args:
        completion: the answer, which is changed.
        row: the row.
        names: columns that the format or an option reads.

    Raises:
        DataError: the answer has another thought, or the column holds no text.
    """
    value = None if THOUGHT in names else row.columns.get(THOUGHT)
    if is_empty(value):
        return
    if isinstance(value, UnusableValue):
        raise value.error(row.place)
    if not isinstance(value, str):
        raise DataError("must be the text of a thought", place=row.place, field=THOUGHT)
    said = [str(completion.get(key) or "").strip() for key in REASONING]
    if value.strip() in said or value.strip() in (text_content(completion) or ""):
        return  # said already
    if any(said):
        raise DataError("the answer has a thought of its own, which differs", place=row.place, field=THOUGHT)
    completion["reasoning_content"] = value


def refuse_texts(row: RawRow, messages: Sequence[Message], names: Collection[str], *, is_pair: bool) -> None:
    """Refuse a row with a text in a column that other tools make a part of the conversation.

    Args:
        row: the row.
        messages: the conversation. A text that it contains is said already.
        names: columns to leave alone.
        is_pair: whether the row is a preference.

    Raises:
        DataError: there is one.
    """
    said = [str(text) for turn in messages for text in (text_content(turn), *(turn.get(key) for key in REASONING))]
    for name in (*_OTHER_THOUGHTS, *([THOUGHT] if is_pair else []), CONTEXT, INSTRUCTIONS):
        value = None if name in names else row.columns.get(name)
        if not isinstance(value, str) or not value.strip() or any(value.strip() in text for text in said):
            continue
        if name == CONTEXT:
            if "messages" in names or "conversations" in names:
                continue  # Dolly's form has texts
            raise DataError(
                ErrorText(
                    "a text beside the question, which is not read. If it belongs to the prompt, let a task write "
                    'both (Task(input="…{context}…")), or, of Alpaca rows, name it with ',
                    Argument("columns", "input=context", text='columns={"input": "context"}'),
                    ". Rename the column if it is something else",
                ),
                place=row.place,
                field=name,
            )
        if name == INSTRUCTIONS:
            raise DataError(
                ErrorText(
                    "a text beside the messages. If it is their system message, name it with ",
                    Argument("columns", f"system={name}", text=f'columns={{"system": "{name}"}}'),
                    ". Rename the column if it is something else",
                ),
                place=row.place,
                field=name,
            )
        if is_pair:
            raise DataError(
                "a thought beside a pair of answers, and nothing says whose it is; write it to reasoning_content of "
                "the answer, or rename the column if it is something else",
                place=row.place,
                field=name,
            )
        raise DataError(
            ErrorText(
                "a text beside the answer. If the model is to learn it as its thought, name it with ",
                Argument("columns", f"{THOUGHT}={name}", text=f'columns={{"{THOUGHT}": "{name}"}}'),
                ". Rename the column if it is something else",
            ),
            place=row.place,
            field=name,
        )
