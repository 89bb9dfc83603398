"""Keys and values of a batch whose rows come and go, each as long as it is.

A token's place in its row is its position in the conversation, so nothing is padded on the left and rows of any length
stand side by side. What lies beyond a row's end is never attended to and overwritten later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

__all__ = ["Slots"]

Tensor = torch.Tensor
Block = tuple[tuple[Tensor, Tensor], ...]
"""Keys and values [heads, tokens, head size] of some neighbouring tokens, one pair a layer."""

_STEP = 128
"""Room grows by so many tokens at a time, where they may be set aside."""

_LEAST = 16


class _Window:
    """Which rows and places the pass that is under way writes and reads."""

    def __init__(self) -> None:
        self.first = self.end = 0
        self.rows = torch.zeros((0, 1), dtype=torch.long)  # [rows, 1]
        self.places = torch.zeros((0, 0), dtype=torch.long)  # [rows, tokens]: where each new token goes
        self.width = 0  # places that are read


class _Layer(CacheLayerMixin):  # type: ignore[misc]
    is_sliding = False
    is_croppable = False

    def __init__(self, window: _Window, slots: Slots) -> None:
        super().__init__()
        self.window, self.slots = window, slots

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        rows, room = self.slots.rows, self.slots.room
        self.keys, self.values = (
            x.new_zeros((rows, x.shape[1], room, x.shape[-1])) for x in (key_states, value_states)
        )
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        now = self.window
        # Indexing by [rows, 1] and [rows, tokens] around the heads puts these two first: [rows, tokens, heads, size].
        self.keys[now.rows, :, now.places] = key_states.transpose(1, 2)
        self.values[now.rows, :, now.places] = value_states.transpose(1, 2)
        read = slice(now.first, now.end)
        return self.keys[read, :, : now.width], self.values[read, :, : now.width]

    def resize(self, rows: int, room: int) -> None:
        if not self.is_initialized:
            return
        kept, places = min(rows, self.keys.shape[0]), min(room, self.keys.shape[2])
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = old.new_zeros((rows, old.shape[1], room, old.shape[-1]))
            new[:kept, :, :places] = old[:kept, :, :places]
            setattr(self, name, new)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.window.width, 0

    def get_seq_length(self) -> int:
        return self.window.width

    def get_max_length(self) -> int:
        return self.slots.room

    # Older transformers call it so.
    get_max_cache_shape = get_max_length


class Slots(Cache):  # type: ignore[misc]
    """A key-value cache of ``layers`` layers, rows of it in use from the first on.

    Args:
        spare: whether memory may be set aside for that many tokens in all, so that growing copies less often.

    Attributes:
        rows: rows there is memory for.
        room: tokens of each row there is memory for.
    """

    def __init__(self, layers: int, spare: Callable[[int], bool]) -> None:
        self._now = _Window()
        self._spare = spare
        self.rows = self.room = 0
        super().__init__(layers=[_Layer(self._now, self) for _ in range(layers)])

    def make_room(self, rows: int, room: int) -> None:
        """Have memory for ``rows`` rows of ``room`` tokens at least."""
        if rows <= self.rows and room <= self.room:
            return
        rows, room = max(rows, self.rows), max(room, self.room)
        more_rows = rows if rows == self.rows else max(rows, self.rows + self.rows // 2)
        more_room = room if room == self.room else max(room, self.room + self.room // 4, room + _STEP)
        spare = self._spare(more_rows * more_room)
        # Without spare memory room still grows by a few tokens, or every token would copy all the others.
        self.rows, self.room = (more_rows, more_room) if spare else (rows, -(-room // _LEAST) * _LEAST)
        for layer in self.layers:
            layer.resize(self.rows, self.room)

    def clear(self) -> None:
        """Give all memory back."""
        self.rows = self.room = 0
        for layer in self.layers:
            layer.is_initialized = False
            layer.keys = layer.values = None

    def token_bytes(self) -> int:
        """Bytes that one token takes in all layers; 0 before the first pass."""
        held = [x for layer in self.layers if layer.is_initialized for x in (layer.keys, layer.values)]
        return sum(x.shape[1] * x.shape[-1] * x.element_size() for x in held)

    def aim(self, first: int, places: Tensor, width: int) -> None:
        """Have the next pass write row ``first + i``'s tokens to ``places[i]`` [rows, tokens], all below ``width``."""
        now = self._now
        now.first, now.end, now.places, now.width = first, first + len(places), places, width
        now.rows = torch.arange(now.first, now.end, device=places.device).unsqueeze(1)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first ``length`` tokens of row ``source`` over row ``target``."""
        for layer in self.layers:
            if layer.is_initialized:
                layer.keys[target, :, :length] = layer.keys[source, :, :length]
                layer.values[target, :, :length] = layer.values[source, :, :length]

    def copied(self, row: int, start: int, end: int) -> Block:
        """A copy of what a row holds from token ``start`` up to ``end``."""
        return tuple(
            (layer.keys[row, :, start:end].clone(), layer.values[row, :, start:end].clone()) for layer in self.layers
        )

    def fill(self, row: int, blocks: Sequence[Block]) -> None:
        """Begin a row with blocks that lay one after another."""
        for number, layer in enumerate(self.layers):
            keys = torch.cat([block[number][0] for block in blocks], dim=1)
            values = torch.cat([block[number][1] for block in blocks], dim=1)
            if not layer.is_initialized:
                layer.lazy_initialization(keys.unsqueeze(0), values.unsqueeze(0))
            layer.keys[row, :, : keys.shape[1]] = keys
            layer.values[row, :, : values.shape[1]] = values
