"""File types by suffix: ftkit's own and those that a script or package adds."""

from __future__ import annotations

import pytest

from ftkit import ConfigError, Dataset, FormatError, Task
from ftkit.data.sources import SOURCES, Source
from ftkit.data.sources.base import Reader


class Words(Source):
    """One word a line."""

    def __init__(self, path, name, **options):
        super().__init__(path, name, **options)
        self.words = path.read_text().split()

    def __len__(self):
        return len(self.words)

    def line(self, row):
        return row + 1

    def _open(self, sequential):
        return WordReader(self.words)


class WordReader(Reader):
    def __init__(self, words):
        self.words = words

    def read(self, row, place):
        return {"word": self.words[row]}


@pytest.fixture
def words():
    SOURCES.register("words", Words)
    yield
    SOURCES.unregister("words")


def test_a_registered_file_type_is_opened_by_its_suffix(write, words):
    data = Dataset.load(write("list.words", "one\ntwo\n"), Task(input="{word}"))
    assert [(row.columns["word"], row.place.line) for row in data] == [("one", 1), ("two", 2)]
    assert Dataset.from_spec(data.to_spec()).fingerprint == data.fingerprint


def test_an_unknown_suffix_is_refused_with_the_known_ones(write):
    with pytest.raises(FormatError, match=r"list\.words: cannot tell .* must end in \.jsonl, \.ndjson, \.json, \.csv"):
        Dataset.load(write("list.words", "one\n"), Task(input="{word}"))


def test_a_file_type_must_be_a_source():
    with pytest.raises(ConfigError, match="must be a subclass"):
        SOURCES.register("words", dict)
