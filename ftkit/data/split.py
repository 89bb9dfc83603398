"""Dividing rows into train, validation and test, reproducibly.

Rows are ranked by a keyed hash of seed and content (or of seed and group), not by a random number generator: the same
seed gives the same split with every version of Python, on every machine, and in whatever order the rows stand.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ftkit.errors import ConfigError, DataError

__all__ = ["Keys", "Side", "divide", "rank", "wanted_rows"]


@dataclass(frozen=True, slots=True)
class Side:
    """One part that is cut off: its name, and how many rows it shall have."""

    name: str
    rows: int


class Keys:
    """What a split must know of each row, in 12 bytes: the rank of its group, and the number of its class."""

    def __init__(self) -> None:
        self.ranks = array("Q")
        self.classes = array("i")
        self._numbers: dict[str, int] = {}

    def add(self, rank: int, label: str) -> None:
        self.ranks.append(rank)
        self.classes.append(self._numbers.setdefault(label, len(self._numbers)))

    @property
    def class_count(self) -> int:
        return len(self._numbers)


def rank(seed: int, text: str) -> int:
    """A number below 2**64 that looks random and is the same everywhere."""
    return int.from_bytes(hashlib.blake2b(f"{seed}|{text}".encode(), digest_size=8).digest(), "big")


def wanted_rows(name: str, asked: float, total: int) -> int:
    """How many of ``total`` rows ``asked`` means: a share between 0 and 1, or a count.

    Raises:
        ConfigError: it is neither.
    """
    if isinstance(asked, bool) or not isinstance(asked, int | float):
        raise ConfigError(f"{name}={asked!r} must be a share such as 0.2, or a number of rows such as 200.")
    if isinstance(asked, int):
        if asked < 1:
            raise ConfigError(f"{name}={asked} rows: it must be at least 1.")
        return asked
    if not 0 < asked < 1:
        raise ConfigError(f"{name}={asked} must be a share between 0 and 1; for a number of rows pass an int.")
    return round(total * asked)


def divide(keys: Keys, sides: Sequence[Side], *, grouped: bool) -> list[array[int]]:
    """Cut ``sides`` off the rows; what is left is the training side.

    Args:
        keys: of the rows, in their order.
        sides: in the order in which they are cut off.
        grouped: rows of equal rank are one group and stay together; otherwise equal ranks are only equal rows.

    Returns:
        The positions of each side's rows, ascending, and last those of the training side.

    Raises:
        DataError: a side would be empty.
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
    for number, side in enumerate(sides, start=1):
        if side.rows >= total:
            raise DataError(f"{side.name} shall have {side.rows:,} rows, but there are {total:,}: none would be left.")
        quotas = _quotas(sizes, left, side.rows)
        _fill(owner, number, order, starts, keys, quotas)
        for position, held in enumerate(owner):
            if held == number:
                left[keys.classes[position]] -= 1
    owners = np.frombuffer(owner, dtype=np.uint8)
    names = [side.name for side in sides]
    parts = []
    for number, name in [*enumerate(names, start=1), (0, "train")]:
        part = array("q", np.flatnonzero(owners == number).astype(np.int64).tobytes())
        if not part:
            groups = f" in {len(starts):,} groups" if grouped else ""
            raise DataError(
                f"the split leaves {name} empty: there are {total:,} rows{groups}. "
                "Ask for other sizes, or give more data."
            )
        parts.append(part)
    return parts


def _group_starts(keys: Keys, order: array[int], grouped: bool) -> Sequence[int]:
    if not grouped:
        return range(len(order))
    ranks = keys.ranks
    return array("q", (at for at in range(len(order)) if at == 0 or ranks[order[at]] != ranks[order[at - 1]]))


def _quotas(sizes: Sequence[int], left: Sequence[int], rows: int) -> list[int]:
    """Rows of each class for a side of ``rows``: proportional, whole, each within one of its exact share.

    What rounding leaves over goes to the largest fractions. A class keeps its last row for training.
    """
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
    owner: bytearray, number: int, order: array[int], starts: Sequence[int], keys: Keys, quotas: list[int]
) -> None:
    """Give groups, in the order of their ranks, to side ``number`` until the quotas are met.

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
