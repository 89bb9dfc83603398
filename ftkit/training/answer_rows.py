"""Which validation rows an evaluation answers, and how long the answers may be. Loads no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ftkit.data import Dataset, Row

if TYPE_CHECKING:
    from ftkit.modeling.chat_template import ChatTemplate

__all__ = ["evaluated_rows", "longest_answer"]

_UNKNOWN_LENGTH = 256
"""Longest answer in tokens where no row says how long answers are."""
_ROOM = 1.25
"""Length allowed to an answer, as a multiple of the longest wanted one."""


def evaluated_rows(data: Dataset, count: int) -> list[Row]:
    """Choose validation rows, evenly spread.

    Args:
        data: the validation rows.
        count: how many, at most.

    Returns:
        The rows, in their order.
    """
    size = len(data)
    if size <= count:
        return list(data)
    return [data[number * size // count] for number in range(count)]


def longest_answer(rows: Sequence[Row], template: ChatTemplate) -> int:
    """Return how many tokens answers to rows may have.

    Args:
        rows: the rows.
        template: the model's chat template.

    Returns:
        A quarter more than the longest wanted answer has, its end included.
    """
    wanted = [
        int(template.encode_answer([*row.prompt, row.completion], row.tools, row.place).supervised.sum())
        for row in rows
        if row.completion is not None
    ]
    return math.ceil(_ROOM * max(wanted)) if wanted else _UNKNOWN_LENGTH
