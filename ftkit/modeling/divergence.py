"""KL divergence between the output distributions of two models, without the logits of all tokens in memory.

For p = softmax(W'·h' + b') of the reference and q = softmax(W·h + b), KL(p ‖ q) has the gradients (q − p)ᵀW for h and
(q − p)hᵀ for W; of models that scale or cap their logits, times the slopes of the logits. As in
:mod:`ftkit.modeling.cross_entropy`, they are computed chunk by chunk in the forward pass.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from ftkit.modeling.cross_entropy import CHUNK, OutputLayerGradient
from ftkit.modeling.logit_form import PLAIN_LOGITS, LogitForm

__all__ = ["OutputLayer", "linear_divergence"]

Tensor = torch.Tensor


class OutputLayer(NamedTuple):
    """An output layer.

    Attributes:
        weight: ``[V, d]``.
        bias: ``[V]``, if there is one.
        form: what the model does with its outputs.
    """

    weight: Tensor
    bias: Tensor | None
    form: LogitForm = PLAIN_LOGITS

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """Compute log-probabilities.

        Args:
            hidden: final hidden states ``[c, d]``.

        Returns:
            float32 ``[c, V]``.
        """
        return self.with_slopes(hidden)[0]

    def with_slopes(self, hidden: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute log-probabilities, and the slopes of the logits by the outputs of the layer.

        Args:
            hidden: final hidden states ``[c, d]``.

        Returns:
            float32 ``[c, V]``, and what multiplies a gradient; None for 1.
        """
        outputs = torch.nn.functional.linear(hidden, self.weight, self.bias).float()
        logits, slopes = self.form.logits(outputs)
        return logits.log_softmax(dim=-1), slopes


class _LinearDivergence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        form: LogitForm,
        reference_hidden: Tensor,
        reference: OutputLayer,
        weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        needs_hidden_grad, needs_weight_grad, needs_bias_grad = ctx.needs_input_grad[:3]
        layer = OutputLayer(weight, bias, form)
        divergences = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        d_hidden = torch.empty_like(hidden) if needs_hidden_grad else None
        output_gradient = OutputLayerGradient(weight, bias, (needs_weight_grad, needs_bias_grad))
        for start in range(0, len(hidden), CHUNK):
            rows = slice(start, start + CHUNK)
            wanted = reference.log_probabilities(reference_hidden[rows])
            found, factors = layer.with_slopes(hidden[rows])
            p = wanted.exp()
            divergences[rows] = torch.linalg.vecdot(p, wanted.sub_(found))
            if any(ctx.needs_input_grad):
                slope = found.exp_().sub_(p)
                slope = slope if factors is None else slope.mul_(factors)
                if d_hidden is not None:
                    d_hidden[rows] = (slope.to(hidden.dtype) @ weight) * weights[rows].to(hidden.dtype).unsqueeze(1)
                output_gradient.add(slope, hidden[rows], weights[rows])
        ctx.gradients = (d_hidden, *output_gradient.result())
        ctx.mark_non_differentiable(divergences)
        return (divergences * weights).sum(), divergences

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        scale = gradients[0]
        parts = (None if g is None else g * scale.to(g.dtype) for g in ctx.gradients)
        return *parts, None, None, None, None


def linear_divergence(
    hidden: Tensor, layer: OutputLayer, reference_hidden: Tensor, reference_layer: OutputLayer, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute the weighted sum of KL(reference ‖ model) over predictions.

    Args:
        hidden: the model's final hidden states [S, d].
        layer: its output layer; gets a gradient only if it requires one.
        reference_hidden: the reference's final hidden states [S, d], without a gradient.
        reference_layer: its output layer.
        weights: weight of each prediction, float32 [S].

    Returns:
        The weighted sum (a scalar to call ``backward`` on), and the divergence of each prediction in nats [S],
        detached.
    """
    total, divergences = _LinearDivergence.apply(  # type: ignore[no-untyped-call]
        hidden, *layer, reference_hidden, reference_layer, weights
    )
    return total, divergences
