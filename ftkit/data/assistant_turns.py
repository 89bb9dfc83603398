"""The assistant turns of a conversation as rows of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from ftkit.data.formats import text_content
from ftkit.data.row import Row
from ftkit.errors import DataError, OutputError
from ftkit.task import Message, Task

__all__ = ["Turns", "rows_of_turns"]

Turns = Literal["last", "all"]
"""Which assistant turns of a conversation are asked: the last one, or every one that is learned."""


def rows_of_turns(row: Row, task: Task[Any]) -> list[Row]:
    """Make a row of each assistant turn of a conversation, with the turns of the data before it as its prompt.

    Turns of weight 0, which are not learned, are left out. All rows of a conversation are of one group, because they
    depend on each other.

    Args:
        row: the row of the conversation.
        task: the task, which reads the answers.

    Returns:
        One row for each turn that is learned, in order, called ``id#1``, ``id#2``, … after the number of the turn; the
        row itself if it has no earlier assistant turn, or no answer.

    Raises:
        DataError: an earlier turn is not a valid answer for the task.
    """
    earlier = [at for at, turn in enumerate(row.prompt) if turn["role"] == "assistant"]
    if not earlier or row.completion is None:
        return [row]
    messages, group = row.messages, row.id if row.group is None else row.group
    turns = []
    for number, at in enumerate([*earlier, len(row.prompt)], start=1):
        turn = messages[at]
        if turn.get("weight") == 0:
            continue
        turns.append(
            replace(
                row,
                id=f"{row.id}#{number}",
                prompt=messages[:at],
                completion=turn,
                target=row.target if at == len(row.prompt) else _target(turn, at, row, task),
                group=group,
                rejected=None,
                margin=None,
            )
        )
    return turns


def _target(turn: Message, at: int, row: Row, task: Task[Any]) -> Any:
    text = text_content(turn)
    if text is None or (not text.strip() and turn.get("tool_calls")):
        return None
    try:
        return task.plain(text)
    except OutputError as error:
        raise DataError(
            f"not a valid answer for the task: {error}; give the turn weight 0, or evaluate the last turn only",
            place=row.place,
            field=f"messages[{at}]",
        ) from error
