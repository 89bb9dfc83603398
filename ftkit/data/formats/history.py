"""``history``: earlier questions and answers beside a question, as LLaMA-Factory and ms-swift write them."""

from __future__ import annotations

from ftkit.data.formats.base import RawRow, read_list
from ftkit.errors import DataError
from ftkit.task import Message

__all__ = ["read_history"]


def read_history(row: RawRow) -> list[tuple[str, Message]]:
    """Read the column ``history``: a list of pairs of texts, question and answer.

    Args:
        row: the row.

    Returns:
        The turns in their order, each with its field, which errors name; empty if there is no history.

    Raises:
        DataError: the column holds something else.
    """
    turns: list[tuple[str, Message]] = []
    for number, pair in enumerate(read_list(row, "history") if row.columns.get("history") else []):
        field = f"history[{number}]"
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise DataError("must be a pair of texts: question, answer", place=row.place, field=field)
        question, answer = pair
        turns += [
            (f"{field}[0]", {"role": "user", "content": question}),
            (f"{field}[1]", {"role": "assistant", "content": answer}),
        ]
    return turns
