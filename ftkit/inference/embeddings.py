"""Embeddings of texts from a causal language model: the mean of its last hidden states."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ftkit.errors import DataError
from ftkit.modeling.pretrained import Pretrained

__all__ = ["embeddings"]


@torch.inference_mode()
def embeddings(pretrained: Pretrained, texts: Sequence[str]) -> list[list[float]]:
    """The embedding of each text: its final hidden states, averaged over its tokens in float32 (mean pooling, Reimers &
    Gurevych 2019, arXiv 1908.10084). Plain text, without chat template; a text of no tokens has the zero vector.

    Raises:
        DataError: a text is longer than the model takes.
    """
    model = pretrained.model
    decoder = model.get_decoder()
    found = []
    for number, text in enumerate(texts, start=1):
        ids = pretrained.tokenizer(text, add_special_tokens=False)["input_ids"]
        if pretrained.max_length is not None and len(ids) > pretrained.max_length:
            raise DataError(
                f"text {number} has {len(ids):,} tokens, and {pretrained.source.name} takes {pretrained.max_length:,}"
            )
        if not ids:
            found.append([0.0] * model.config.hidden_size)
            continue
        rows = torch.tensor([ids], device=model.device)
        hidden = decoder(input_ids=rows, use_cache=False).last_hidden_state[0]
        found.append(hidden.float().mean(dim=0).tolist())
    return found
