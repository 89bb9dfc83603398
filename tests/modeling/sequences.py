"""Made-up rows in tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ftkit.modeling.prefix_tree import PackedSequence
from ftkit.modeling.tokenized_example import Example, TokenizedConversation


def rendered(ids: Sequence[int], answer: int | Sequence[bool]) -> TokenizedConversation:
    """``ids`` with a mask, or with its last ``answer`` tokens supervised."""
    mask = [number >= len(ids) - answer for number in range(len(ids))] if isinstance(answer, int) else answer
    return TokenizedConversation(np.array(ids, dtype=np.int32), np.array(mask, dtype=np.bool_))


def alone(sequences: Sequence[TokenizedConversation]) -> list[Example]:
    """Each sequence as an example of its own."""
    return [Example((one,)) for one in sequences]


def in_pairs(sequences: Sequence[TokenizedConversation]) -> list[Example]:
    """Neighbours as chosen and rejected."""
    return [Example(pair) for pair in zip(sequences[::2], sequences[1::2], strict=True)]


def family_of_rows(vocabulary: int = 97, seed: int = 0) -> list[TokenizedConversation]:
    """Rows with nested common beginnings, two that are the same, one that begins another, and one of its own."""
    draw = np.random.default_rng(seed)

    def some(count: int) -> list[int]:
        return [int(token) for token in draw.integers(3, vocabulary, count)]

    system, document = some(24), some(20)
    rows = [rendered([*system, *document, *some(8 + n)], 5) for n in range(2)]
    rows += [rendered([*system, *some(19)], 6), rendered([*system, *document], 4)]
    return [*rows, rows[2], rendered(some(30), 3)]


def rows_without_common_beginnings(vocabulary: int = 97) -> list[TokenizedConversation]:
    draw = np.random.default_rng(1)
    return [rendered([start, *(int(t) for t in draw.integers(3, vocabulary, 20 + start))], 4) for start in (5, 6, 7)]


def visible(one: PackedSequence) -> list[set[int]]:
    """The tokens that each token of a pack sees, by the rule of the module: ``j <= i < reach[j]``."""
    reach = one.subtree_end
    return [{j for j in range(i + 1) if i < reach[j]} for i in range(len(one.ids))]
