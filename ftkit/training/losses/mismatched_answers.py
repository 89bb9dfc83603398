"""Prompts with the answers of other rows, on which KTO measures how far the model has moved."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ftkit.modeling.tokenized_example import Example, TokenizedConversation
from ftkit.training.dataloader import TokenRows

__all__ = ["mismatched", "with_answer"]


def mismatched(examples: Sequence[Example], rows: TokenRows, limit: int | None = None) -> list[Example]:
    """Give each prompt of a batch the answer of the example before it, and the first prompt that of the last one.

    Args:
        examples: the batch.
        rows: the rows that it is from; a batch of one gets the answer of one of these.
        limit: tokens at which an answer is cut; None: there is no limit.

    Returns:
        One example for each sequence of the batch.
    """
    before = [examples[-1], *examples[:-1]] if len(examples) > 1 else [_another(example, rows) for example in examples]
    return [
        Example((with_answer(sequence, other.sequences[at], limit),))
        for example, other in zip(examples, before, strict=True)
        for at, sequence in enumerate(example.sequences)
    ]


def with_answer(
    asked: TokenizedConversation, answered: TokenizedConversation, limit: int | None = None
) -> TokenizedConversation:
    """Return the prompt of one sequence with the answer of another.

    Args:
        asked: has the prompt: the tokens before the first supervised one.
        answered: has the answer.
        limit: tokens at which the answer is cut; None: there is no limit.

    Returns:
        The sequence.
    """
    prompt, start = asked.ids[: asked.supervised.argmax()], int(answered.supervised.argmax())
    supervised = [np.zeros(len(prompt), dtype=np.bool_), answered.supervised[start:]]
    return TokenizedConversation(
        np.concatenate([prompt, answered.ids[start:]])[:limit], np.concatenate(supervised)[:limit]
    )


def _another(example: Example, rows: TokenRows) -> Example:
    """An example of another row than the only one that is left at the end of an epoch."""
    return next((other for [other] in rows.rows if other.sequences[0] is not example.sequences[0]), example)
