"""Counts of the variants in which values are written, exact and in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from ftkit.linting.text_normalization import text_hash

__all__ = ["VariantCounter", "rare_variants"]

MAX_KEYS = 200_000
"""Keys that are counted. Of more keys, those whose hash is below a threshold are counted, and the others are not."""
MAX_VARIANTS = 10_000
"""Variants of a key. A key with more has no usual variant, and is left out."""


class VariantCounter:
    """For each key, such as a field, how often each variant occurs, and in which rows.

    Counts do not depend on how the rows are divided among processes: which keys are left out for lack of memory is
    decided by their hashes, not by their order. A row number takes about one byte.
    """

    def __init__(self) -> None:
        # Most keys of free text occur once: of these only the variant and the row are kept.
        self._variants: dict[str, dict[str, _Occurrences] | tuple[str, int]] = {}
        self._hash_limit = 2**64

    def add(self, key: str, variant: str, row: int) -> None:
        """Count one occurrence.

        Args:
            key: what is written in variants, e.g. the path of a field.
            variant: how it is written.
            row: number of the row; must not be lower than that of an earlier call.
        """
        variants = self._variants.get(key)
        if variants is None:
            if self._is_counted(key):
                self._variants[key] = variant, row
                self._drop_keys()
            return
        if isinstance(variants, tuple):
            variants = self._variants[key] = _occurrences(variants)
        occurrences = variants.get(variant)
        if occurrences is None:
            if len(variants) > MAX_VARIANTS:
                return
            occurrences = variants[variant] = _Occurrences()
        occurrences.add(row)

    def merge(self, other: VariantCounter) -> Self:
        """Add the counts of later rows.

        Args:
            other: counts of rows that all come after those counted here.

        Returns:
            This counter.
        """
        self._hash_limit = min(self._hash_limit, other._hash_limit)
        for key_, variants in other._variants.items():
            if not self._is_counted(key_):
                continue
            mine = self._variants.get(key_)
            if mine is None:
                self._variants[key_] = variants
                continue
            if isinstance(mine, tuple):
                mine = self._variants[key_] = _occurrences(mine)
            for variant, occurrences in _occurrences(variants).items():
                if variant in mine:
                    mine[variant].extend(occurrences)
                elif len(mine) <= MAX_VARIANTS:
                    mine[variant] = occurrences
        self._variants = {key_: variants for key_, variants in self._variants.items() if self._is_counted(key_)}
        self._drop_keys()
        return self

    def to_plain(self) -> tuple[int, dict[str, dict[str, tuple[int, int, bytes]]]]:
        """Return what is counted as plain values, for :meth:`from_plain`.

        Returns:
            Below which hash keys are counted; and for each key and variant the count, the last row and the differences
            of its rows.
        """
        counts = {
            key_: {
                variant: (each.count, each.last, bytes(each.differences))
                for variant, each in _occurrences(variants).items()
            }
            for key_, variants in self._variants.items()
        }
        return self._hash_limit, counts

    @classmethod
    def from_plain(cls, hash_limit: int, counts: dict[str, dict[str, tuple[int, int, bytes]]]) -> Self:
        """Make a counter of what :meth:`to_plain` returned.

        Args:
            hash_limit: below which hash keys are counted.
            counts: the counts.

        Returns:
            The counter.
        """
        counter = cls()
        counter._hash_limit = hash_limit
        for key_, variants in counts.items():
            [(variant, (count, last, _)), *others] = variants.items()
            counter._variants[key_] = (
                {variant: _Occurrences(*held) for variant, held in variants.items()}
                if others or count > 1
                else (variant, last)
            )
        return counter

    def __iter__(self) -> Iterator[tuple[str, dict[str, int]]]:
        """Each key with the counts of its variants, the commonest first."""
        for key_, variants in self._variants.items():
            if isinstance(variants, tuple):
                yield key_, {variants[0]: 1}
            elif len(variants) <= MAX_VARIANTS:
                ordered = sorted(variants.items(), key=lambda item: (-item[1].count, item[0]))
                yield key_, {variant: occurrences.count for variant, occurrences in ordered}

    def count(self, key: str, variant: str) -> int:
        """Return how often a variant of a key occurred.

        Args:
            key: any key.
            variant: any variant.

        Returns:
            The count; 0 if it did not occur or was not counted.
        """
        occurrences = _occurrences(self._variants.get(key, {})).get(variant)
        return 0 if occurrences is None else occurrences.count

    def rows(self, key: str, variant: str) -> list[int]:
        """Return the numbers of the rows with a variant.

        Args:
            key: a key that was counted.
            variant: one of its variants.

        Returns:
            The numbers, ascending; a row with several occurrences appears several times.
        """
        return _occurrences(self._variants[key])[variant].rows()

    def _is_counted(self, key_: str) -> bool:
        return self._hash_limit == 2**64 or text_hash(key_) < self._hash_limit

    def _drop_keys(self) -> None:
        while len(self._variants) > MAX_KEYS:
            self._hash_limit //= 2
            self._variants = {key_: variants for key_, variants in self._variants.items() if self._is_counted(key_)}


class _Occurrences:
    """Ascending row numbers as differences, of one byte each where they are small."""

    __slots__ = ("count", "differences", "last")

    def __init__(self, count: int = 0, last: int = 0, differences: bytes = b"") -> None:
        self.count = count
        self.last = last
        self.differences = bytearray(differences)

    def add(self, row: int) -> None:
        difference = row - self.last
        self.last = row
        self.count += 1
        if difference < 255:
            self.differences.append(difference)
        else:
            self.differences.append(255)
            self.differences += difference.to_bytes(8, "little")

    def extend(self, later: _Occurrences) -> None:
        first, rest = _read(later.differences, 0)
        self.add(first)
        self.differences += later.differences[rest:]
        self.count += later.count - 1
        self.last = later.last

    def rows(self) -> list[int]:
        rows, row, at = [], 0, 0
        while at < len(self.differences):
            difference, at = _read(self.differences, at)
            row += difference
            rows.append(row)
        return rows


def _occurrences(variants: dict[str, _Occurrences] | tuple[str, int]) -> dict[str, _Occurrences]:
    """The occurrences of each variant of a key, also of one that occurred once."""
    if not isinstance(variants, tuple):
        return variants
    variant, row = variants
    occurrences = _Occurrences()
    occurrences.add(row)
    return {variant: occurrences}


def _read(differences: bytearray, at: int) -> tuple[int, int]:
    """The difference that starts at a byte, and where the next one starts."""
    if differences[at] < 255:
        return differences[at], at + 1
    return int.from_bytes(differences[at + 1 : at + 9], "little"), at + 9


def rare_variants(variants: dict[str, int], *, share: float, min_total: int) -> tuple[str, list[str]]:
    """Return the usual variant and the rare ones.

    Args:
        variants: counts, the commonest first.
        share: share of all occurrences up to which a variant is rare.
        min_total: occurrences below which no variant is rare.

    Returns:
        The commonest variant, and the rare variants.
    """
    total = sum(variants.values())
    usual = next(iter(variants))
    if total < min_total:
        return usual, []
    return usual, [variant for variant, count in variants.items() if variant != usual and count <= share * total]
