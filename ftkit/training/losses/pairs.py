"""What methods that learn from pairs share: chosen and rejected answer, each as a conversation of its own."""

from __future__ import annotations

from collections.abc import Sequence

from ftkit.data import Row
from ftkit.errors import DataError
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.tokenized_example import Example

__all__ = ["count", "pair"]


def pair(row: Row, chat_template: ChatTemplate) -> Example:
    """The row's two conversations; in each only the last turn is supervised.

    Raises:
        DataError: the row has no pair, or its answers are the same in tokens.
    """
    if row.completion is None or row.rejected is None:
        raise DataError("the row is no preference: it needs a chosen and a rejected answer", place=row.place)
    chosen, rejected = (
        chat_template.encode_answer([*row.prompt, answer], row.tools, row.place)
        for answer in (row.completion, row.rejected)
    )
    if chosen.ids.tobytes() == rejected.ids.tobytes():
        raise DataError("the chosen and the rejected answer are the same in the model's tokens", place=row.place)
    return Example((chosen, rejected), margin=row.margin or 0.0)


def count(examples: Sequence[Example]) -> float:
    """How many pairs there are: what a batch's loss is divided by."""
    return float(len(examples))
