"""A key-value cache whose rows join and leave the batch, each with a length of its own.

A token's index in its row is its position in the conversation, so nothing is padded on the left, and rows of any length
stand side by side. What lies beyond a row's end is never attended to, and is overwritten later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin
from typing_extensions import override

__all__ = ["KVBlock", "KVCache"]

Tensor = torch.Tensor
KVBlock = tuple[tuple[Tensor, Tensor], ...]
"""Keys and values ``[heads, tokens, head size]`` of neighbouring tokens, one pair per layer."""

_GROWTH_TOKENS = 128
"""Rows grow by at least this many tokens, where the memory limit allows it."""

_ALIGNMENT = 16

_NOTHING = (torch.empty(0, 0, 0), torch.empty(0, 0, 0))
"""Of a layer that keeps nothing, because it reads another layer's keys and values."""


class _PassRegion:
    """Which rows and positions the current forward pass writes and reads."""

    def __init__(self) -> None:
        self.first = self.end = 0
        self.rows = torch.zeros((0, 1), dtype=torch.long)  # [rows, 1]
        self.positions = torch.zeros((0, 0), dtype=torch.long)  # [rows, tokens]: where each new token goes
        self.slice: slice | None = None  # the same where all rows write the same positions
        self.width = 0  # positions that are read


class _Layer(CacheLayerMixin):  # type: ignore[misc]
    is_sliding = False
    is_croppable = False

    def __init__(self, region: _PassRegion, cache: KVCache) -> None:
        super().__init__()
        self.region, self.cache = region, cache

    @override
    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        rows, room = self.cache.rows, self.cache.room
        self.keys, self.values = (
            x.new_zeros((rows, x.shape[1], room, x.shape[-1])) for x in (key_states, value_states)
        )
        self.is_initialized = True

    @override
    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        now = self.region
        read = slice(now.first, now.end)
        if now.slice is not None:
            self.keys[read, :, now.slice] = key_states
            self.values[read, :, now.slice] = value_states
        else:
            # Indexing by [rows, 1] and [rows, tokens] around the heads gives [rows, tokens, heads, size].
            self.keys[now.rows, :, now.positions] = key_states.transpose(1, 2)
            self.values[now.rows, :, now.positions] = value_states.transpose(1, 2)
        return self.keys[read, :, : now.width], self.values[read, :, : now.width]

    def resize(self, rows: int, room: int) -> None:
        if not self.is_initialized:
            return
        copied_rows, copied = min(rows, self.keys.shape[0]), min(room, self.keys.shape[2])
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = old.new_zeros((rows, old.shape[1], room, old.shape[-1]))
            new[:copied_rows, :, :copied] = old[:copied_rows, :, :copied]
            setattr(self, name, new)

    @override
    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.region.width, 0

    @override
    def get_seq_length(self) -> int:
        return self.region.width

    def get_max_length(self) -> int:
        return self.cache.room

    # Older versions of transformers use this name.
    get_max_cache_shape = get_max_length


class KVCache(Cache):  # type: ignore[misc]
    """Keys and values of a batch; its rows are in use from the first on.

    Args:
        layers: number of layers of the model.
        may_allocate: says whether memory for this many tokens in all may be allocated ahead of need, so that the cache
            grows, and copies, less often.

    Attributes:
        rows: rows that memory is allocated for.
        room: tokens of each row that memory is allocated for.
    """

    def __init__(self, layers: int, may_allocate: Callable[[int], bool]) -> None:
        self._region = _PassRegion()
        self._may_allocate = may_allocate
        self.rows = self.room = 0
        super().__init__(layers=[_Layer(self._region, self) for _ in range(layers)])

    def reserve(self, rows: int, room: int) -> None:
        """Allocate memory for at least ``rows`` rows of ``room`` tokens.

        Args:
            rows: rows that are needed.
            room: tokens per row that are needed.
        """
        if rows <= self.rows and room <= self.room:
            return
        rows, room = max(rows, self.rows), max(room, self.room)
        more_rows = rows if rows == self.rows else max(rows, self.rows + self.rows // 2)
        more_room = room if room == self.room else max(room, self.room + self.room // 4, room + _GROWTH_TOKENS)
        ahead = self._may_allocate(more_rows * more_room)
        # Without memory to spare, rows still grow by a few tokens at a time: otherwise every token copies all others.
        self.rows, self.room = (more_rows, more_room) if ahead else (rows, -(-room // _ALIGNMENT) * _ALIGNMENT)
        for layer in self.layers:
            layer.resize(self.rows, self.room)

    def clear(self) -> None:
        """Free all memory."""
        self.rows = self.room = 0
        for layer in self.layers:
            layer.is_initialized = False
            layer.keys = layer.values = None

    def token_bytes(self) -> int:
        """Measure the memory of one token.

        Returns:
            Bytes over all layers; 0 before the first pass.
        """
        held = [x for layer in self.layers if layer.is_initialized for x in (layer.keys, layer.values)]
        return sum(x.shape[1] * x.shape[-1] * x.element_size() for x in held)

    def set_region(self, first: int, starts: Sequence[int], positions: Tensor, width: int) -> None:
        """Choose what the next forward pass writes and reads.

        Args:
            first: the first row of the pass; the others follow it.
            starts: position of the first new token of each row.
            positions: ``[rows, tokens]``, the position of each new token, below ``width``.
            width: positions that the pass reads.
        """
        now = self._region
        now.first, now.end, now.positions, now.width = first, first + len(starts), positions, width
        same = all(start == starts[0] for start in starts)
        now.slice = slice(starts[0], starts[0] + positions.shape[1]) if same else None
        now.rows = torch.arange(now.first, now.end, device=positions.device).unsqueeze(1)

    def copy_row(self, source: int, target: int, length: int) -> None:
        """Copy the first tokens of a row over another row.

        Args:
            source: row to read.
            target: row to write.
            length: how many tokens.
        """
        for layer in self.layers:
            if layer.is_initialized:
                layer.keys[target, :, :length] = layer.keys[source, :, :length]
                layer.values[target, :, :length] = layer.values[source, :, :length]

    def read_block(self, row: int, start: int, end: int) -> KVBlock:
        """Copy the tokens of a row out of the cache.

        Args:
            row: the row.
            start: the first position.
            end: the position after the last.

        Returns:
            Keys and values of each layer.
        """
        return tuple(
            (layer.keys[row, :, start:end].clone(), layer.values[row, :, start:end].clone())
            if layer.is_initialized
            else _NOTHING
            for layer in self.layers
        )

    def write_blocks(self, row: int, blocks: Sequence[KVBlock]) -> None:
        """Fill a row from its first position on.

        Args:
            row: the row.
            blocks: neighbouring blocks in their order.
        """
        for number, layer in enumerate(self.layers):
            start = 0
            for block in blocks:
                keys, values = block[number]
                if not keys.shape[0]:  # the layer reads another one's
                    continue
                if not layer.is_initialized:
                    layer.lazy_initialization(keys.unsqueeze(0), values.unsqueeze(0))
                end = start + keys.shape[1]
                layer.keys[row, :, start:end] = keys
                layer.values[row, :, start:end] = values
                start = end
