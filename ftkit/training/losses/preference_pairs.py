"""Tokenising preferences: the chosen and the rejected answer, each as its own conversation."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ftkit.data import Row
from ftkit.errors import DataError
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.tokenized_example import Example

__all__ = ["answer_lengths", "render_pair", "reward_metrics"]

Tensor = torch.Tensor


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


def answer_lengths(examples: Sequence[Example], device: torch.device) -> Tensor:
    """Count the tokens of the answers of pairs.

    Args:
        examples: pairs.
        device: of the result.

    Returns:
        Supervised tokens of the chosen and of the rejected answer ``[pairs, 2]``.
    """
    lengths = [[int(sequence.supervised.sum()) for sequence in example.sequences[:2]] for example in examples]
    return torch.tensor(lengths, device=device)


def reward_metrics(rewards: Tensor) -> dict[str, float]:
    """Sum what the step's event says of the rewards of pairs.

    Args:
        rewards: of the chosen and the rejected answers, detached ``[pairs, 2]``.

    Returns:
        The sums over pairs.
    """
    return {
        "rewards_chosen": float(rewards[:, 0].sum()),
        "rewards_rejected": float(rewards[:, 1].sum()),
        "rewards_margin": float((rewards[:, 0] - rewards[:, 1]).sum()),
        "rewards_accuracy": float((rewards[:, 0] > rewards[:, 1]).sum()),
    }
