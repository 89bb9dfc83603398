"""Attention for generation with grouped key-value heads, without copying keys and values for each query head.

The G query heads of a key-value head become further queries of that head, so keys and values are not copied:
[B, H, L, D] × [B, H/G, T, D] becomes [B, H/G, G·L, D] × [B, H/G, T, D].
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from ftkit.modeling.attention import changes_scores

__all__ = ["GROUPED_ATTENTION"]

GROUPED_ATTENTION = "ftkit_grouped"
"""Name of this attention among transformers' attention implementations."""

Tensor = torch.Tensor


def grouped_query_attention_forward(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Compute attention; transformers' models call this function.

    Args:
        module: the attention layer.
        query: [batch, heads, new tokens, head size].
        key: [batch, heads / groups, all tokens, head size].
        value: like ``key``.
        attention_mask: [batch, 1, new tokens, all tokens], added to the scores; None is causal. With a mask for each
            head, this is transformers' SDPA attention.
        scaling: factor of the scores; head size ** -0.5 by default.
        dropout: ignored, as this is used for generation.
        **kwargs: further arguments of transformers' attention functions. With those that change the scores, this is
            transformers' SDPA attention.

    Returns:
        The result [batch, new tokens, heads, head size], and None in place of attention weights.
    """
    shared_mask = attention_mask is None or attention_mask.shape[1] == 1
    if changes_scores(kwargs) or not shared_mask:
        result: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return result
    batch, heads, length, size = query.shape
    groups = heads // key.shape[1]
    causal = attention_mask is None and length > 1
    if groups == 1 or causal:
        out = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=attention_mask, is_causal=causal, scale=scaling, enable_gqa=groups > 1
        )
        return out.transpose(1, 2).contiguous(), None
    if attention_mask is not None:
        attention_mask = attention_mask.repeat(1, 1, groups, 1)
    folded = query.reshape(batch, heads // groups, groups * length, size)
    out = torch.nn.functional.scaled_dot_product_attention(folded, key, value, attn_mask=attention_mask, scale=scaling)
    return out.reshape(batch, heads, length, size).transpose(1, 2).contiguous(), None


AttentionInterface.register(GROUPED_ATTENTION, grouped_query_attention_forward)
AttentionMaskInterface.register(GROUPED_ATTENTION, sdpa_mask)
