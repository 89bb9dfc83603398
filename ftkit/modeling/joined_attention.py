"""Attention of a packed sequence on a CPU, call by call of a kernel, with memory linear in the tokens.

Each segment attends to itself (causally) and its descendants attend to it (fully), in separate calls, joined by their
log-sum-exp. For a query with partial results (o_k, l_k) over disjoint keys,

    l = log Σ_k exp(l_k),    o = Σ_k exp(l_k - l) · o_k,

and the kernel's own backward, given the joined (o, l), yields the exact gradient of each part, because the
probabilities that it recomputes are exp(q·k - l). A sink (gpt-oss) is a further part with the score s and the value 0.

The kernel is torch's fused one, or, for scores that are capped softly (Gemma 2: c · tanh(q·k / c)), plain products over
some hundred queries at a time.
"""

from __future__ import annotations

from typing import Any

import torch

from ftkit.modeling.tree_mask import Span, TreeAttentionMask

__all__ = ["joined_attention"]

_QUERIES = 256
"""Queries of a capped span whose scores are in memory at a time."""

Tensor = torch.Tensor


def joined_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale: float,
    tree: TreeAttentionMask,
    *,
    window: int | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """Compute attention over a tree of sequences on a CPU.

    Args:
        query: [batch, heads, tokens, head size].
        key: like ``query``.
        value: like ``query``.
        scale: factor of the scores.
        tree: the mask.
        window: tokens that a token attends to; None for all.
        softcap: the largest score, approached softly; None for no limit.
        sinks: score [heads] of a token that each query attends to and that has no value.

    Returns:
        The result, like ``query``.
    """
    call = _Call(scale, tree, window, softcap)
    result: Tensor = _JoinedAttention.apply(query, key, value, sinks, call)  # type: ignore[no-untyped-call]
    return result


class _Call:
    """What does not change from one span to the next."""

    def __init__(self, scale: float, tree: TreeAttentionMask, window: int | None, softcap: float | None) -> None:
        self.scale = scale
        self.tree = tree
        self.window = window
        self.softcap = softcap

    @property
    def spans(self) -> tuple[Span, ...]:
        return self.tree.spans(self.window)

    def mask(self, span: Span, dtype: torch.dtype) -> Tensor | None:
        if span.band is None or self.window is None:
            return None
        return self.tree.band(span, self.window, dtype)

    def forward(self, span: Span, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Result and log-sum-exp of one span."""
        mask = self.mask(span, query.dtype)
        if self.softcap is None:
            flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
            part, lse = flash(query, key, value, is_causal=span.causal, attn_mask=mask, scale=self.scale)
            return part, lse
        parts, sums = [], []
        for start in range(0, query.shape[2], _QUERIES):
            scores, _ = self._scores(span, query[:, :, start : start + _QUERIES], key, mask, start)
            total = scores.logsumexp(dim=-1)
            parts.append((scores - total.unsqueeze(-1)).exp() @ value.float())
            sums.append(total)
        return torch.cat(parts, dim=2), torch.cat(sums, dim=2)

    def backward(
        self, span: Span, gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, result: Tensor, total: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of one span's queries, keys and values, given the joined result and log-sum-exp."""
        mask = self.mask(span, query.dtype)
        if self.softcap is None:
            flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
            dq, dk, dv = flash(
                gradient, query, key, value, result, total, 0.0, span.causal, attn_mask=mask, scale=self.scale
            )
            return dq, dk, dv
        d_query = torch.empty(query.shape)
        d_key, d_value = torch.zeros(key.shape), torch.zeros(value.shape)
        for start in range(0, query.shape[2], _QUERIES):
            rows = slice(start, start + _QUERIES)
            scores, slope = self._scores(span, query[:, :, rows], key, mask, start)
            shares = (scores - total[:, :, rows].unsqueeze(-1)).exp()
            back = gradient[:, :, rows].float()
            own = torch.linalg.vecdot(back, result[:, :, rows].float()).unsqueeze(-1)
            d_scores = shares * (back @ value.float().transpose(-1, -2) - own) * slope
            d_query[:, :, rows] = d_scores @ key.float() * self.scale
            d_key += d_scores.transpose(-1, -2) @ query[:, :, rows].float() * self.scale
            d_value += shares.transpose(-1, -2) @ back
        return d_query, d_key, d_value

    def _scores(self, span: Span, query: Tensor, key: Tensor, mask: Tensor | None, start: int) -> tuple[Tensor, Tensor]:
        """Capped scores of some queries of a span, float32 [batch, heads, queries, keys], and their slopes."""
        cap = float(self.softcap or 1.0)
        bent = (query.float() @ key.float().transpose(-1, -2) * (self.scale / cap)).tanh()
        scores, slope = bent * cap, 1 - bent * bent
        if span.causal:
            later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(start + 1)
            scores = scores.masked_fill(later, -torch.inf)
        elif mask is not None:
            scores = scores + mask[:, :, start : start + query.shape[2]].float()
        return scores, slope


class _JoinedAttention(torch.autograd.Function):
    """Shapes: query, key, value and result [batch, heads, tokens, head size]."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, sinks: Tensor | None, call: _Call) -> Tensor:
        batch, heads, length = query.shape[:3]
        joined = torch.empty(query.shape, dtype=torch.float32)
        total = torch.empty((batch, heads, length))
        for span in call.spans:
            q, k = slice(span.q0, span.q1), slice(span.k0, span.k1)
            part, lse = call.forward(span, query[:, :, q], key[:, :, k], value[:, :, k])
            if span.causal:
                joined[:, :, q], total[:, :, q] = part, lse
                continue
            share = torch.sigmoid(lse - total[:, :, q]).unsqueeze(-1)  # exp(lse - new total)
            joined[:, :, q].lerp_(part.float(), share)
            total[:, :, q] = torch.logaddexp(total[:, :, q], lse)
        if sinks is not None:
            sink = sinks.float().view(1, heads, 1)
            joined *= torch.sigmoid(total - sink).unsqueeze(-1)
            total = torch.logaddexp(total, sink)
        result = joined.to(query.dtype)
        ctx.save_for_backward(query, key, value, sinks, result, total)
        ctx.call = call
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gradient, call = gradients[0], ctx.call
        query, key, value, sinks, result, total = ctx.saved_tensors
        # Sums over many spans are in float32, whatever the model's type.
        d_query, d_key, d_value = (torch.empty(x.shape, dtype=torch.float32) for x in (query, key, value))
        for span in call.spans:
            q, k = slice(span.q0, span.q1), slice(span.k0, span.k1)
            dq, dk, dv = call.backward(
                span,
                gradient[:, :, q],
                query[:, :, q],
                key[:, :, k],
                value[:, :, k],
                result[:, :, q],
                total[:, :, q],
            )
            if span.causal:
                d_query[:, :, q], d_key[:, :, k], d_value[:, :, k] = dq, dk, dv
                continue
            d_query[:, :, q] += dq
            d_key[:, :, k] += dk
            d_value[:, :, k] += dv
        d_sinks = None
        if sinks is not None and ctx.needs_input_grad[3]:
            shares = (sinks.float().view(1, -1, 1) - total).exp()
            own = torch.linalg.vecdot(gradient.float(), result.float())
            d_sinks = -(shares * own).sum(dim=(0, 2)).to(sinks.dtype)
        return d_query.to(query.dtype), d_key.to(key.dtype), d_value.to(value.dtype), d_sinks, None
