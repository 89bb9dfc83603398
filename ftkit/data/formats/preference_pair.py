"""Two answers to one prompt: what all formats of preferences share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ftkit.data.formats.base import RawRow, read_list
from ftkit.data.formats.messages import read_turns
from ftkit.data.formats.nulls import drop_nulls
from ftkit.data.formats.response_items import chat_turns
from ftkit.errors import DataError, Place
from ftkit.task import Message

__all__ = ["Part", "check_labelled", "learn_answers_only", "read_answer", "read_pair"]

Part = tuple[str, list[Any]]
"""The field of a list of messages, and the list."""


def read_answer(row: RawRow, column: str) -> Part:
    """Return the turns of one answer: a list, or one message as an object.

    Args:
        row: the row.
        column: the column's name.

    Returns:
        The field and the turns.

    Raises:
        DataError: the column is missing, or holds another type.
    """
    value = row.columns.get(column)
    if isinstance(value, Mapping):
        return column, [drop_nulls(value) if row.nulls_are_absent else value]
    return column, read_list(row, column)


def read_pair(row: RawRow, prompt: Part, chosen: Part, rejected: Part) -> tuple[list[Message], Message]:
    """Make a conversation with the better answer, and the worse answer.

    Turns that are in both lists before the answers belong to the prompt. Only the answers of a preference are learned,
    so earlier assistant turns get ``weight`` 0.

    Args:
        row: the row.
        prompt: what is asked; empty if the other two hold whole conversations.
        chosen: turns that end with the better answer.
        rejected: turns that end with the worse answer.

    Returns:
        The messages with the better answer as the last one, and the worse answer.

    Raises:
        DataError: a list breaks OpenAI's form, does not end with the assistant's turn, or the two differ before
            their last turns.
    """
    better, worse = _turns(row, [prompt, chosen]), _turns(row, [prompt, rejected])
    first_difference = next(
        (at for at, pair in enumerate(zip(better, worse, strict=False)) if pair[0] != pair[1]), None
    )
    if len(better) != len(worse) or (first_difference is not None and first_difference < len(better) - 1):
        at = min(first_difference if first_difference is not None else len(better), len(better) - 1, len(worse) - 1)
        first, second = (_chat_turns(row, [prompt, answer])[at][0] for answer in (chosen, rejected))
        raise DataError(
            f"differs from {first}, but {chosen[0]} and {rejected[0]} may differ in one message "
            f"only, the last ({chosen[0]} has {len(chosen[1])}, {rejected[0]} has {len(rejected[1])})",
            place=row.place,
            field=second,
            problem="prompts_differ",
        )
    return better, worse[-1]


def learn_answers_only(prompt: Sequence[Message], place: Place, field: Callable[[int], str]) -> None:
    """Give the assistant's turns in the prompt of a preference ``weight`` 0.

    Args:
        prompt: the messages, which are changed.
        place: of the row.
        field: returns the field of the message at a position.

    Raises:
        DataError: one has weight 1, which a preference cannot honour.
    """
    for at, message in enumerate(prompt):
        if message["role"] == "assistant":
            if message.get("weight", 0):
                raise DataError(
                    "must be 0 or left out: of a preference only the last turn is learned",
                    place=place,
                    field=f"{field(at)}.weight",
                )
            message["weight"] = 0


def check_labelled(prompt: Sequence[Message], answer: Message, place: Place, field: str) -> None:
    """Check a conversation whose answer has a label, and give the assistant's turns in its prompt ``weight`` 0.

    Args:
        prompt: the messages before the answer, which are changed.
        answer: the answer, whose weight is removed.
        place: of the row.
        field: where the answer is.

    Raises:
        DataError: the answer has weight 0, an earlier turn has weight 1, or there is no whole prompt before the answer.
    """
    if answer.pop("weight", 1) == 0:
        raise DataError("the answer has weight 0, but a preference is always learned", place=place, field=field)
    learn_answers_only(prompt, place, lambda at: f"messages[{at}]")
    if not prompt:
        raise DataError("nothing is asked: there is no message before the answer", place=place, field=field)
    if prompt[-1]["role"] == "assistant":
        raise DataError(_GOES_ON, place=place, field=f"messages[{len(prompt) - 1}].role")


_GOES_ON = "the assistant's turn just before the answer, which would go on from it; the answer must be a whole turn"


def _turns(row: RawRow, parts: Sequence[Part]) -> list[Message]:
    """The prompt with one of its answers."""
    field, answers = parts[-1]
    if not answers:
        raise DataError("empty; it must hold the assistant's turn", place=row.place, field=field)
    turns = _chat_turns(row, parts)
    messages = read_turns(turns, row.place)
    answer, last = messages[-1], turns[-1][0]
    if answer["role"] != "assistant":
        raise DataError("the last message must be the assistant's", place=row.place, field=f"{last}.role")
    if answer.pop("weight", 1) == 0:
        raise DataError(
            "must not be 0: of a preference both answers are learned from", place=row.place, field=f"{last}.weight"
        )
    learn_answers_only(messages[:-1], row.place, lambda at: turns[at][0])
    if len(messages) == 1:
        raise DataError("nothing is asked: there is no message before the answer", place=row.place, field=field)
    if messages[-2]["role"] == "assistant":
        raise DataError(_GOES_ON, place=row.place, field=f"{turns[-2][0]}.role")
    return messages


def _chat_turns(row: RawRow, parts: Sequence[Part]) -> list[tuple[str, Any]]:
    return [turn for field, value in parts for turn in chat_turns(field, value, row.place)]
