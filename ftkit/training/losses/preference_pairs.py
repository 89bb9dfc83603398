"""Tokenising preferences: the chosen and the rejected answer, each as its own conversation."""

from __future__ import annotations

from ftkit.data import Row
from ftkit.errors import DataError
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.tokenized_example import Example

__all__ = ["render_pair"]


def render_pair(row: Row, chat_template: ChatTemplate) -> Example:
    """Tokenise a preference; in each of its two conversations only the last turn is supervised.

    Args:
        row: a row with a chosen and a rejected answer.
        chat_template: the model's tokenizer and chat template.

    Returns:
        One example of two sequences, the chosen one first.

    Raises:
        DataError: the row has no pair, or its answers have the same tokens.
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
