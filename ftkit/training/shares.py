"""Shares of a batch that cost about the same. Imports no torch."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

__all__ = ["balanced_shares"]


def balanced_shares(sizes: Sequence[int], workers: int) -> list[list[int]]:
    """Split items into shares that cost about the same: each item, the largest first, goes to the smallest share.

    Args:
        sizes: what each item costs.
        workers: how many shares.

    Returns:
        For each share the indices of its items, rising. The same everywhere.
    """
    shares: list[list[int]] = [[] for _ in range(workers)]
    load = [(0, number) for number in range(workers)]
    for index in sorted(range(len(sizes)), key=lambda index: (-sizes[index], index)):
        total, number = heapq.heappop(load)
        shares[number].append(index)
        heapq.heappush(load, (total + sizes[index], number))
    return [sorted(share) for share in shares]
