"""Split rows into train, validation and test, reproducibly.

Rows are ranked by a keyed hash of seed and content (or of seed and group), not by a random number generator. So the
same seed gives the same split with every version of Python, on every machine, and in any order of the rows.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ftkit.counts import counted
from ftkit.errors import ConfigError, DataError

__all__ = ["SplitKeys", "SplitPart", "assign_parts", "hash_rank", "part_size"]


@dataclass(frozen=True, slots=True)
class SplitPart:
    """A part to cut off: its name, and how many rows it gets."""

    name: str
    rows: int


class SplitKeys:
    """The rank of each row's group and the number of its class, in 12 bytes a row."""

    def __init__(self) -> None:
        self.ranks = array("Q")
        self.classes = array("i")
        self._numbers: dict[str, int] = {}

    def add(self, rank: int, label: str) -> None:
        """Add the next row.

        Args:
            rank: the :func:`hash_rank` of its group, or of its identity.
            label: its class.
        """
        self.ranks.append(rank)
        self.classes.append(self._numbers.setdefault(label, len(self._numbers)))

    @property
    def class_count(self) -> int:
        """The number of different classes."""
        return len(self._numbers)


def hash_rank(seed: int, text: str) -> int:
    """Hash a text to a number.

    Args:
        seed: another seed gives another number.
        text: what to hash.

    Returns:
        A number below 2**64, the same on every machine.
    """
    return int.from_bytes(hashlib.blake2b(f"{seed}|{text}".encode(), digest_size=8).digest(), "big")


def part_size(name: str, size: float, total: int) -> int:
    """Return the number of rows of a part.

    Args:
        name: the part's name, for errors.
        size: a share between 0 and 1, or a number of rows.
        total: number of rows of the whole dataset.

    Returns:
        The number of rows.

    Raises:
        ConfigError: ``size`` is neither a share nor a positive number.
    """
    if isinstance(size, bool) or not isinstance(size, int | float):
        raise ConfigError(f"{name}={size!r} must be a share such as 0.2, or a number of rows such as 200.")
    if isinstance(size, int):
        if size < 1:
            raise ConfigError(f"{name}={counted(size, 'row')}: it must be at least 1.")
        return size
    if not 0 < size < 1:
        raise ConfigError(f"{name}={size} must be a share between 0 and 1; for a number of rows pass an int.")
    return round(total * size)


def assign_parts(keys: SplitKeys, parts: Sequence[SplitPart], *, grouped: bool) -> list[array[int]]:
    """Assign each row to a part. Rows of no part are the training part.

    Args:
        keys: of the rows, in their order.
        parts: in the order in which they are cut off.
        grouped: whether rows of equal rank are one group and stay together. Otherwise they are only equal rows.

    Returns:
        The positions of each part's rows, ascending; the last are those of the training part.

    Raises:
        DataError: a part would be empty.
    """
    import numpy as np

    total = len(keys.ranks)
    ranks = np.frombuffer(keys.ranks, dtype=np.uint64) if total else np.empty(0, np.uint64)
    order = array("q", np.argsort(ranks, kind="stable").astype(np.int64).tobytes())
    owner = bytearray(total)
    left = [0] * keys.class_count
    for label in keys.classes:
        left[label] += 1
    sizes = tuple(left)
    starts = _group_starts(keys, order, grouped)
    for number, part in enumerate(parts, start=1):
        if part.rows >= total:
            raise DataError(f"{part.name} would have {counted(part.rows, 'row')} of {total:,}: none would be left.")
        quotas = _quotas(sizes, left, part.rows)
        _fill(owner, number, order, starts, keys, quotas)
        for position, held in enumerate(owner):
            if held == number:
                left[keys.classes[position]] -= 1
    owners = np.frombuffer(owner, dtype=np.uint8)
    names = [part.name for part in parts]
    positions = []
    for number, name in [*enumerate(names, start=1), (0, "train")]:
        rows = array("q", np.flatnonzero(owners == number).astype(np.int64).tobytes())
        if not rows:
            groups = f" in {counted(len(starts), 'group')}" if grouped else ""
            raise DataError(
                f"the split leaves {name} empty: there are {counted(total, 'row')}{groups}. "
                "Ask for other sizes, or give more data."
            )
        positions.append(rows)
    return positions


def _group_starts(keys: SplitKeys, order: array[int], grouped: bool) -> Sequence[int]:
    if not grouped:
        return range(len(order))
    ranks = keys.ranks
    return array("q", (at for at in range(len(order)) if at == 0 or ranks[order[at]] != ranks[order[at - 1]]))


def _quotas(sizes: Sequence[int], left: Sequence[int], rows: int) -> list[int]:
    """Rows of each class for a part of ``rows``: proportional, whole, each within one of its exact share."""
    # What rounding leaves over goes to the largest fractions. A class keeps its last row for training.
    total = sum(sizes)
    if len(sizes) == 1:
        return [rows]
    quotas = [min(size * rows // total, max(0, here - 1)) for size, here in zip(sizes, left, strict=True)]
    fractions = sorted(range(len(sizes)), key=lambda label: (-(sizes[label] * rows % total), -sizes[label], label))
    missing = rows - sum(quotas)
    for label in fractions:
        if missing <= 0:
            break
        if quotas[label] < left[label] - 1:
            quotas[label] += 1
            missing -= 1
    return quotas


def _fill(
    owner: bytearray, number: int, order: array[int], starts: Sequence[int], keys: SplitKeys, quotas: list[int]
) -> None:
    """Give groups, in the order of their ranks, to part ``number`` until the quotas are met.

    First those that fit; then those that overshoot by less than they fill, as large groups leave no better choice.
    """
    missing = sum(quotas)
    for overshoot in (False, True):
        for begin, end in _spans(starts, len(order)):
            if missing <= 0:
                return
            if owner[order[begin]]:
                continue
            need = _counts(keys.classes[order[at]] for at in range(begin, end))
            if overshoot:
                after = sum(abs(quotas[label] - count) for label, count in need)
                take = after < sum(abs(quotas[label]) for label, _ in need)
            else:
                take = all(count <= quotas[label] for label, count in need)
            if take:
                for at in range(begin, end):
                    owner[order[at]] = number
                for label, count in need:
                    quotas[label] -= count
                    missing -= count


def _spans(starts: Sequence[int], total: int) -> Iterable[tuple[int, int]]:
    for number, begin in enumerate(starts):
        yield begin, starts[number + 1] if number + 1 < len(starts) else total


def _counts(labels: Iterable[int]) -> list[tuple[int, int]]:
    counts: dict[int, int] = {}
    for label in labels:
        counts[label] = counts.get(label, 0) + 1
    return list(counts.items())
