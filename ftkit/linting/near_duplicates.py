"""Rows whose inputs are nearly the same: MinHash finds candidates, and the texts themselves decide.

Source of the method: A. Broder, "On the resemblance and containment of documents" (1997), and the banding of J.
Leskovec, A. Rajaraman, J. Ullman, "Mining of Massive Datasets", chapter 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ftkit.linting.row_features import RowFeatures
from ftkit.linting.text_normalization import shingles

__all__ = ["SIMILARITY_THRESHOLD", "SimilarPair", "find_near_duplicates"]

SIMILARITY_THRESHOLD = 0.8
"""Jaccard similarity of the shingles from which two inputs are nearly the same."""
_BANDS, _DEPTH = 12, 5
"""A band agrees with probability s**5 at similarity s: at 0.8, one of twelve bands does in 99.1 % of cases."""
_CANDIDATE_SHARE = 0.6
"""Share of equal MinHash values from which the texts are compared. A pair at 0.8 is missed in 0.01 % of cases."""
_MAX_COMPARED = 100_000
"""Pairs whose texts are compared. Beyond them, the MinHash values decide."""
_BATCH = 2_000
"""Pairs whose texts are read at once; divides the number of compared pairs."""


@dataclass(frozen=True, slots=True)
class SimilarPair:
    """Two rows with nearly the same input.

    Attributes:
        first: number of the earlier row.
        second: number of the later row.
        similarity: Jaccard similarity of the shingles of their inputs, from 0 to 1.
    """

    first: int
    second: int
    similarity: float


def find_near_duplicates(
    features: RowFeatures, input_words: Callable[[set[int]], dict[int, list[str]]]
) -> list[SimilarPair]:
    """Find rows that have an earlier row with nearly, but not exactly, the same input.

    A cluster of n rows gives about n pairs, not n²: each row is compared with the first row in its buckets.

    Args:
        features: features of all rows.
        input_words: reads the words of the inputs of some rows, given by their numbers.

    Returns:
        For each such row the pair with its most similar earlier row; no pair if ``features`` has no MinHash values.
    """
    if features.minhash is None:
        return []
    rows = np.flatnonzero(features.minhash.any(axis=1))
    # Rows with the same normalized input have the same sketch: the first stands for all.
    _, firsts = np.unique(features.normalized_input[rows], return_index=True)
    rows = rows[np.sort(firsts)]
    best: dict[int, SimilarPair] = {}
    candidates = _similar_sketches(
        features.system, features.minhash, _candidates(features.system, features.minhash, rows)
    )
    compared = 0
    while batch := list(islice(candidates, _BATCH)):
        shingle_sets: dict[int, frozenset[str]] = {}
        if compared < _MAX_COMPARED:
            words = input_words({row for first, second, _ in batch for row in (first, second)})
            shingle_sets = {row: frozenset(shingles(of_row)) for row, of_row in words.items()}
        for first, second, estimate in batch:
            similarity = estimate
            if compared < _MAX_COMPARED:
                similarity = _jaccard(shingle_sets[first], shingle_sets[second])
            compared += 1
            if similarity >= SIMILARITY_THRESHOLD and (second not in best or similarity > best[second].similarity):
                best[second] = SimilarPair(first, second, similarity)
    return sorted(best.values(), key=lambda pair: (pair.second, pair.first))


def _similar_sketches(
    system: NDArray[np.uint64], minhash: NDArray[np.uint32], pairs: NDArray[np.int64]
) -> Iterator[tuple[int, int, float]]:
    """The pairs with similar MinHash values and the same instructions, with the estimated similarity."""
    for start in range(0, len(pairs), 50_000):
        first, second = pairs[start : start + 50_000].T
        estimate = np.mean(minhash[first] == minhash[second], axis=1)
        similar = np.flatnonzero((estimate >= _CANDIDATE_SHARE) & (system[first] == system[second]))
        for at in similar.tolist():
            yield int(first[at]), int(second[at]), float(estimate[at])


def _candidates(system: NDArray[np.uint64], minhash: NDArray[np.uint32], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """[pairs, 2] rows that share a band, instructions and images, each pair once, sorted."""
    pairs_by_band: list[NDArray[np.int64]] = []
    for band in range(_BANDS):
        values = minhash[rows, band * _DEPTH : (band + 1) * _DEPTH].astype(np.uint64)
        bucket = system[rows].copy()
        for column in range(_DEPTH):  # wraps around, which is what a hash does
            bucket = (bucket ^ values[:, column]) * np.uint64(0x9E3779B97F4A7C15)
            bucket ^= bucket >> np.uint64(29)
        order = np.argsort(bucket, kind="stable")
        ordered = bucket[order]
        new = np.r_[True, ordered[1:] != ordered[:-1]] if len(ordered) else np.empty(0, dtype=bool)
        # For each row in a bucket of several: the first row of the bucket.
        leader = order[np.flatnonzero(new)[np.cumsum(new) - 1]] if len(ordered) else order
        pairs = np.stack([rows[leader], rows[order]], axis=1)[~new]
        pairs_by_band.append(np.sort(pairs, axis=1))
    joined = np.concatenate(pairs_by_band) if pairs_by_band else np.empty((0, 2), dtype=np.int64)
    return np.unique(joined, axis=0)


def _jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    union = len(first | second)
    return len(first & second) / union if union else 0.0
