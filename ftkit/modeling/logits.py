"""Logits at chosen tokens of a sequence."""

from __future__ import annotations

import inspect
from typing import Any

import torch

__all__ = ["logits_at"]


def logits_at(model: Any, ids: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Compute the logits of a sequence at some of its tokens, with the model's own forward pass.

    Args:
        model: a transformers model. One that cannot leave out logits computes those of all tokens.
        ids: the sequence, ``[1, tokens]``.
        tokens: indices of the tokens, int64 ``[n]``.

    Returns:
        Logits ``[n, vocabulary]`` in the model's type.
    """
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        few: torch.Tensor = model(input_ids=ids, use_cache=False, logits_to_keep=tokens).logits[0]
        return few
    every: torch.Tensor = model(input_ids=ids, use_cache=False).logits[0]
    return every[tokens]
