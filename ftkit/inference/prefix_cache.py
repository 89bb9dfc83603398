"""Beginnings of prompts that were computed before: blocks of keys and values, found by the tokens that lead to them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from hashlib import blake2b

import numpy as np

from ftkit.inference.kv_cache import Block, Slots
from ftkit.modeling.tokenized_example import Ints

__all__ = ["BLOCK", "Prefixes", "names_of"]

BLOCK = 32
"""Tokens of a block."""


def names_of(adapter: str | None, ids: Ints) -> Iterator[bytes]:
    """A name for each whole block of ``ids``, which says the adapter and every token up to the block's end."""
    name = blake2b((adapter or "").encode(), digest_size=16).digest()
    plain = np.asarray(ids, dtype=np.int32)
    for start in range(0, len(plain) - BLOCK + 1, BLOCK):
        name = blake2b(name + plain[start : start + BLOCK].tobytes(), digest_size=16).digest()
        yield name


class Prefixes:
    """Blocks within ``limit`` bytes; those not used for longest go first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._blocks: OrderedDict[bytes, Block] = OrderedDict()
        self._bytes = 0

    @property
    def held_bytes(self) -> int:
        """Bytes that are held."""
        return self._bytes

    def known(self, adapter: str | None, ids: Ints) -> list[Block]:
        """The blocks that ``ids`` begin with, without the last token, whose logits are wanted."""
        found: dict[bytes, Block] = {}
        for name in names_of(adapter, ids[:-1]):
            if name not in self._blocks:
                break
            found[name] = self._blocks[name]
        self._used(found)
        return [*found.values()]

    def first_unknown(self, adapter: str | None, ids: Ints) -> bytes | None:
        """Name of the first block of ``ids`` that is not held; ``None`` when all are."""
        return next((name for name in names_of(adapter, ids[:-1]) if name not in self._blocks), None)

    def keep(self, adapter: str | None, ids: Ints, slots: Slots, row: int) -> None:
        """Copy the whole blocks of a row that holds ``ids``."""
        names = [*names_of(adapter, ids)]
        for number, name in enumerate(names):
            if name not in self._blocks:
                block = slots.copied(row, number * BLOCK, (number + 1) * BLOCK)
                self._blocks[name] = block
                self._bytes += _size(block)
        self._used(names)
        while self._bytes > self._limit:
            _, dropped = self._blocks.popitem(last=False)
            self._bytes -= _size(dropped)

    def _used(self, names: Iterable[bytes]) -> None:
        # Later blocks are of no use without earlier ones, so they are to be dropped first.
        for name in reversed([*names]):
            self._blocks.move_to_end(name)


def _size(block: Block) -> int:
    return sum(x.numel() * x.element_size() for pair in block for x in pair)
