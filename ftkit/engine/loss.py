"""Cross-entropy of the output layer, without ever holding a logit for every token.

For hidden state h and output matrix W, the loss −log softmax(W·h)[y] has the gradients (p − 1_y)ᵀW for h and
(p − 1_y)hᵀ for W. Both are formed chunk by chunk while the logits are there, in the forward pass: nothing is computed
twice, and no more than ``CHUNK`` rows of logits exist at a time. (The idea: Liger, arXiv 2410.10989, section 3.)
"""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["linear_cross_entropy"]

CHUNK = 256
"""Rows of logits held at a time."""

Tensor = torch.Tensor


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        wants_hidden, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        losses = torch.empty(targets.shape, dtype=torch.float32, device=hidden.device)
        d_hidden = torch.empty_like(hidden) if wants_hidden else None
        d_weight = torch.zeros_like(weight, dtype=torch.float32) if wants_weight else None
        d_bias = torch.zeros_like(bias, dtype=torch.float32) if wants_bias and bias is not None else None
        for start in range(0, len(targets), CHUNK):
            rows = slice(start, start + CHUNK)
            logits = torch.nn.functional.linear(hidden[rows], weight, bias).float()
            lse = logits.logsumexp(dim=-1, keepdim=True)
            target = targets[rows].unsqueeze(1)
            losses[rows] = (lse - logits.gather(1, target)).squeeze(1)
            if not (wants_hidden or wants_weight or wants_bias):
                continue
            gradient = (logits - lse).exp_()
            gradient.scatter_add_(1, target, torch.full_like(target, -1, dtype=gradient.dtype))
            gradient *= weights[rows].unsqueeze(1)
            narrow = gradient.to(hidden.dtype)
            if d_hidden is not None:
                d_hidden[rows] = narrow @ weight
            if d_weight is not None:
                d_weight += (narrow.t() @ hidden[rows]).float()
            if d_bias is not None:
                d_bias += gradient.sum(dim=0)
        ctx.gradients = (
            d_hidden,
            None if d_weight is None else d_weight.to(weight.dtype),
            None if d_bias is None or bias is None else d_bias.to(bias.dtype),
        )
        ctx.mark_non_differentiable(losses)
        return (losses * weights).sum(), losses

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        scale = gradients[0]
        d_hidden, d_weight, d_bias = (None if g is None else g * scale.to(g.dtype) for g in ctx.gradients)
        return d_hidden, d_weight, d_bias, None, None


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Weighted sum of the negative log-likelihoods of ``targets`` under ``softmax(hidden · weightᵀ + bias)``.

    Args:
        hidden: final hidden states [S, d].
        weight: the output layer [V, d]; gets a gradient only where it wants one.
        targets: token ids [S].
        weights: weight of each prediction, float32 [S].
        bias: of the output layer [V], for the few models that have one.

    Returns:
        The weighted sum (a scalar to call ``backward`` on), and each prediction's own loss [S], detached.
    """
    total, losses = _LinearCrossEntropy.apply(hidden, weight, bias, targets, weights)  # type: ignore[no-untyped-call]
    return total, losses
