"""Logits of many tokens, of which only a chunk exists at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils.checkpoint import checkpoint

__all__ = ["TokenLogits", "map_logits"]

_CHUNK = 256
"""Tokens whose logits are in memory at a time."""

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True)
class TokenLogits:
    """The logits of the supervised tokens of a packed sequence, sequence by sequence, before they are computed.

    Attributes:
        inputs: what they are computed from, ``[tokens, width]``; differentiable.
        head: computes the logits ``[chunk, vocabulary]``, float32, of a chunk of ``inputs``.
        targets: the token that each predicts, int64 ``[tokens]``.
    """

    inputs: Tensor
    head: Callable[[Tensor], Tensor]
    targets: Tensor


def map_logits(logits: TokenLogits, function: Callable[[Tensor, slice], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Apply a function to the logits of all tokens, a chunk at a time.

    In the backward pass a chunk's logits are computed again, so that they need not be kept.

    Args:
        logits: the tokens.
        function: called with the logits ``[chunk, vocabulary]`` and the range of the tokens; returns tensors whose
            first dimension is the chunk's.

    Returns:
        The tensors that the function returned, for all tokens.
    """
    found = []
    for start in range(0, len(logits.inputs), _CHUNK):
        part = slice(start, min(start + _CHUNK, len(logits.inputs)))

        def run(inputs: Tensor, part: slice = part) -> tuple[Tensor, ...]:
            return function(logits.head(inputs), part)

        inputs = logits.inputs[part]
        if torch.is_grad_enabled():
            found.append(checkpoint(run, inputs, use_reentrant=False, preserve_rng_state=False))
        else:
            found.append(run(inputs))
    return tuple(torch.cat(parts) for parts in zip(*found, strict=True))
