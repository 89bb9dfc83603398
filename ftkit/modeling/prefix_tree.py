"""Pack sequences into a tree, so that a prefix that several of them share is computed once.

A packed sequence is one sequence of tokens, in which each *segment* is followed by its descendants (preorder)::

    [ system prompt | note 1 + answer | note 2 + answer | … ]
      segment 0       segment 1         segment 2

A token attends to itself, to the tokens before it in its segment, and to all ancestors of its segment. In preorder,
token i attends to token j exactly if ``j <= i < subtree_end[j]``, where ``subtree_end[j]`` is the end of the subtree of
j's segment. Positions are those of the original sequences, so the result equals that of each sequence alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ftkit.modeling.tokenized_example import Example, Ints, TokenizedConversation

__all__ = ["PackedSequence", "Segment", "pack_examples", "pack_sequences", "shared_length", "sort_key"]

MIN_SHARED = 16
"""Shorter prefixes do not get their own segment."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of a packed sequence.

    Attributes:
        start: index of its first token.
        end: index after its last token.
        subtree_end: index after the last token of its last descendant.
    """

    start: int
    end: int
    subtree_end: int


@dataclass(frozen=True, slots=True)
class PackedSequence:
    """A tree of sequences in one sequence of tokens.

    A prediction that several sequences share is computed once. ``prediction_indices`` and ``sequence_indices`` are the
    pairs of a prediction and a sequence that it belongs to.

    Attributes:
        ids: token ids, int64 [tokens].
        positions: position of each token in its own sequence, int64 [tokens].
        segments: the segments in layout order.
        logit_indices: index of the token whose logits make each prediction, int64 [predictions].
        targets: token id to predict, int64 [predictions].
        prediction_indices: index of the prediction of each pair, int64 [pairs].
        sequence_indices: index of the sequence of each pair, int64 [pairs].
        last_tokens: index of each sequence's last token, int64 [sequences].
        unpacked_tokens: total tokens of all sequences, without sharing.
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
        """Number of sequences."""
        return len(self.last_tokens)

    @property
    def weights(self) -> NDArray[np.float32]:
        """Number of sequences that share each prediction, float32 [predictions]."""
        return np.bincount(self.prediction_indices, minlength=len(self.logit_indices)).astype(np.float32)

    @property
    def subtree_end(self) -> Ints:
        """End of the subtree of each token's segment, int64 [tokens]."""
        return np.repeat(
            np.array([segment.subtree_end for segment in self.segments], dtype=np.int64),
            [segment.end - segment.start for segment in self.segments],
        )


class _Layout:
    """Lays out sequences, given by their indices, segment by segment."""

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
        """Lay out a group of sequences from a position on.

        Args:
            group: indices of sequences, sorted and equal up to ``begin``.
            begin: the position.
            before: index of the token at position ``begin - 1`` in the layout.
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
        """Divide a group into those with a common segment.

        Args:
            group: indices of sequences, sorted and equal up to ``begin``.
            begin: the position.

        Yields:
            Indices of sequences with a common prefix after ``begin``, or of a single sequence.
        """
        ids = [self.sequences[number].ids for number in group]
        first = next((n for n, one in enumerate(ids) if len(one) > begin), len(ids))
        while first < len(ids):
            size = 1
            # The group is sorted, so the prefix shared with its first member only gets shorter.
            while (
                self.share
                and first + size < len(ids)
                and shared_length(ids[first], ids[first + size]) - begin >= MIN_SHARED
            ):
                size += 1
            yield group[first : first + size]
            first += size


def sort_key(sequence: TokenizedConversation) -> tuple[bytes, bytes]:
    """Return a key that sorts sequences by their tokens, then by their loss masks.

    Args:
        sequence: the sequence.

    Returns:
        Big-endian bytes, which compare like the numbers.
    """
    return sequence.ids.astype(">u4").tobytes(), sequence.supervised.tobytes()


def shared_length(first: Ints, second: Ints) -> int:
    """Count the leading tokens that two sequences have in common.

    Args:
        first: token ids.
        second: token ids.

    Returns:
        The length of the common prefix.
    """
    length = min(len(first), len(second))
    differ = np.flatnonzero(first[:length] != second[:length])
    return int(differ[0]) if len(differ) else length


def pack_sequences(sequences: Sequence[TokenizedConversation], *, share: bool = True) -> PackedSequence:
    """Pack sequences into one tree. The layout does not depend on their order.

    Args:
        sequences: the sequences.
        share: whether to share prefixes; without, each sequence is a segment of its own.

    Returns:
        The packed sequence.
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
    """Pack examples into trees of limited size. A longer example gets its own tree.

    Args:
        examples: the examples.
        max_tokens: most tokens of a packed sequence.
        share: whether to share prefixes.

    Yields:
        A packed sequence and its examples, whose sequences it has in the same order.
    """
    rest = sorted(examples, key=lambda one: sort_key(one.sequences[0]))
    while rest:
        count = _count_fitting(rest, max_tokens, share=share)
        one = _pack(rest[:count], share=share)
        while count > 1 and len(one.ids) > max_tokens:
            count -= 1
            one = _pack(rest[:count], share=share)
        yield one, rest[:count]
        rest = rest[count:]


def _pack(examples: Sequence[Example], *, share: bool) -> PackedSequence:
    return pack_sequences([sequence for one in examples for sequence in one.sequences], share=share)


def _count_fitting(examples: Sequence[Example], max_tokens: int, *, share: bool) -> int:
    """Estimate how many sorted examples fit, if neighbours share their whole common prefix."""
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
