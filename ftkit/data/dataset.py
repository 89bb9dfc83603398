"""The dataset: rows on disk, seen through a task."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from operator import lt
from pathlib import Path
from typing import Any, overload

from ftkit.data import dataset_spec
from ftkit.data.fingerprint import ContentHash, fingerprint_rows
from ftkit.data.formats import text_content
from ftkit.data.open_dataset import open_reading, options_of
from ftkit.data.row import Row
from ftkit.data.row_reader import Kind, Options, Reading, key_text, named
from ftkit.data.row_spool import spool
from ftkit.data.sources import MAX_LINE_BYTES, Corpus, Source, open_source
from ftkit.data.split import Keys, Side, divide, rank, wanted_rows
from ftkit.data.strict_json import canonical
from ftkit.data.writers import OpenAIForm, TrlForm, openai_format, trl_format, write_rows
from ftkit.errors import ConfigError, DataError, Place
from ftkit.task import Task
from ftkit.type_checks import check_kind

__all__ = ["Dataset", "check_dataset"]

Rows = range | array  # type: ignore[type-arg]  # array[int], which cannot be subscripted at run time
By = str | Callable[[Row], object]
"""What rows are grouped or classed by: a column, a dotted path into one, or a function of the row."""


class Dataset:
    """An immutable sequence of :class:`~ftkit.data.Row`, read from disk when asked for.

    A dataset holds paths and row numbers, never rows: a million rows take a few dozen bytes each. Slices, shuffles,
    filters and splits are views of the same files. Make one with :meth:`load` or :meth:`from_rows`.
    """

    def __init__(self, corpus: Corpus, reading: Reading, rows: Rows, fingerprint: str | None = None) -> None:
        self._corpus = corpus
        self._reading = reading
        self._rows = rows
        self._fingerprint = fingerprint

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        task: Task | None = None,
        *,
        target: str | None = None,
        chosen: str | None = None,
        rejected: str | None = None,
        margin: str | None = None,
        format: str = "auto",  # noqa: A002
        columns: Mapping[str, str] | None = None,
        id: str | None = None,  # noqa: A002
        group: str | None = None,
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> Dataset:
        """Open files of rows: ``.jsonl``, ``.ndjson``, ``.json`` (also one array), ``.csv``, ``.tsv``, ``.parquet``.

        Args:
            path: a file, or several that are read one after the other.
            task: makes the question from the row's columns and says what a valid answer is. Without one, the rows
                must be whole conversations, and answers are texts.
            target: the column that holds the wanted answer: an object, a JSON text, or a text. A dotted path names a
                key inside a column. Without it a table has no answers, and conversations end with their own.
            chosen: the column that holds the better of two answers, for preferences; read as ``target`` is.
            rejected: the column that holds the worse one. It may break the task's schema. A text is taken as it is,
                another value is written as a valid answer would be.
            margin: the column that holds by how much ``chosen`` is better: a number, or null.
            format: ``"auto"`` tells it from the first 100 rows; or ``table``, ``openai``, ``trl_messages``,
                ``prompt_completion``, ``alpaca``, ``sharegpt``, ``openai_preference``, ``trl_preference``,
                ``openai_prompts``.
            columns: which column of the file is read for each column of the task or format: ``{"note": "text"}``.
            id: the column that identifies a row; by default ``id`` where there is one, else a hash of the content.
            group: the column of what a split must not tear apart.
            max_line_bytes: the longest row that is accepted.

        Raises:
            DataError: a file cannot be read, holds no rows, or lacks a named column. Faults of single rows are raised
                when they are read; :meth:`check` lists them all.
            FormatError: the rows fit no format, or several.
            ConfigError: arguments that make no sense together.
            MissingExtraError: a Parquet file, and pyarrow is not installed.
        """
        paths = [path] if isinstance(path, str | os.PathLike) else list(path)
        if not paths:
            raise ConfigError("load needs at least one path.")
        sources = [open_source(item, max_line_bytes=max_line_bytes) for item in paths]
        task = Task() if task is None else task
        options = options_of(
            task,
            format=format,
            target=target,
            chosen=chosen,
            rejected=rejected,
            margin=margin,
            columns=columns,
            id=id,
            group=group,
        )
        return cls._over(Corpus(sources), open_reading(Corpus(sources), task, options))

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[Mapping[str, Any]],
        task: Task | None = None,
        *,
        target: str | None = None,
        chosen: str | None = None,
        rejected: str | None = None,
        margin: str | None = None,
        format: str = "auto",  # noqa: A002
        columns: Mapping[str, str] | None = None,
        id: str | None = None,  # noqa: A002
        group: str | None = None,
        name: str = "rows",
    ) -> Dataset:
        """Take rows from a list, a generator, or a ``datasets.Dataset``; the other arguments are as in :meth:`load`.

        The rows are written once to ``datasets/`` in ftkit's home folder (``$FTKIT_HOME``), under a name made of their
        content and readable by their owner only: a training process can open them, and they need not fit in memory.

        Args:
            rows: mappings from column to value; see :func:`ftkit.data.json_values.plain` for the values.
            name: what errors call the place of a row: ``rows:12``.

        Raises:
            DataError: a row is not a mapping or holds what JSON cannot; and as :meth:`load`.
        """
        path = spool(rows, name)
        from_arrow = type(rows).__module__.partition(".")[0] == "datasets"
        source = open_source(path, name=name, nulls_are_absent=from_arrow)
        task = Task() if task is None else task
        options = options_of(
            task,
            format=format,
            target=target,
            chosen=chosen,
            rejected=rejected,
            margin=margin,
            columns=columns,
            id=id,
            group=group,
        )
        return cls._over(Corpus([source]), open_reading(Corpus([source]), task, options))

    @classmethod
    def _over(cls, corpus: Corpus, reading: Reading) -> Dataset:
        return cls(corpus, reading, range(len(corpus)))

    @property
    def task(self) -> Task:
        """What the rows are seen through."""
        return self._reading.task

    @property
    def format(self) -> str:
        """The format of the files: ``"table"``, ``"openai"``, …"""
        return self._reading.format.name

    @property
    def kind(self) -> Kind:
        """``"preferences"`` when each row has a better and a worse answer, ``"prompts"`` when none has one, else
        ``"demonstrations"``. Reads no row."""
        return self._reading.kind

    @property
    def sources(self) -> tuple[Path, ...]:
        """Absolute paths of the files."""
        return tuple(source.path for source in self._corpus.sources)

    @property
    def fingerprint(self) -> str:
        """``sha256:…`` over the contents of the rows, in order: equal for equal rows, whatever file they come from.

        Reads every row, unless :meth:`attempts` has just done so.
        """
        if self._fingerprint is None:
            self._fingerprint = fingerprint_rows(columns for _, _, columns in self._sweep())
        return self._fingerprint

    def with_task(self, task: Task) -> Dataset:
        """The same rows seen through another task; the format is told again unless it was named."""
        reading = open_reading(self._corpus, task, self._reading.options)
        return Dataset(self._corpus, reading, self._rows, self._fingerprint)

    def __repr__(self) -> str:
        names = [source.name if len(source.name) <= 40 else Path(source.name).name for source in self._corpus.sources]
        shown = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        count = f"{len(self):,}" if len(self) == len(self._corpus) else f"{len(self):,} of {len(self._corpus):,}"
        options = self._reading.options
        answers = {"target": options.target, "chosen": options.chosen, "rejected": options.rejected}
        told = "".join(f", {name}={column!r}" for name, column in answers.items() if column is not None)
        return f"Dataset({shown}: {count} rows, {self.format}{told})"

    @property
    def source_names(self) -> tuple[str, ...]:
        """The files as they were named."""
        return tuple(source.name for source in self._corpus.sources)

    @property
    def rows_in_sources(self) -> int:
        """How many rows the files hold, of which this may be a part."""
        return len(self._corpus)

    def place(self, at: int) -> Place:
        """File and line of row ``at``, without reading it."""
        return self._corpus.place(self._rows[at])

    @property
    def options(self) -> Options:
        """Which columns mean what."""
        return self._reading.options

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        row = self._reading.row
        return (row(source, place, columns) for source, place, columns in self._sweep())

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> Dataset: ...
    def __getitem__(self, at: int | slice) -> Row | Dataset:
        if isinstance(at, slice):
            is_all = at.indices(len(self)) == (0, len(self), 1)
            return self if is_all else self._view(self._rows[at])
        try:
            number = self._rows[at]
        except IndexError:
            raise IndexError(f"row {at} of a dataset of {len(self)} rows") from None
        with self._corpus.open(sweep=False) as reader:
            return self._reading.row(*reader.read(number))

    def take(self, count: int) -> Dataset:
        """The first ``count`` rows, or all if there are fewer."""
        if count < 0:
            raise ConfigError(f"take({count}): the number of rows must not be negative.")
        return self[:count]

    def shuffle(self, seed: int = 0) -> Dataset:
        """The same rows in an order that depends on ``seed`` alone, the same on every machine."""
        order = sorted(range(len(self)), key=[rank(seed, str(at)) for at in range(len(self))].__getitem__)
        return self._view(array("q", (self._rows[at] for at in order)))

    def filter(self, predicate: Callable[[Row], object]) -> Dataset:
        """The rows for which ``predicate`` is true. They are all read once, now."""
        return self._view(array("q", (number for number, row in zip(self._rows, self, strict=True) if predicate(row))))

    def split(
        self,
        test: float | None = None,
        *,
        validation: float | None = None,
        group_by: By | None = None,
        stratify_by: By | None = None,
        seed: int = 0,
    ) -> tuple[Dataset, ...]:
        """Divide the rows: ``(train, test)``, ``(train, validation)`` or ``(train, validation, test)``.

        Which side a row falls on depends on ``seed`` and its content (or group), not on its position. Each side keeps
        the order of the rows. One pass over the data.

        Args:
            test: share of the rows (0 to 1), or their number. Exact without groups: ``round(len * test)``.
            validation: likewise.
            group_by: rows with the same value never fall on two sides; by default the column that ``group=`` named.
            stratify_by: a column, ``"target"`` (of preferences the chosen answer), or a function; each side gets each
                of its values in the same share, within one row, as far as groups allow. A value that only one row has
                stays in training.
            seed: another seed gives another split.

        Raises:
            DataError: a side would be empty, or a row lacks the column.
            ConfigError: sizes that make no sense.
        """
        total = len(self)
        asked = [("test", test), ("validation", validation)]
        sides = [Side(name, wanted_rows(name, size, total)) for name, size in asked if size is not None]
        if not sides:
            raise ConfigError("split needs a size: split(test=0.2), or split(test=0.1, validation=0.1).")
        group_by = group_by or self._reading.options.group
        *cut, train = divide(self._keys(group_by, stratify_by, seed), sides, grouped=group_by is not None)
        parts = [train, *reversed(cut)]
        return tuple(self._view(array("q", (self._rows[at] for at in part))) for part in parts)

    def check(self) -> list[DataError]:
        """Read every row; the problem of each one that cannot be used, in order. Empty when all is well."""
        return [outcome for _, _, outcome in self.attempts() if isinstance(outcome, DataError)]

    def attempts(self) -> Iterator[tuple[Place, Mapping[str, Any], Row | DataError]]:
        """Each row's place, its columns as read (none, when even that failed), and the row or why it cannot be used.

        The same pass computes :attr:`fingerprint`, if it comes to the end and every row could be read.
        """
        content = ContentHash() if self._fingerprint is None else None
        with self._corpus.open(sweep=self._ascending) as reader:
            for number in self._rows:
                columns: dict[str, Any] = {}
                try:
                    source, place, columns = reader.read(number)
                except DataError as error:
                    content = None
                    yield self._corpus.place(number), columns, error
                    continue
                text = None if content is None else canonical(columns)
                if content is not None and text is not None:
                    content.add(text)
                try:
                    outcome: Row | DataError = self._reading.row(source, place, columns, text)
                except DataError as error:
                    outcome = error
                yield place, columns, outcome
        if content is not None:
            self._fingerprint = content.fingerprint

    def write(self, path: str | os.PathLike[str], *, format: str) -> None:  # noqa: A002
        """Write JSON Lines in any dataset format that can be written, also one of an installed package.

        Args:
            path: the file to write. It is replaced when all rows are written.
            format: the format's name, e.g. ``"sharegpt"``.

        Raises:
            ConfigError: there is no such format, or it cannot be written.
            DataError: the format cannot express a row. The file is then left as it was.
        """
        write_rows(self, path, format)

    def write_openai(self, path: str | os.PathLike[str], *, form: OpenAIForm | None = None) -> None:
        """Write OpenAI's JSON Lines. Except for prompts, no columns but those named here are written.

        Demonstrations become ``messages`` with weights, ``tools``, ``parallel_tool_calls``; preferences ``input``
        (which holds these), ``preferred_output`` and ``non_preferred_output``; prompts ``messages`` without an answer,
        and :attr:`Row.item`, which graders read, beside them.

        Args:
            path: the file to write. It is replaced when all rows are written.
            form: ``"reinforcement"`` writes rows of any kind as prompts.

        Raises:
            ConfigError: there is no such form.
            DataError: a row has no answer, or a margin, which OpenAI's form cannot express. The file is then left as
                it was.
        """
        write_rows(self, path, openai_format(self.kind, form))

    def write_trl(self, path: str | os.PathLike[str], *, form: TrlForm | None = None) -> None:
        """Write JSON Lines for TRL's trainers, with the rows' ``tools``.

        Args:
            path: the file to write. It is replaced when all rows are written.
            form: ``"preference"``, the default for preferences, is ``prompt``, ``chosen``, ``rejected`` and
                ``margin``. ``"prompt"``, the default for prompts, is ``prompt`` and what graders read.
                ``"prompt_completion"``, the default for demonstrations, learns the last assistant turn only;
                ``"messages"`` learns whatever TRL is told to. None of them can hold a weight for each message.

        Raises:
            ConfigError: there is no such form, or it is not one for rows of this kind.
            DataError: the form cannot express the row (an earlier turn that is learned, a turn that is not), or the
                row has no answer. The file is then left as it was.
        """
        write_rows(self, path, trl_format(self.kind, form))

    def to_spec(self, folder: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        """A few kilobytes of plain data from which :meth:`from_spec`, in any process here, opens the same rows.

        Args:
            folder: where a long selection of rows is written, as a small binary file; by default ftkit's home.
        """
        return dataset_spec.to_spec(self._corpus, self._reading, self._rows, folder, self._fingerprint)

    @classmethod
    def from_spec(cls, given: Mapping[str, Any]) -> Dataset:
        """Open what :meth:`to_spec` described.

        Raises:
            DataError: a file is gone, or has changed since.
        """
        return cls(*dataset_spec.from_spec(given))

    @cached_property
    def _ascending(self) -> bool:
        rows = self._rows
        return rows.step > 0 if isinstance(rows, range) else all(map(lt, rows, islice(rows, 1, None)))

    def _view(self, rows: Rows) -> Dataset:
        return Dataset(self._corpus, self._reading, rows)

    def _sweep(self) -> Iterator[tuple[Source, Place, dict[str, Any]]]:
        with self._corpus.open(sweep=self._ascending) as reader:
            for number in self._rows:
                yield reader.read(number)

    def _keys(self, group_by: By | None, stratify_by: By | None, seed: int) -> Keys:
        keys = Keys()
        for source, place, columns in self._sweep():
            if group_by is None:
                group = self._reading.identity(columns, place)
            else:
                group = self._key(group_by, source, place, columns)
            label = "" if stratify_by is None else self._key(stratify_by, source, place, columns)
            keys.add(rank(seed, group), label)
        return keys

    def _key(self, by: By, source: Source, place: Place, columns: dict[str, Any]) -> str:
        answer = self._reading.options.target or self._reading.options.chosen
        if by == "target" and answer is not None:
            by = answer
        if by == "target" and "target" not in columns:
            row = self._reading.row(source, place, columns)
            if row.completion is None:
                raise DataError("stratify_by: the row has no answer", place=place)
            return text_content(row.completion) or ""
        if isinstance(by, str):
            return key_text(named(columns, by, place))
        value = by(self._reading.row(source, place, columns))
        return value if isinstance(value, str) else repr(value)


def check_dataset(value: object, name: str = "data") -> None:
    """See that ``value`` is a :class:`Dataset`.

    Raises:
        ConfigError: it is something else, for instance a path or a list of rows.
    """
    check_kind(value, Dataset, name, "an ft.Dataset: ft.Dataset.load(path, task) or ft.Dataset.from_rows(rows, task)")
