"""A prefix cache: keys and values of token sequences that were computed before, in a radix tree.

Each node holds a run of tokens; the path from the root spells a prefix. A prompt reuses the longest path that it starts
with, to the token (RadixAttention, Zheng et al. 2023, arXiv 2312.07104).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from ftkit.inference.kv_cache import KVBlock, KVCache
from ftkit.modeling.prefix_tree import shared_length
from ftkit.modeling.tokenized_example import Ints

__all__ = ["MIN_SHARED_TOKENS", "CacheKey", "PrefixCache"]

CacheKey = tuple[str | None, str | None]
"""Who shares prefixes: the adapter that computes them (None for the base model), and the scope of the requests."""

MIN_SHARED_TOKENS = 16
"""A shorter match is not reused: copying it takes as long as computing it."""


class _Node:
    __slots__ = ("block", "children", "ids", "parent")

    def __init__(self, ids: Ints, block: KVBlock, parent: _Node | None) -> None:
        self.ids, self.block, self.parent = ids, block, parent
        self.children: dict[int, _Node] = {}

    @property
    def size(self) -> int:
        return sum(x.numel() * x.element_size() for pair in self.block for x in pair)


class PrefixCache:
    """Keys and values of prefixes within a memory limit; the least recently used are dropped first.

    Args:
        max_bytes: memory limit; 0 keeps nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._roots: dict[CacheKey, _Node] = {}
        # Least recently used first. Using a node uses its ancestors after it, so the first one is always a leaf.
        self._nodes: OrderedDict[_Node, None] = OrderedDict()
        self._bytes = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of memory in use."""
        return self._bytes

    def match(self, key: CacheKey, ids: Ints) -> tuple[int, list[KVBlock]]:
        """Find the longest stored prefix of a token sequence, without its last token, whose logits are needed.

        Args:
            key: who may have computed it.
            ids: ``[tokens]``.

        Returns:
            How many leading tokens are stored, and their keys and values; 0 if fewer than ``MIN_SHARED_TOKENS`` are.
        """
        length, blocks, node = 0, [], None
        for node, shared in self._path(key, ids[:-1]):
            blocks.append(_slice(node.block, 0, shared))
            length += shared
        if length < MIN_SHARED_TOKENS:
            return 0, []
        self._use(node)
        return length, blocks

    def insert(self, key: CacheKey, ids: Ints, cache: KVCache, row: int) -> None:
        """Store the keys and values of a row.

        Args:
            key: who may reuse them.
            ids: the tokens of the row, ``[tokens]``.
            cache: where the row is.
            row: its number.
        """
        if not self.max_bytes or len(ids) < MIN_SHARED_TOKENS:
            return
        length, parent = 0, self._roots.setdefault(key, _Node(ids[:0], (), None))
        for node, shared in [*self._path(key, ids)]:  # a list, because splitting changes the path
            length += shared
            parent = node if shared == len(node.ids) else self._split(node, shared)
        if length < len(ids):
            leaf = _Node(ids[length:], cache.read_block(row, length, len(ids)), parent)
            parent.children[int(ids[length])] = leaf
            self._nodes[leaf] = None
            self._bytes += leaf.size
            parent = leaf
        self._use(parent)
        while self._bytes > self.max_bytes:
            self._drop(next(iter(self._nodes)))

    def _path(self, key: CacheKey, ids: Ints) -> Iterator[tuple[_Node, int]]:
        """Yield the nodes that spell ``ids`` and how many tokens of each do; only the last may be shared in part."""
        node, at = self._roots.get(key), 0
        while node is not None and at < len(ids):
            node = node.children.get(int(ids[at]))
            if node is None:
                return
            shared = shared_length(node.ids, ids[at:])
            yield node, shared
            if shared < len(node.ids):
                return
            at += shared

    def _split(self, node: _Node, at: int) -> _Node:
        """Cut a node in two at token ``at``; returns the first part."""
        assert node.parent is not None  # noqa: S101  (roots hold no tokens)
        first = _Node(node.ids[:at], _slice(node.block, 0, at, copy=True), node.parent)
        node.parent.children[int(node.ids[0])] = first
        node.block, node.ids = _slice(node.block, at, len(node.ids), copy=True), node.ids[at:]
        node.parent, first.children = first, {int(node.ids[0]): node}
        self._nodes[first] = None
        return first

    def _use(self, node: _Node | None) -> None:
        while node is not None and node.parent is not None:
            self._nodes.move_to_end(node)
            node = node.parent

    def _drop(self, leaf: _Node) -> None:
        assert leaf.parent is not None  # noqa: S101
        del self._nodes[leaf]
        del leaf.parent.children[int(leaf.ids[0])]
        self._bytes -= leaf.size


def _slice(block: KVBlock, start: int, end: int, *, copy: bool = False) -> KVBlock:
    if not copy and block and start == 0 and end == block[0][0].shape[1]:
        return block
    pairs = ((keys[:, start:end], values[:, start:end]) for keys, values in block)
    return tuple((keys.clone(), values.clone()) if copy else (keys, values) for keys, values in pairs)
