"""Rows whose inputs are nearly the same: MinHash finds candidates, the rows themselves decide.

Source of the method: A. Broder, "On the resemblance and containment of documents" (1997), and the banding of J.
Leskovec, A. Rajaraman, J. Ullman, "Mining of Massive Datasets", chapter 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ftkit.linting.text_normalization import shingles

if TYPE_CHECKING:
    from ftkit.linting.corpus import Whole

__all__ = ["THRESHOLD", "Pair", "similar_pairs"]

THRESHOLD = 0.8
"""Jaccard similarity of the shingles from which on two inputs are nearly the same."""
_BANDS, _DEPTH = 12, 5
"""Of two inputs with similarity s a band agrees with probability s**5: at 0.8 one of twelve does in 99.1 % of cases."""
_PROMISING = 0.6
"""Share of equal sketch values from which on the rows are read and compared. At 0.8 it is missed in 0.01 %."""
_MAX_READ = 100_000
"""Pairs that are compared by reading. Beyond them, the sketches decide."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rows, the first being the earlier one.

    Attributes:
        similarity: Jaccard similarity of the shingles of their inputs.
    """

    first: int
    second: int
    similarity: float


def similar_pairs(whole: Whole) -> list[Pair]:
    """Rows that have an earlier one with nearly the same input, each with that row; not those with the same input.

    Of a cluster of n rows there are about n pairs, not n²: each row is compared with the first one in its buckets.
    """
    sketches = whole.facts.sketches
    if sketches is None:
        return []
    rows = np.flatnonzero(sketches.any(axis=1))
    # Rows with one and the same normalised input have the same sketch: one of them stands for all.
    _, firsts = np.unique(whole.facts.normal_input[rows], return_index=True)
    rows = rows[np.sort(firsts)]
    pairs = []
    shown: dict[int, frozenset[str]] = {}
    for read, (first, second, likely) in enumerate(_promising(whole, sketches, _candidates(sketches, rows))):
        similarity = likely
        if read < _MAX_READ:
            similarity = _jaccard(_shingles(whole, first, shown), _shingles(whole, second, shown))
        if similarity >= THRESHOLD:
            pairs.append(Pair(first, second, similarity))
    return _one_each(pairs)


def _promising(
    whole: Whole, sketches: NDArray[np.uint32], pairs: NDArray[np.int64]
) -> Iterator[tuple[int, int, float]]:
    """The pairs whose sketches are alike and whose instructions are the same, with the likely similarity."""
    system = whole.facts.system
    for start in range(0, len(pairs), 50_000):
        first, second = pairs[start : start + 50_000].T
        likely = np.mean(sketches[first] == sketches[second], axis=1)
        for at in np.flatnonzero((likely >= _PROMISING) & (system[first] == system[second])).tolist():
            yield int(first[at]), int(second[at]), float(likely[at])


def _candidates(sketches: NDArray[np.uint32], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """[pairs, 2] rows that share a band, each pair once, sorted."""
    found: list[NDArray[np.int64]] = []
    for band in range(_BANDS):
        part = sketches[rows, band * _DEPTH : (band + 1) * _DEPTH].astype(np.uint64)
        mixed = np.zeros(len(rows), dtype=np.uint64)
        for column in range(_DEPTH):  # wraps around, which is what a hash does
            mixed = (mixed ^ part[:, column]) * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(29)
        order = np.argsort(mixed, kind="stable")
        ordered = mixed[order]
        new = np.r_[True, ordered[1:] != ordered[:-1]] if len(ordered) else np.empty(0, dtype=bool)
        # Of each row in a bucket of several: the bucket's first row.
        leader = order[np.flatnonzero(new)[np.cumsum(new) - 1]] if len(ordered) else order
        pairs = np.stack([rows[leader], rows[order]], axis=1)[~new]
        found.append(np.sort(pairs, axis=1))
    joined = np.concatenate(found) if found else np.empty((0, 2), dtype=np.int64)
    return np.unique(joined, axis=0)


def _shingles(whole: Whole, number: int, shown: dict[int, frozenset[str]]) -> frozenset[str]:
    if number not in shown:
        if len(shown) >= 2_000:
            shown.clear()
        shown[number] = frozenset(shingles(whole.seen(number).input_words))
    return shown[number]


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    union = len(one | other)
    return len(one & other) / union if union else 0.0


def _one_each(pairs: list[Pair]) -> list[Pair]:
    """Of each later row, its most similar partner."""
    best: dict[int, Pair] = {}
    for pair in pairs:
        if pair.second not in best or pair.similarity > best[pair.second].similarity:
            best[pair.second] = pair
    return sorted(best.values(), key=lambda pair: (pair.second, pair.first))
