"""Sequences laid out as a tree, so that a beginning which several of them share is computed once.

A pack is one sequence of tokens in which each *segment* is followed by its descendants (preorder)::

    [ system prompt | note 1 + answer | note 2 + answer | … ]
      segment 0       segment 1         segment 2

A token attends to itself, to what precedes it in its own segment, and to all of its segment's ancestors. Because of the
preorder, that is: token i sees token j exactly when ``j <= i < reach[j]``, where ``reach[j]`` is the end of the subtree
of j's segment. Positions are those of the original sequences, so the result equals computing each sequence alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ftkit.engine.rendered import Ints, Rendered

__all__ = ["Pack", "Segment", "pack", "packs_within", "shared_length", "sort_key"]

MIN_SHARED = 16
"""Beginnings shorter than this are not worth a segment of their own."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Tokens ``start:end`` of a pack; its descendants are ``end:reach``."""

    start: int
    end: int
    reach: int


@dataclass(frozen=True, slots=True)
class Pack:
    """One tree of sequences, ready to be computed. T tokens, S supervised predictions.

    Attributes:
        ids: token ids, int64 [T].
        positions: position of each token in its own sequence, int64 [T].
        segments: the segments in layout order.
        at: where each prediction is made, an index into the pack, int64 [S].
        targets: the token that should follow there, int64 [S].
        weights: how many sequences ask for that prediction, float32 [S].
        sequences: how many sequences are in the pack.
        unpacked_tokens: tokens of all sequences added up, before sharing.
    """

    ids: Ints
    positions: Ints
    segments: tuple[Segment, ...]
    at: Ints
    targets: Ints
    weights: NDArray[np.float32]
    sequences: int
    unpacked_tokens: int

    @property
    def reach(self) -> Ints:
        """End of the subtree of each token's segment, int64 [T]."""
        return np.repeat(
            np.array([segment.reach for segment in self.segments], dtype=np.int64),
            [segment.end - segment.start for segment in self.segments],
        )


class _Layout:
    """Grows a pack, segment by segment."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.columns: list[tuple[Ints, Ints, Ints, Ints, NDArray[np.float32]]] = []
        self.size = 0

    def place(self, group: Sequence[Rendered], begin: int, before: int, *, share: bool) -> None:
        """Lay out ``group``, sorted and equal up to position ``begin``, from there on.

        Args:
            before: index in the pack of the token at position ``begin - 1``.
        """
        last = group[-1].ids
        end = len(last) if len(group) == 1 else shared_length(group[0].ids, last)
        start, number = self.size, len(self.segments)
        self.segments.append(Segment(start, start, start))
        weights: NDArray[np.float32] = np.stack([one.supervised[begin:end] for one in group]).sum(
            axis=0, dtype=np.float32
        )
        asked = np.flatnonzero(weights)
        at = start + asked - 1
        at[asked == 0] = before
        tokens = last[begin:end]
        self.columns.append((tokens, np.arange(begin, end), at, tokens[asked], weights[asked]))
        self.size += end - begin
        for branch in _branches(group, end, share=share):
            self.place(branch, end, start + end - begin - 1, share=share)
        self.segments[number] = Segment(start, start + end - begin, self.size)


def shared_length(first: Ints, second: Ints) -> int:
    """Number of leading tokens that two sequences have in common."""
    length = min(len(first), len(second))
    differ = np.flatnonzero(first[:length] != second[:length])
    return int(differ[0]) if len(differ) else length


def _branches(group: Sequence[Rendered], begin: int, *, share: bool) -> Iterator[Sequence[Rendered]]:
    """Cut a sorted group, equal up to ``begin``, into the groups that go on together for a while."""
    rest = [one for one in group if len(one.ids) > begin]
    while rest:
        size = 1
        # The group is sorted, so what is shared with its first member only gets shorter.
        while share and size < len(rest) and shared_length(rest[0].ids, rest[size].ids) - begin >= MIN_SHARED:
            size += 1
        yield rest[:size]
        rest = rest[size:]


def sort_key(one: Rendered) -> tuple[bytes, bytes]:
    """Sorts sequences by their tokens, then by what is supervised. Big-endian bytes compare as the numbers do."""
    return one.ids.astype(">u4").tobytes(), one.supervised.tobytes()


def pack(sequences: Sequence[Rendered], *, share: bool = True) -> Pack:
    """Lay out ``sequences`` as one tree; the result does not depend on their order.

    With ``share`` off every sequence is a root of its own and nothing is shared.
    """
    layout = _Layout()
    for group in _branches(sorted(sequences, key=sort_key), 0, share=share):
        layout.place(group, 0, -1, share=share)
    ids, positions, at, targets, weights = (np.concatenate(column) for column in zip(*layout.columns, strict=True))
    return Pack(
        ids=ids.astype(np.int64),
        positions=positions.astype(np.int64),
        segments=tuple(layout.segments),
        at=at.astype(np.int64),
        targets=targets.astype(np.int64),
        weights=weights.astype(np.float32),
        sequences=len(sequences),
        unpacked_tokens=sum(len(one.ids) for one in sequences),
    )


def packs_within(sequences: Sequence[Rendered], max_tokens: int, *, share: bool = True) -> Iterator[Pack]:
    """Pack ``sequences`` into trees of at most ``max_tokens`` tokens; a longer sequence gets a tree of its own."""
    rest = sorted(sequences, key=sort_key)
    while rest:
        count = _most(rest, max_tokens, share=share)
        one = pack(rest[:count], share=share)
        while count > 1 and len(one.ids) > max_tokens:
            count -= 1
            one = pack(rest[:count], share=share)
        yield one
        rest = rest[count:]


def _most(sequences: Sequence[Rendered], max_tokens: int, *, share: bool) -> int:
    """How many sorted sequences fit if all that neighbours have in common is shared: at least those that do fit."""
    used = 0
    for number, one in enumerate(sequences):
        common = shared_length(sequences[number - 1].ids, one.ids) if number and share else 0
        used += len(one.ids) - (common if common >= MIN_SHARED else 0)
        if number and used > max_tokens:
            return number
    return len(sequences)
