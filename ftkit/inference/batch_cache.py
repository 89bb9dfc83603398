"""Keys and values of a growing batch, in room set aside once.

transformers' own dynamic cache copies everything it holds at each new token; for a batch of short answers on CPU that
takes as long as the model itself.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

__all__ = ["RoomyCache"]


class _Layer(CacheLayerMixin):  # type: ignore[misc]
    is_sliding = False
    is_croppable = False

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        shape = (*key_states.shape[:2], self.room)
        self.keys = key_states.new_empty((*shape, key_states.shape[-1]))
        self.values = value_states.new_empty((*shape, value_states.shape[-1]))
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.length + key_states.shape[-2]
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        return self.length

    def get_max_length(self) -> int:
        return self.room

    # Older transformers call it so.
    get_max_cache_shape = get_max_length


class RoomyCache(Cache):  # type: ignore[misc]
    """A key-value cache with room for ``room`` tokens in each of ``layers`` layers."""

    def __init__(self, layers: int, room: int) -> None:
        super().__init__(layers=[_Layer(room) for _ in range(layers)])

    def repeated(self, count: int, room: int) -> RoomyCache:
        """A cache that begins with ``count`` copies of this one's single row and has ``room`` tokens."""
        copy = RoomyCache(len(self.layers), room)
        for mine, theirs in zip(self.layers, copy.layers, strict=True):
            if mine.length:
                keys, values = (x[:, :, : mine.length].expand(count, -1, -1, -1) for x in (mine.keys, mine.values))
                theirs.update(keys, values)
        return copy

    def keep(self, rows: torch.Tensor) -> None:
        """Drop all rows of the batch but ``rows`` (indices)."""
        for layer in self.layers:
            layer.keys, layer.values = layer.keys[rows], layer.values[rows]
