"""Embeddings of texts from a causal language model: the mean of its last hidden states."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ftkit.errors import DataError
from ftkit.modeling.pretrained import Pretrained
from ftkit.modeling.text_encoder import plain_ids

__all__ = ["embeddings"]


@torch.inference_mode()
def embeddings(pretrained: Pretrained, texts: Sequence[str]) -> list[list[float]]:
    """Embed texts by mean pooling (Reimers & Gurevych 2019, arXiv 1908.10084).

    An embedding is the mean of the last hidden states over all tokens of the text, in float32.

    Args:
        pretrained: the loaded model.
        texts: plain texts, without chat template. A text of no tokens has the zero vector.

    Returns:
        One vector of the model's hidden size per text.

    Raises:
        DataError: a text is longer than the model takes.
    """
    model = pretrained.model
    decoder = model.get_decoder()
    vectors = []
    for number, text in enumerate(texts, start=1):
        ids = plain_ids(pretrained.tokenizer, text)
        if pretrained.max_length is not None and len(ids) > pretrained.max_length:
            raise DataError(
                f"text {number} has {len(ids):,} tokens, and {pretrained.source.name} takes {pretrained.max_length:,}"
            )
        if not ids:
            vectors.append([0.0] * model.config.hidden_size)
            continue
        hidden = decoder(input_ids=torch.tensor([ids], device=model.device), use_cache=False).last_hidden_state[0]
        vectors.append(hidden.float().mean(dim=0).tolist())
    return vectors
