"""Uniform noise on the embeddings of training rows: NEFTune (Jain et al. 2023, arXiv 2310.05914)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ftkit.modeling.prefix_tree import PackedSequence

__all__ = ["EmbeddingNoise"]


class EmbeddingNoise:
    """Adds noise of at most alpha / √(L·d) to each element of the embeddings, L being the tokens of the row.

    A prefix that rows of a pass share has one noise, and the L of the longest of these rows.

    Args:
        model: the transformers model, whose embedding layer gets a hook.
        alpha: the paper's α.

    Attributes:
        enabled: whether noise is added.
    """

    def __init__(self, model: Any, alpha: float) -> None:
        self.alpha = alpha
        self.enabled = True
        self._lengths: Tensor | None = None
        model.get_input_embeddings().register_forward_hook(self._add)

    @contextmanager
    def of_pack(self, pack: PackedSequence, device: torch.device) -> Iterator[None]:
        """Say inside a ``with`` block that the rows are those of a pack. Without it each input is one row.

        Args:
            pack: the packed sequence.
            device: where the model is.

        Yields:
            Nothing.
        """
        lengths = torch.empty(len(pack.ids), device=device)
        for segment in pack.segments:
            rows = pack.positions[segment.start : segment.subtree_end]  # of all rows that go through the segment
            lengths[segment.start : segment.end] = float(rows.max() + 1)
        self._lengths = lengths
        try:
            yield
        finally:
            self._lengths = None

    def _add(self, layer: torch.nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        if not self.enabled:
            return None
        lengths = output.new_full(output.shape[1:2], output.shape[1]) if self._lengths is None else self._lengths
        largest = self.alpha / torch.sqrt(lengths * output.shape[-1]).unsqueeze(-1)
        return output + (torch.empty_like(output).uniform_(-1, 1) * largest).to(output.dtype)
