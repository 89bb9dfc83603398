"""Check that a model predicts each token from the tokens before it."""

from __future__ import annotations

from typing import Any

import torch

from ftkit.errors import ModelError

__all__ = ["check_causal", "trial_tokens"]

_MOST = {torch.float32: 1e-2}
_MOST_COARSE = 0.3
"""Largest relative change of a prediction by rounding, when later tokens are left out."""


def trial_tokens(model: Any, length: int) -> torch.Tensor:
    """Choose tokens to try a model with.

    Args:
        model: a transformers model.
        length: how many.

    Returns:
        Token ids int64 ``[1, length]`` from all over the vocabulary, without the tokens that the config names, which
        may mean something else than text.
    """
    config = model.config.get_text_config()
    size = int(model.get_input_embeddings().weight.shape[0])
    size = min(size, int(getattr(config, "vocab_size", None) or size))
    named = {
        value
        for one in (config, model.config)
        for name, value in one.to_dict().items()
        if name.endswith(("_token_id", "_token_index")) and isinstance(value, int)
    }
    step = max(1, int(size * 0.618))
    while size % step == 0 and step > 1:
        step -= 1
    ids = [number * step % size for number in range(1, min(size, 4 * length + len(named)) + 1)]
    plain = [token for token in ids if token not in named] or ids
    chosen = [plain[number % len(plain)] for number in range(length)]
    return torch.tensor([chosen], device=model.device)


@torch.no_grad()
def check_causal(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Check that a model's predictions do not depend on later tokens.

    Args:
        model: a transformers model.
        ids: tokens to try it with, ``[1, tokens]``.

    Returns:
        The logits of all tokens, float32 ``[tokens, vocabulary]``.

    Raises:
        ModelError: they depend on later tokens, as those of encoders do.
    """
    half = ids.shape[1] // 2
    whole: torch.Tensor = model(input_ids=ids, use_cache=False).logits[0].float()
    first: torch.Tensor = model(input_ids=ids[:, :half], use_cache=False).logits[0].float()
    error = (whole[:half] - first).norm(dim=-1) / first.norm(dim=-1).clamp(min=1e-12)
    if len(whole) != ids.shape[1] or bool(error.median() > _MOST.get(model.dtype, _MOST_COARSE)):
        raise ModelError(
            f"{type(model).__name__} predicts a token from the tokens after it, too, so it can neither write text nor "
            "learn to; take a decoder (an encoder such as BERT needs is_decoder=true in its config.json)"
        )
    return whole
