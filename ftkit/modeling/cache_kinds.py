"""What a config says about the tokens that layers attend to, besides causal and sliding-window attention."""

from __future__ import annotations

from typing import Any

__all__ = ["has_other_caches", "other_attention"]

_PLAIN_LAYERS = {"full_attention", "sliding_attention"}

_LIMITS = ("index_topk", "indexer_budget", "index_topk_blocks", "keep_window_size", "attention_window_size")
"""Fields of configs that limit how many tokens a layer attends to; layers apply them to the tokens of a pass."""


def other_attention(config: Any) -> str | None:
    """Name what layers do besides attending to all earlier tokens or to those of a sliding window.

    A trial on a few tokens cannot see it: such layers choose among many tokens, or keep a state.

    Args:
        config: a transformers config.

    Returns:
        The kinds of layers, or the field that limits attention; None for plain attention.
    """
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ()) - _PLAIN_LAYERS
    if kinds:
        return f"it has layers of kind {', '.join(sorted(kinds))}"
    if "local" in (getattr(text, "attention_layers", None) or ()):
        return "it has layers of kind local"
    limits = [name for name in _LIMITS if getattr(text, name, None)]
    return f"its {limits[0]} limits the tokens that a layer attends to" if limits else None


def has_other_caches(model: Any) -> bool:
    """Say whether layers of a model may keep something else than keys and values of every token.

    Args:
        model: a transformers model.

    Returns:
        True for linear attention, chunked attention, state spaces and the like, as far as the config says it.
    """
    return other_attention(model.config) is not None
