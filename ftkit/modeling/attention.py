"""Exact attention over a tree of sequences (see :mod:`ftkit.modeling.prefix_tree`), with memory linear in the tokens.

On CPU each segment attends to itself (causally) and its descendants attend to it (fully), in separate calls of torch's
fused attention kernel, joined by their log-sum-exp. For a query with partial results (o_k, l_k) over disjoint keys,

    l = log Σ_k exp(l_k),    o = Σ_k exp(l_k − l) · o_k,

and the kernel's own backward, given the joined (o, l), yields the exact gradient of each part, because the
probabilities that it recomputes are exp(q·k − l). On CUDA, FlexAttention computes the same mask, and skips masked
blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from ftkit.modeling.prefix_tree import PackedSequence

__all__ = ["TREE_ATTENTION", "TreeAttentionMask", "changes_scores", "tree_attention_forward"]

TREE_ATTENTION = "ftkit_tree"
"""Name of this attention among transformers' attention implementations."""

Tensor = torch.Tensor
Span = tuple[int, int, int, int, bool]


@dataclass(frozen=True, slots=True)
class TreeAttentionMask:
    """The attention mask of a packed sequence.

    Attributes:
        spans: ``(query start, query end, key start, key end, causal)``, one for each call of the kernel. The causal
            spans come first, and cover each token once.
        block_mask: FlexAttention's form of the same mask, on CUDA.
    """

    spans: tuple[Span, ...]
    block_mask: Any = None

    @classmethod
    def from_pack(cls, pack: PackedSequence, device: torch.device) -> TreeAttentionMask:
        """Make the mask of a packed sequence.

        Args:
            pack: the packed sequence.
            device: where it is computed.

        Returns:
            The mask.
        """
        if device.type == "cuda":
            return cls((), _block_mask(torch.from_numpy(pack.subtree_end).to(device)))
        # Each token's own segment first: it starts the sums to which the ancestors are joined.
        own = [(each.start, each.end, each.start, each.end, True) for each in pack.segments]
        ancestors = [
            (each.end, each.subtree_end, each.start, each.end, False)
            for each in pack.segments
            if each.subtree_end > each.end
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
        # Sums over many spans are in float32, whatever the model's type.
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


_SCORE_ARGUMENTS = ("position_bias", "softcap", "s_aux", "sinks", "indices", "block_indices")


def changes_scores(arguments: Mapping[str, Any]) -> bool:
    """Say whether a model asks for more than scaled dot products: biases, soft caps, sinks, chosen tokens.

    Args:
        arguments: the further arguments of transformers' attention functions.

    Returns:
        Whether it does.
    """
    return arguments.get("is_causal") is False or any(arguments.get(name) is not None for name in _SCORE_ARGUMENTS)


def _block_mask(subtree_end: Tensor) -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    def mask(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & (query < subtree_end[key])

    length = int(subtree_end.shape[0])
    return create_block_mask(mask, B=None, H=None, Q_LEN=length, KV_LEN=length, device=str(subtree_end.device))


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
    """Compute attention; transformers' models call this function. Without a mask it is transformers' SDPA attention.

    Args:
        module: the attention layer.
        query: [1, heads, tokens, head size].
        key: [1, heads / groups, tokens, head size].
        value: like ``key``.
        attention_mask: transformers' own mask, used only without ``tree``.
        scaling: factor of the scores; head size ** -0.5 by default.
        dropout: used only without ``tree``.
        tree: the mask of a packed sequence.
        **kwargs: further arguments of transformers' attention functions.

    Returns:
        The result [1, tokens, heads, head size], and None in place of attention weights.

    Raises:
        NotImplementedError: the model's attention is more than scaled dot products, and ``tree`` is given.
    """
    if tree is None:
        result: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return result
    if changes_scores(kwargs):
        raise NotImplementedError("its attention has more than scaled dot products")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if tree.block_mask is not None:
        grouped = key.shape[1] != query.shape[1]
        out = _compiled_flex_attention()(query, key, value, block_mask=tree.block_mask, scale=scale, enable_gqa=grouped)
        return out.transpose(1, 2).contiguous(), None
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    size = value.shape[-1]
    if size != query.shape[-1]:  # multi-head latent attention; the kernel takes one size only
        value = torch.nn.functional.pad(value, (0, query.shape[-1] - size))
    out = _JoinedAttention.apply(query, key, value, scale, tree.spans)[..., :size]  # type: ignore[no-untyped-call]
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(TREE_ATTENTION, tree_attention_forward)
