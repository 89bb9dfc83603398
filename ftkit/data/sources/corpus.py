"""Several files read as one sequence of rows."""

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
    """The rows of ``sources``, one file after the other, numbered from 0."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = tuple(sources)
        self.bounds = [0, *accumulate(len(source) for source in self.sources)]

    def __len__(self) -> int:
        return self.bounds[-1]

    def locate(self, row: int) -> tuple[int, int]:
        """Number of the source that holds ``row``, and the row's number in it."""
        source = bisect_right(self.bounds, row) - 1
        return source, row - self.bounds[source]

    def place(self, row: int) -> Place:
        source, inside = self.locate(row)
        return self.sources[source].place(inside)

    def open(self, *, sweep: bool) -> CorpusReader:
        """A reader over all files; ``sweep`` says that rows will be asked for in ascending order."""
        return CorpusReader(self, sweep)


class CorpusReader:
    """Reads rows of a corpus; opens a file when its first row is asked for."""

    def __init__(self, corpus: Corpus, sweep: bool) -> None:
        self._corpus = corpus
        self._sweep = sweep
        self._readers: dict[int, Reader] = {}

    def read(self, row: int) -> tuple[Source, Place, dict[str, Any]]:
        number, inside = self._corpus.locate(row)
        source = self._corpus.sources[number]
        reader = self._readers.get(number)
        if reader is None:
            if self._sweep:
                self.close()
            reader = self._readers[number] = source.open(sweep=self._sweep)
        place = source.place(inside)
        return source, place, reader.read(inside, place)

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
