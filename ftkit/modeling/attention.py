"""Attention over a tree of sequences (see :mod:`ftkit.modeling.prefix_tree`), exact and in memory linear in the tokens.

On CPU each segment attends to itself (causally) and its descendants attend to it (fully), in separate calls of torch's
fused attention kernel, joined by their log-sum-exp. For a query with partial results (o_k, l_k) over disjoint keys,

    l = log Σ_k exp(l_k),    o = Σ_k exp(l_k − l) · o_k,

and the kernel's own backward, given the joined (o, l), yields each part's exact gradient, because the probabilities it
rebuilds are exp(q·k − l). On CUDA the same mask goes to FlexAttention, whose block mask skips what is masked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from ftkit.modeling.prefix_tree import PackedSequence

__all__ = ["TREE_ATTENTION", "TreeAttentionMask", "tree_attention_forward"]

TREE_ATTENTION = "ftkit_tree"
"""Name of this attention among transformers' attention implementations."""

Tensor = torch.Tensor
Span = tuple[int, int, int, int, bool]


@dataclass(frozen=True, slots=True)
class TreeAttentionMask:
    """What attention needs to know of a pack.

    Attributes:
        spans: ``(query start, query end, key start, key end, causal)``, one for each call of the kernel; the causal
            ones, which come first, cover each token once.
        block_mask: FlexAttention's form of the same mask, on CUDA.
    """

    spans: tuple[Span, ...]
    block_mask: Any = None

    @classmethod
    def from_pack(cls, pack: PackedSequence, device: torch.device) -> TreeAttentionMask:
        if device.type == "cuda":
            return cls((), _block_mask(torch.from_numpy(pack.subtree_end).to(device)))
        # Every token's own segment first: it begins the sums that its ancestors are then joined to.
        own = [(one.start, one.end, one.start, one.end, True) for one in pack.segments]
        ancestors = [
            (one.end, one.subtree_end, one.start, one.end, False) for one in pack.segments if one.subtree_end > one.end
        ]
        return cls((*own, *ancestors))


class _JoinedAttention(torch.autograd.Function):
    """Attention of one packed sequence on CPU. Shapes: query, key, value and result [1, heads, T, head size]."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float, spans: tuple[Span, ...]) -> Tensor:
        flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        heads, length = query.shape[1:3]
        joined = torch.empty(query.shape, dtype=torch.float32)
        total = torch.empty((1, heads, length))
        for q0, q1, k0, k1, causal in spans:
            part, lse = flash(query[:, :, q0:q1], key[:, :, k0:k1], value[:, :, k0:k1], is_causal=causal, scale=scale)
            if causal:
                joined[:, :, q0:q1], total[:, :, q0:q1] = part, lse
                continue
            share = torch.sigmoid(lse - total[:, :, q0:q1]).unsqueeze(-1)  # exp(lse − new total)
            joined[:, :, q0:q1].lerp_(part.float(), share)
            total[:, :, q0:q1] = torch.logaddexp(total[:, :, q0:q1], lse)
        result = joined.to(query.dtype)
        ctx.save_for_backward(query, key, value, result, total)
        ctx.scale, ctx.spans = scale, spans
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
        gradient = gradients[0]
        query, key, value, result, total = ctx.saved_tensors
        # Sums over many spans are kept in float32, whatever the model computes in.
        d_query, d_key, d_value = (torch.empty(x.shape, dtype=torch.float32) for x in (query, key, value))
        for q0, q1, k0, k1, causal in ctx.spans:
            dq, dk, dv = flash_backward(
                gradient[:, :, q0:q1],
                query[:, :, q0:q1],
                key[:, :, k0:k1],
                value[:, :, k0:k1],
                result[:, :, q0:q1],
                total[:, :, q0:q1],
                0.0,
                causal,
                scale=ctx.scale,
            )
            if causal:
                d_query[:, :, q0:q1], d_key[:, :, k0:k1], d_value[:, :, k0:k1] = dq, dk, dv
                continue
            d_query[:, :, q0:q1] += dq
            d_key[:, :, k0:k1] += dk
            d_value[:, :, k0:k1] += dv
        return d_query.to(query.dtype), d_key.to(key.dtype), d_value.to(value.dtype), None, None


def _block_mask(reach: Tensor) -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & (query < reach[key])

    length = int(reach.shape[0])
    return create_block_mask(sees, B=None, H=None, Q_LEN=length, KV_LEN=length, device=str(reach.device))


@cache
def _compiled_flex_attention() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True)


def tree_attention_forward(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    tree: TreeAttentionMask | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The attention function that transformers' models call: query [1, H, T, D], key and value [1, H/groups, T, D].

    Without a ``tree`` it is transformers' own SDPA attention. The result is [1, T, H, D].
    """
    if tree is None:
        result: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return result
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if tree.block_mask is not None:
        grouped = key.shape[1] != query.shape[1]
        out = _compiled_flex_attention()(query, key, value, block_mask=tree.block_mask, scale=scale, enable_gqa=grouped)
        return out.transpose(1, 2).contiguous(), None
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    out = _JoinedAttention.apply(query, key, value, scale, tree.spans)  # type: ignore[no-untyped-call]
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(TREE_ATTENTION, tree_attention_forward)
