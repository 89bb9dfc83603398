"""Exact attention over a tree of sequences (see :mod:`ftkit.modeling.prefix_tree`), for transformers' models.

On a CPU it is computed call by call of a kernel (:mod:`ftkit.modeling.joined_attention`). On CUDA, FlexAttention
computes the same mask, and skips masked blocks. Sliding windows, soft caps of the scores (Gemma 2) and sinks (gpt-oss)
are a part of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from ftkit.modeling.joined_attention import joined_attention
from ftkit.modeling.tree_mask import TreeAttentionMask

__all__ = ["TREE_ATTENTION", "TreeAttentionMask", "changes_scores", "own_attention", "tree_attention_forward"]

TREE_ATTENTION = "ftkit_tree"
"""Name of this attention among transformers' attention implementations."""

Tensor = torch.Tensor

_OTHER_ARGUMENTS = ("position_bias", "sinks", "indices", "block_indices")
_SCORE_ARGUMENTS = ("softcap", "s_aux", *_OTHER_ARGUMENTS)


def changes_scores(arguments: Mapping[str, Any]) -> bool:
    """Say whether a model asks for more than scaled dot products: biases, soft caps, sinks, chosen tokens.

    Args:
        arguments: the further arguments of transformers' attention functions.

    Returns:
        Whether it does.
    """
    return arguments.get("is_causal") is False or any(arguments.get(name) is not None for name in _SCORE_ARGUMENTS)


def own_attention(model: Any) -> str:
    """Name transformers' own attention for a model, which makes the masks that the model needs.

    Args:
        model: a transformers model.

    Returns:
        ``"sdpa"``, or ``"eager"`` for models whose attention is more than scaled dot products.
    """
    return "sdpa" if getattr(model, "_supports_sdpa", False) else "eager"


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
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
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
        sliding_window: tokens that a token attends to, itself included; None for all.
        softcap: the largest score, approached softly.
        s_aux: sinks: the score [heads] of a token without a value.
        **kwargs: further arguments of transformers' attention functions.

    Returns:
        The result [1, tokens, heads, head size], and None in place of attention weights.

    Raises:
        NotImplementedError: the model's attention is more than scaled dot products with windows, soft caps and sinks.
    """
    length = query.shape[2]
    window = sliding_window if sliding_window is not None and 0 < sliding_window < key.shape[2] else None
    is_plain = window is None and softcap is None and s_aux is None
    if tree is None and (is_plain or attention_mask is not None):
        if softcap is not None or s_aux is not None:
            raise NotImplementedError("soft caps and sinks beside a mask of transformers")
        result: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return result
    if changes_scores(kwargs) or key.shape[2] != length:
        raise NotImplementedError("its attention has more than scaled dot products")
    tree = TreeAttentionMask.of_row(length, query.device) if tree is None else tree
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if query.device.type == "cuda":
        out = _flex(query, key, value, scale, tree.block_mask(window), softcap, s_aux)
        return out.transpose(1, 2).contiguous(), None
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    size = value.shape[-1]
    if size != query.shape[-1]:  # multi-head latent attention; the kernel takes one size only
        value = torch.nn.functional.pad(value, (0, query.shape[-1] - size))
    out = joined_attention(query, key, value, scale, tree, window=window, softcap=softcap, sinks=s_aux)
    return out[..., :size].transpose(1, 2).contiguous(), None


def _flex(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale: float,
    block_mask: Any,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """FlexAttention, with sinks joined by the log-sum-exp, as in transformers' own integration."""
    more: dict[str, Any] = {}
    if softcap is not None:
        cap = softcap

        def capped(score: Tensor, batch: Tensor, head: Tensor, row: Tensor, column: Tensor) -> Tensor:
            return cap * torch.tanh(score / cap)

        more["score_mod"] = capped
    grouped = key.shape[1] != query.shape[1]
    attend = _compiled_flex_attention()
    if sinks is None:
        out: Tensor = attend(query, key, value, block_mask=block_mask, scale=scale, enable_gqa=grouped, **more)
        return out
    out, lse = attend(
        query, key, value, block_mask=block_mask, scale=scale, enable_gqa=grouped, return_lse=True, **more
    )
    share = torch.sigmoid(lse - sinks.view(1, -1, 1)).unsqueeze(-1)
    return out * share.to(out.dtype)


AttentionInterface.register(TREE_ATTENTION, tree_attention_forward)
