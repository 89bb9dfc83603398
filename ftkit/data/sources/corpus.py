"""Several files as one sequence of rows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from types import TracebackType
from typing import Any, Self

from ftkit.data.sources.base import Reader, Source
from ftkit.errors import Place

__all__ = ["Corpus", "CorpusReader"]


class Corpus:
    """The rows of several files, one file after the other, numbered from 0."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = tuple(sources)
        self.bounds = [0, *accumulate(len(source) for source in self.sources)]

    def __len__(self) -> int:
        return self.bounds[-1]

    def locate(self, row: int) -> tuple[int, int]:
        """Find the file of a row.

        Args:
            row: number of the row in the corpus.

        Returns:
            Number of the file, and number of the row in it.
        """
        source = bisect_right(self.bounds, row) - 1
        return source, row - self.bounds[source]

    def place(self, row: int) -> Place:
        """Return where a row is.

        Args:
            row: number of the row in the corpus.

        Returns:
            File and line.
        """
        source, inside = self.locate(row)
        return self.sources[source].place(inside)

    def open(self, *, sequential: bool) -> CorpusReader:
        """Return a reader of all files.

        Args:
            sequential: whether rows will be read in ascending order.

        Returns:
            The reader, to be closed.
        """
        return CorpusReader(self, sequential)


class CorpusReader:
    """Reads rows of a corpus, and opens each file when its first row is read."""

    def __init__(self, corpus: Corpus, sequential: bool) -> None:
        self._corpus = corpus
        self._sequential = sequential
        self._readers: dict[int, Reader] = {}

    def read(self, row: int) -> tuple[Source, Place, dict[str, Any]]:
        """Read one row.

        Args:
            row: number of the row in the corpus.

        Returns:
            The row's file, its place, and its columns.

        Raises:
            DataError: the row cannot be read, or the file has changed.
        """
        number, inside = self._corpus.locate(row)
        source = self._corpus.sources[number]
        reader = self._readers.get(number)
        if reader is None:
            if self._sequential:
                self.close()
            reader = self._readers[number] = source.open(sequential=self._sequential)
        place = source.place(inside)
        return source, place, reader.read(inside, place)

    def close(self) -> None:
        """Close the open files."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
