"""Cross-entropy of the output layer, without the logits of all tokens in memory.

For hidden state h and output matrix W, the loss −log softmax(W·h)[y] has the gradients (p − 1_y)ᵀW for h and
(p − 1_y)hᵀ for W. They are computed chunk by chunk in the forward pass, from the same logits: nothing is computed
twice, and at most ``CHUNK`` rows of logits exist at a time. (The idea: Liger, arXiv 2410.10989, section 3.)

The gradient of a prediction for its own h depends on later operations on the loss only by a factor. Therefore it is
also computed in the forward pass for a function of several predictions' losses (such as DPO's). The gradient for W is a
sum over predictions, so their factors must be known; if they are not, it is computed in the backward pass, from
recomputed logits.

Models that scale or cap the outputs of the output layer have logits f(W·h) (see :class:`LogitForm`); the slope of f is
a factor of the gradient of each logit.
"""

from __future__ import annotations

from typing import Any

import torch

from ftkit.modeling.logit_form import PLAIN_LOGITS, LogitForm

__all__ = ["CHUNK", "OutputLayerGradient", "linear_cross_entropy", "token_losses"]

CHUNK = 256
"""Rows of logits in memory at a time."""

Tensor = torch.Tensor


def _chunk(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    form: LogitForm,
    *,
    slopes: bool,
    entropies: Tensor | None = None,
    is_argmax: Tensor | None = None,
) -> Any:
    """Losses [c] of a chunk and, if ``slopes``, their gradients for the layer's outputs (of plain logits p − 1_y).

    Writes into the optional tensors [c].

    Returns:
        The losses, and the gradients as float32 [c, V] or None.
    """
    outputs = torch.nn.functional.linear(hidden, weight, bias).float()
    logits, factors = form.logits(outputs)
    lse = logits.logsumexp(dim=-1, keepdim=True)
    target = targets.unsqueeze(1)
    target_logits = logits.gather(1, target)
    losses = (lse - target_logits).squeeze(1)
    if is_argmax is not None:
        is_argmax.copy_(_is_argmax(logits, target, target_logits))
    if not slopes and entropies is None:
        return losses, None
    logits.sub_(lse)
    if entropies is None:
        slope = logits.exp_()
    else:
        slope = logits.exp()
        entropies.copy_(torch.linalg.vecdot(slope, logits)).neg_()
    slope.scatter_add_(1, target, torch.full_like(target, -1, dtype=slope.dtype))
    return losses, slope if factors is None else slope.mul_(factors)


def _is_argmax(logits: Tensor, target: Tensor, target_logits: Tensor) -> Tensor:
    """Whether each target [c, 1], with ``target_logits`` [c, 1], is ``logits.argmax(1)``, bool [c].

    The target is compared with the highest other logit, because on a CPU torch finds a maximum ten times as fast as its
    index. The index is computed only where two logits are equal (often in bfloat16): argmax is the first of them.

    Returns:
        Whether each target is the argmax.
    """
    logits.scatter_(1, target, -torch.inf)
    others = logits.amax(dim=1, keepdim=True)
    logits.scatter_(1, target, target_logits)
    result = (target_logits > others).squeeze(1)
    equal = torch.nonzero((target_logits == others).squeeze(1)).squeeze(1)
    result[equal] = logits[equal].argmax(dim=1) == target[equal].squeeze(1)
    return result


class OutputLayerGradient:
    """The gradient for the output layer, summed over chunks in float32.

    Args:
        weight: the output layer [V, d].
        bias: its bias [V], if it has one.
        needed: whether the weight and the bias need a gradient.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, needed: tuple[bool, bool]) -> None:
        self._layer = weight, bias
        self.weight = torch.zeros_like(weight, dtype=torch.float32) if needed[0] else None
        self.bias = torch.zeros_like(bias, dtype=torch.float32) if needed[1] and bias is not None else None

    def add(self, slope: Tensor, hidden: Tensor, factors: Tensor) -> None:
        """Add a chunk of predictions.

        Args:
            slope: the gradient for the logits, float32 [c, V].
            hidden: final hidden states [c, d].
            factors: the factor of each prediction [c].
        """
        if self.weight is not None:
            self.weight += (slope.to(hidden.dtype).t() @ (hidden * factors.to(hidden.dtype).unsqueeze(1))).float()
        if self.bias is not None:
            self.bias += factors @ slope

    def result(self) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients in the layer's own type.

        Returns:
            That of the weight and that of the bias; None for what needs none.
        """
        weight, bias = self._layer
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
        is_argmax: Tensor | None,
        form: LogitForm,
    ) -> tuple[Tensor, Tensor]:
        needs_hidden_grad, needs_weight_grad, needs_bias_grad = ctx.needs_input_grad[:3]
        slopes = needs_hidden_grad or needs_weight_grad or needs_bias_grad
        losses = torch.empty(targets.shape, dtype=torch.float32, device=hidden.device)
        d_hidden = torch.empty_like(hidden) if needs_hidden_grad else None
        output_gradient = OutputLayerGradient(weight, bias, (needs_weight_grad, needs_bias_grad))
        for start in range(0, len(targets), CHUNK):
            rows = slice(start, start + CHUNK)
            chunk_out = None if is_argmax is None else is_argmax[rows]
            losses[rows], slope = _chunk(
                hidden[rows], weight, bias, targets[rows], form, slopes=slopes, is_argmax=chunk_out
            )
            if d_hidden is not None:
                d_hidden[rows] = (slope.to(hidden.dtype) @ weight) * weights[rows].to(hidden.dtype).unsqueeze(1)
            if slopes:
                output_gradient.add(slope, hidden[rows], weights[rows])
        ctx.gradients = (d_hidden, *output_gradient.result())
        ctx.mark_non_differentiable(losses)
        return (losses * weights).sum(), losses

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        scale = gradients[0]
        d_hidden, d_weight, d_bias = (None if g is None else g * scale.to(g.dtype) for g in ctx.gradients)
        return d_hidden, d_weight, d_bias, None, None, None, None


class _TokenLosses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        entropies: Tensor | None,
        form: LogitForm,
    ) -> Tensor:
        needs_hidden_grad, *needs_layer_grad = ctx.needs_input_grad[:3]
        losses = torch.empty(targets.shape, dtype=torch.float32, device=hidden.device)
        d_hidden = torch.empty_like(hidden) if needs_hidden_grad else None
        for start in range(0, len(targets), CHUNK):
            rows = slice(start, start + CHUNK)
            chunk_out = None if entropies is None else entropies[rows]
            losses[rows], slope = _chunk(
                hidden[rows], weight, bias, targets[rows], form, slopes=needs_hidden_grad, entropies=chunk_out
            )
            if d_hidden is not None:
                d_hidden[rows] = slope.to(hidden.dtype) @ weight
        ctx.d_hidden = d_hidden
        ctx.needs_layer_grad = tuple(needs_layer_grad)
        ctx.form = form
        if any(needs_layer_grad):
            ctx.save_for_backward(hidden, weight, bias, targets)
        return losses

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        factors = gradients[0]
        d_hidden = None if ctx.d_hidden is None else ctx.d_hidden * factors.to(ctx.d_hidden.dtype).unsqueeze(1)
        if not any(ctx.needs_layer_grad):
            return d_hidden, None, None, None, None, None
        hidden, weight, bias, targets = ctx.saved_tensors
        output_gradient = OutputLayerGradient(weight, bias, ctx.needs_layer_grad)
        for start in range(0, len(targets), CHUNK):
            rows = slice(start, start + CHUNK)
            _, slope = _chunk(hidden[rows], weight, bias, targets[rows], ctx.form, slopes=True)
            output_gradient.add(slope, hidden[rows], factors[rows])
        return d_hidden, *output_gradient.result(), None, None, None


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    weights: Tensor,
    bias: Tensor | None = None,
    *,
    form: LogitForm = PLAIN_LOGITS,
    is_argmax: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute the weighted sum of the cross-entropies of ``targets`` under ``softmax(hidden · weightᵀ + bias)``.

    Args:
        hidden: final hidden states [S, d].
        weight: the output layer [V, d]; gets a gradient only if it requires one.
        targets: token ids [S].
        weights: weight of each prediction, float32 [S].
        bias: of the output layer [V], if the model has one.
        form: what the model does with the outputs of the layer.
        is_argmax: bool [S], filled with whether each target has the highest logit; of equal logits the first token has.

    Returns:
        The weighted sum (a scalar to call ``backward`` on), and the loss of each prediction [S], detached.
    """
    total, losses = _LinearCrossEntropy.apply(hidden, weight, bias, targets, weights, is_argmax, form)  # type: ignore[no-untyped-call]
    return total, losses


def token_losses(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    bias: Tensor | None = None,
    *,
    form: LogitForm = PLAIN_LOGITS,
    entropies: Tensor | None = None,
) -> Tensor:
    """Compute the cross-entropy of each target, as an input of any differentiable function.

    Args:
        hidden: final hidden states [S, d].
        weight: the output layer [V, d].
        targets: token ids [S].
        bias: of the output layer [V], if the model has one.
        form: what the model does with the outputs of the layer.
        entropies: float32 [S], filled with the entropy of each prediction in nats; not differentiable.

    Returns:
        Negative log-likelihoods, float32 [S].
    """
    losses: Tensor = _TokenLosses.apply(hidden, weight, bias, targets, entropies, form)  # type: ignore[no-untyped-call]
    return losses
