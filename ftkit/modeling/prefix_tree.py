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

from ftkit.modeling.tokenized_example import Example, Ints, TokenizedConversation

__all__ = ["PackedSequence", "Segment", "pack_examples", "pack_sequences", "shared_length", "sort_key"]

MIN_SHARED = 16
"""Beginnings shorter than this are not worth a segment of their own."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Tokens ``start:end`` of a pack; its descendants are ``end:reach``."""

    start: int
    end: int
    subtree_end: int


@dataclass(frozen=True, slots=True)
class PackedSequence:
    """One tree of N sequences, ready to be computed. T tokens, S supervised predictions.

    A prediction that several sequences share is made once; ``predictions`` and ``askers`` say whose it is.

    Attributes:
        ids: token ids, int64 [T].
        positions: position of each token in its own sequence, int64 [T].
        segments: the segments in layout order.
        at: where each prediction is made, an index into the pack, int64 [S].
        targets: the token that should follow there, int64 [S].
        predictions: a prediction, for each sequence that asks for it, int64 [A].
        askers: the number of that sequence, in the order in which they were given, int64 [A].
        ends: index in the pack of each sequence's last token, int64 [N].
        unpacked_tokens: tokens of all sequences added up, before sharing.
    """

    ids: Ints
    positions: Ints
    segments: tuple[Segment, ...]
    logit_indices: Ints
    targets: Ints
    prediction_indices: Ints
    sequence_indices: Ints
    last_tokens: Ints
    unpacked_tokens: int

    @property
    def sequences(self) -> int:
        """How many sequences are in the pack."""
        return len(self.last_tokens)

    @property
    def weights(self) -> NDArray[np.float32]:
        """How many sequences ask for each prediction, float32 [S]."""
        return np.bincount(self.prediction_indices, minlength=len(self.logit_indices)).astype(np.float32)

    @property
    def subtree_end(self) -> Ints:
        """End of the subtree of each token's segment, int64 [T]."""
        return np.repeat(
            np.array([segment.subtree_end for segment in self.segments], dtype=np.int64),
            [segment.end - segment.start for segment in self.segments],
        )


class _Layout:
    """Grows a pack, segment by segment. Sequences go by their numbers."""

    def __init__(self, sequences: Sequence[TokenizedConversation], *, share: bool) -> None:
        self.sequences = sequences
        self.share = share
        self.segments: list[Segment] = []
        self.columns: list[tuple[Ints, ...]] = []
        self.ends = np.zeros(len(sequences), dtype=np.int64)
        self.size = self.asked = 0
        order = sorted(range(len(sequences)), key=lambda number: sort_key(sequences[number]))
        for group in self.branches(order, 0):
            self.place(group, 0, -1)

    def place(self, group: Sequence[int], begin: int, before: int) -> None:
        """Lay out ``group``, sorted and equal up to position ``begin``, from there on.

        Args:
            before: index in the pack of the token at position ``begin - 1``.
        """
        members = [self.sequences[number] for number in group]
        last = members[-1].ids
        end = len(last) if len(group) == 1 else shared_length(members[0].ids, last)
        start, segment = self.size, len(self.segments)
        self.segments.append(Segment(start, start, start))
        supervised = np.stack([one.supervised[begin:end] for one in members])
        asked = np.flatnonzero(supervised.any(axis=0))
        who, which = np.nonzero(supervised[:, asked])
        at = start + asked - 1
        at[asked == 0] = before
        tokens = last[begin:end]
        askers = np.asarray(group, dtype=np.int64)[who]
        self.columns.append((tokens, np.arange(begin, end), at, tokens[asked], self.asked + which, askers))
        self.asked += len(asked)
        self.size += end - begin
        for number, one in zip(group, members, strict=True):
            if len(one.ids) == end:
                self.ends[number] = self.size - 1
        after = self.size - 1
        for branch in self.branches(group, end):
            self.place(branch, end, after)
        self.segments[segment] = Segment(start, after + 1, self.size)

    def branches(self, group: Sequence[int], begin: int) -> Iterator[Sequence[int]]:
        """Cut a sorted group, equal up to ``begin``, into the groups that go on together for a while."""
        ids = [self.sequences[number].ids for number in group]
        first = next((n for n, one in enumerate(ids) if len(one) > begin), len(ids))
        while first < len(ids):
            size = 1
            # The group is sorted, so what is shared with its first member only gets shorter.
            while (
                self.share
                and first + size < len(ids)
                and shared_length(ids[first], ids[first + size]) - begin >= MIN_SHARED
            ):
                size += 1
            yield group[first : first + size]
            first += size


def sort_key(one: TokenizedConversation) -> tuple[bytes, bytes]:
    """Sorts sequences by their tokens, then by what is supervised. Big-endian bytes compare as the numbers do."""
    return one.ids.astype(">u4").tobytes(), one.supervised.tobytes()


def shared_length(first: Ints, second: Ints) -> int:
    """Number of leading tokens that two sequences have in common."""
    length = min(len(first), len(second))
    differ = np.flatnonzero(first[:length] != second[:length])
    return int(differ[0]) if len(differ) else length


def pack_sequences(sequences: Sequence[TokenizedConversation], *, share: bool = True) -> PackedSequence:
    """Lay out ``sequences`` as one tree; the layout does not depend on their order.

    With ``share`` off every sequence is a root of its own and nothing is shared.
    """
    layout = _Layout(sequences, share=share)
    columns = (np.concatenate(column).astype(np.int64) for column in zip(*layout.columns, strict=True))
    ids, positions, at, targets, predictions, askers = columns
    return PackedSequence(
        ids=ids,
        positions=positions,
        segments=tuple(layout.segments),
        logit_indices=at,
        targets=targets,
        prediction_indices=predictions,
        sequence_indices=askers,
        last_tokens=layout.ends,
        unpacked_tokens=sum(len(one.ids) for one in sequences),
    )


def pack_examples(
    examples: Sequence[Example], max_tokens: int, *, share: bool = True
) -> Iterator[tuple[PackedSequence, list[Example]]]:
    """Pack ``examples`` into trees of at most ``max_tokens`` tokens; a longer example gets a tree of its own.

    Yields each pack with the examples in it: its sequences are theirs, in their order.
    """
    rest = sorted(examples, key=lambda one: sort_key(one.sequences[0]))
    while rest:
        count = _most(rest, max_tokens, share=share)
        one = _pack(rest[:count], share=share)
        while count > 1 and len(one.ids) > max_tokens:
            count -= 1
            one = _pack(rest[:count], share=share)
        yield one, rest[:count]
        rest = rest[count:]


def _pack(examples: Sequence[Example], *, share: bool) -> PackedSequence:
    return pack_sequences([sequence for one in examples for sequence in one.sequences], share=share)


def _most(examples: Sequence[Example], max_tokens: int, *, share: bool) -> int:
    """How many sorted examples fit if all that neighbours have in common is shared: about those that do fit."""
    used = 0
    before: list[Ints] = []
    for number, example in enumerate(examples):
        these: list[Ints] = []
        for one in example.sequences:
            common = max((shared_length(one.ids, other) for other in (*before, *these)), default=0) if share else 0
            used += len(one.ids) - (common if common >= MIN_SHARED else 0)
            these.append(one.ids)
        if number and used > max_tokens:
            return number
        before = these
    return len(examples)
