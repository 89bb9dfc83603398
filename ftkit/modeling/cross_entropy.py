"""Cross-entropy of the output layer, without ever holding a logit for every token.

For hidden state h and output matrix W, the loss −log softmax(W·h)[y] has the gradients (p − 1_y)ᵀW for h and
(p − 1_y)hᵀ for W. They are formed chunk by chunk while the logits are there, in the forward pass: nothing is computed
twice, and no more than ``CHUNK`` rows of logits exist at a time. (The idea: Liger, arXiv 2410.10989, section 3.)

A prediction's gradient for its own h does not depend on what is done with the loss later, but for a factor. So a loss
that is a function of many predictions' losses (DPO's) has it formed in the forward pass too. The gradient for W adds
predictions up, so their factors must be known: where they are not, it is formed in the backward pass, from the logits
computed again.
"""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["linear_cross_entropy", "token_losses"]

CHUNK = 256
"""Rows of logits held at a time."""

Tensor = torch.Tensor


def _chunk(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    *,
    slopes: bool,
    entropies: Tensor | None = None,
    likeliest: Tensor | None = None,
) -> Any:
    """Losses [c] of a chunk and, when asked for, p − 1_y as float32 [c, V]; the rest is put into tensors [c]."""
    logits = torch.nn.functional.linear(hidden, weight, bias).float()
    lse = logits.logsumexp(dim=-1, keepdim=True)
    target = targets.unsqueeze(1)
    wanted = logits.gather(1, target)
    losses = (lse - wanted).squeeze(1)
    if likeliest is not None:
        likeliest.copy_(_is_argmax(logits, target, wanted))
    if not slopes and entropies is None:
        return losses, None
    logits.sub_(lse)
    if entropies is None:
        slope = logits.exp_()
    else:
        slope = logits.exp()
        entropies.copy_(torch.linalg.vecdot(slope, logits)).neg_()
    slope.scatter_add_(1, target, torch.full_like(target, -1, dtype=slope.dtype))
    return losses, slope


def _is_argmax(logits: Tensor, target: Tensor, wanted: Tensor) -> Tensor:
    """Whether each target [c, 1] is what ``logits.argmax(1)`` gives, bool [c]; ``wanted`` [c, 1] are its logits.

    The target is compared with the highest of the others, since torch finds a maximum on a CPU ten times as fast as its
    place. The place is asked for only where two are equal, as in bfloat16 they often are: argmax is the first of them.
    """
    logits.scatter_(1, target, -torch.inf)
    others = logits.amax(dim=1, keepdim=True)
    logits.scatter_(1, target, wanted)
    found = (wanted > others).squeeze(1)
    equal = torch.nonzero((wanted == others).squeeze(1)).squeeze(1)
    found[equal] = logits[equal].argmax(dim=1) == target[equal].squeeze(1)
    return found


class _Matrix:
    """The gradient for the output layer, added up over chunks in float32."""

    def __init__(self, weight: Tensor, bias: Tensor | None, wanted: tuple[bool, bool]) -> None:
        self.like = weight, bias
        self.weight = torch.zeros_like(weight, dtype=torch.float32) if wanted[0] else None
        self.bias = torch.zeros_like(bias, dtype=torch.float32) if wanted[1] and bias is not None else None

    def add(self, slope: Tensor, hidden: Tensor, factors: Tensor) -> None:
        """Add a chunk: slope [c, V], hidden [c, d], the factor of each prediction [c]."""
        if self.weight is not None:
            self.weight += (slope.to(hidden.dtype).t() @ (hidden * factors.to(hidden.dtype).unsqueeze(1))).float()
        if self.bias is not None:
            self.bias += factors @ slope

    def found(self) -> tuple[Tensor | None, Tensor | None]:
        weight, bias = self.like
        return (
            None if self.weight is None else self.weight.to(weight.dtype),
            None if self.bias is None or bias is None else self.bias.to(bias.dtype),
        )


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        weights: Tensor,
        likeliest: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        wants_hidden, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        slopes = wants_hidden or wants_weight or wants_bias
        losses = torch.empty(targets.shape, dtype=torch.float32, device=hidden.device)
        d_hidden = torch.empty_like(hidden) if wants_hidden else None
        matrix = _Matrix(weight, bias, (wants_weight, wants_bias))
        for start in range(0, len(targets), CHUNK):
            rows = slice(start, start + CHUNK)
            beside = None if likeliest is None else likeliest[rows]
            losses[rows], slope = _chunk(hidden[rows], weight, bias, targets[rows], slopes=slopes, likeliest=beside)
            if d_hidden is not None:
                d_hidden[rows] = (slope.to(hidden.dtype) @ weight) * weights[rows].to(hidden.dtype).unsqueeze(1)
            if slopes:
                matrix.add(slope, hidden[rows], weights[rows])
        ctx.gradients = (d_hidden, *matrix.found())
        ctx.mark_non_differentiable(losses)
        return (losses * weights).sum(), losses

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        scale = gradients[0]
        d_hidden, d_weight, d_bias = (None if g is None else g * scale.to(g.dtype) for g in ctx.gradients)
        return d_hidden, d_weight, d_bias, None, None, None


class _TokenLosses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, entropies: Tensor | None
    ) -> Tensor:
        wants_hidden, *wants_matrix = ctx.needs_input_grad[:3]
        losses = torch.empty(targets.shape, dtype=torch.float32, device=hidden.device)
        d_hidden = torch.empty_like(hidden) if wants_hidden else None
        for start in range(0, len(targets), CHUNK):
            rows = slice(start, start + CHUNK)
            beside = None if entropies is None else entropies[rows]
            losses[rows], slope = _chunk(
                hidden[rows], weight, bias, targets[rows], slopes=wants_hidden, entropies=beside
            )
            if d_hidden is not None:
                d_hidden[rows] = slope.to(hidden.dtype) @ weight
        ctx.d_hidden = d_hidden
        ctx.wanted = tuple(wants_matrix)
        if any(wants_matrix):
            ctx.save_for_backward(hidden, weight, bias, targets)
        return losses

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        factors = gradients[0]
        d_hidden = None if ctx.d_hidden is None else ctx.d_hidden * factors.to(ctx.d_hidden.dtype).unsqueeze(1)
        if not any(ctx.wanted):
            return d_hidden, None, None, None, None
        hidden, weight, bias, targets = ctx.saved_tensors
        matrix = _Matrix(weight, bias, ctx.wanted)
        for start in range(0, len(targets), CHUNK):
            rows = slice(start, start + CHUNK)
            _, slope = _chunk(hidden[rows], weight, bias, targets[rows], slopes=True)
            matrix.add(slope, hidden[rows], factors[rows])
        return d_hidden, *matrix.found(), None, None


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    weights: Tensor,
    bias: Tensor | None = None,
    *,
    likeliest: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Weighted sum of the negative log-likelihoods of ``targets`` under ``softmax(hidden · weightᵀ + bias)``.

    Args:
        hidden: final hidden states [S, d].
        weight: the output layer [V, d]; gets a gradient only where it wants one.
        targets: token ids [S].
        weights: weight of each prediction, float32 [S].
        bias: of the output layer [V], for the few models that have one.
        likeliest: where it is put whether each target has the highest logit, bool [S]; of equal ones the first token.

    Returns:
        The weighted sum (a scalar to call ``backward`` on), and each prediction's own loss [S], detached.
    """
    total, losses = _LinearCrossEntropy.apply(hidden, weight, bias, targets, weights, likeliest)  # type: ignore[no-untyped-call]
    return total, losses


def token_losses(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    bias: Tensor | None = None,
    *,
    entropies: Tensor | None = None,
) -> Tensor:
    """The negative log-likelihood of each target, float32 [S], to be put into any function and differentiated.

    Args:
        hidden, weight, targets, bias: those of :func:`linear_cross_entropy`.
        entropies: where the entropy in nats of each prediction is put, float32 [S].
    """
    losses: Tensor = _TokenLosses.apply(hidden, weight, bias, targets, entropies)  # type: ignore[no-untyped-call]
    return losses
