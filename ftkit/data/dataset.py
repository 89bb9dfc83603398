"""The dataset: rows on disk, read for a task."""

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
from ftkit.data.open_dataset import open_row_reader, read_options
from ftkit.data.row import Row
from ftkit.data.row_file import write_row_file
from ftkit.data.row_reader import ReadOptions, RowKind, RowReader, column_value, equality_key
from ftkit.data.sources import MAX_LINE_BYTES, Corpus, Source, open_source
from ftkit.data.split import SplitKeys, SplitPart, assign_parts, hash_rank, part_size
from ftkit.data.strict_json import canonical_json
from ftkit.data.unread_columns import UnreadColumns
from ftkit.data.writers import OpenAIForm, TrlForm, openai_format, trl_format, write_rows
from ftkit.errors import ConfigError, DataError, Place
from ftkit.task import Task
from ftkit.type_checks import check_kind

__all__ = ["Dataset", "check_dataset"]

Rows = range | array  # type: ignore[type-arg]  # array[int], which cannot be subscripted at run time
By = str | Callable[[Row], object]
"""What rows are grouped or stratified by: a column, a dotted path into one, or a function of the row."""


class Dataset:
    """An immutable sequence of :class:`~ftkit.data.Row`, read from disk on access.

    A dataset holds paths and row numbers, never rows, so each row takes a few dozen bytes of memory. Slices, shuffles,
    filters and splits are views of the same files. Create one with :meth:`load` or :meth:`from_rows`.
    """

    def __init__(self, corpus: Corpus, row_reader: RowReader, rows: Rows, fingerprint: str | None = None) -> None:
        self._corpus = corpus
        self._row_reader = row_reader
        self._rows = rows
        self._fingerprint = fingerprint
        self._unread: dict[str, int] | None = None

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
            task: builds the prompt from a row's columns, and defines what a valid answer is. Without one, the rows
                must be whole conversations, and answers are texts.
            target: the column that holds the wanted answer: an object, a JSON text, or a text. A dotted path names a
                key inside a column. Without it, a table has no answers, and conversations end with their own.
            chosen: the column that holds the better of two answers, for preferences; read as ``target`` is.
            rejected: the column that holds the worse answer. It may break the task's schema. A text is used as it is,
                another value is written as a valid answer would be.
            margin: the column that holds by how much ``chosen`` is better: a number, or null.
            format: ``"auto"`` detects the format from the first 100 rows. Or a name: ``table``, ``openai``,
                ``trl_messages``, ``prompt_completion``, ``alpaca``, ``sharegpt``, ``sharegpt_preference``,
                ``openai_preference``, ``trl_preference``, ``openai_prompts``, ``trl_prompts``, or the name that a
                package or script has registered.
            columns: which column of the file is read for each column of the task or format: ``{"note": "text"}``.
            id: the column that identifies a row. By default ``id`` where there is one, else a hash of the content.
            group: the column whose equal values a split keeps together, e.g. a patient's id.
            max_line_bytes: size of the largest row that is accepted, in bytes; 64 MiB by default.

        Returns:
            The dataset. Rows are read when they are accessed.

        Raises:
            DataError: a file cannot be read, holds no rows, or lacks a named column. Problems of single rows are
                raised when they are read; :meth:`check` lists them all.
            FormatError: the rows fit no format, or several.
            ConfigError: the arguments contradict each other.
            MissingExtraError: a Parquet file, and pyarrow is not installed.
        """
        paths = [path] if isinstance(path, str | os.PathLike) else list(path)
        if not paths:
            raise ConfigError("load needs at least one path.")
        sources = [open_source(item, max_line_bytes=max_line_bytes) for item in paths]
        task = Task() if task is None else task
        options = read_options(
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
        return cls._over(Corpus(sources), open_row_reader(Corpus(sources), task, options))

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
        """Create a dataset from a list, a generator, or a ``datasets.Dataset``.

        The rows are written once to ``datasets/`` in ftkit's home folder (``$FTKIT_HOME``), under a name made of their
        content and readable by their owner only. So a training process can open them, and they need not fit in memory.

        Args:
            rows: mappings from column to value; see :func:`ftkit.schema.json_values.to_exact_json` for the values.
            task: as for :meth:`load`.
            target: as for :meth:`load`.
            chosen: as for :meth:`load`.
            rejected: as for :meth:`load`.
            margin: as for :meth:`load`.
            format: as for :meth:`load`.
            columns: as for :meth:`load`.
            id: as for :meth:`load`.
            group: as for :meth:`load`.
            name: what errors call the place of a row: ``rows:12``.

        Returns:
            The dataset.

        Raises:
            DataError: a row is not a mapping, or holds a value that JSON cannot; and as for :meth:`load`.
            FormatError, ConfigError: as for :meth:`load`.
        """
        path = write_row_file(rows, name)
        from_arrow = type(rows).__module__.partition(".")[0] == "datasets"
        source = open_source(path, name=name, nulls_are_absent=from_arrow)
        task = Task() if task is None else task
        options = read_options(
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
        return cls._over(Corpus([source]), open_row_reader(Corpus([source]), task, options))

    @classmethod
    def _over(cls, corpus: Corpus, row_reader: RowReader) -> Dataset:
        return cls(corpus, row_reader, range(len(corpus)))

    @property
    def task(self) -> Task:
        """The task that the rows are read for."""
        return self._row_reader.task

    @property
    def format(self) -> str:
        """Name of the files' format, e.g. ``"openai"``."""
        return self._row_reader.format.name

    @property
    def kind(self) -> RowKind:
        """What the rows are; reads none of them.

        ``"preferences"`` if each row has a better and a worse answer, ``"prompts"`` if none has an answer, else
        ``"demonstrations"``.
        """
        return self._row_reader.kind

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
            unread = UnreadColumns(self._row_reader)
            self._fingerprint = fingerprint_rows(unread.counted(columns for _, _, columns in self._read_columns()))
            self._unread = dict(unread.counts)
        return self._fingerprint

    def with_task(self, task: Task) -> Dataset:
        """Return the same rows for another task.

        Args:
            task: the task.

        Returns:
            A dataset of the same rows. Its format is detected again, unless it was named.

        Raises:
            FormatError, ConfigError: the rows do not fit the task, as for :meth:`load`.
        """
        row_reader = open_row_reader(self._corpus, task, self._row_reader.options)
        return Dataset(self._corpus, row_reader, self._rows, self._fingerprint)

    def __repr__(self) -> str:
        names = [source.name if len(source.name) <= 40 else Path(source.name).name for source in self._corpus.sources]
        shown = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        count = f"{len(self):,}" if len(self) == len(self._corpus) else f"{len(self):,} of {len(self._corpus):,}"
        options = self._row_reader.options
        answers = {"target": options.target, "chosen": options.chosen, "rejected": options.rejected}
        named = "".join(f", {name}={column!r}" for name, column in answers.items() if column is not None)
        return f"Dataset({shown}: {count} rows, {self.format}{named})"

    @property
    def source_names(self) -> tuple[str, ...]:
        """The files, as they were named."""
        return tuple(source.name for source in self._corpus.sources)

    @property
    def json_lines_names(self) -> frozenset[str]:
        """Those of :attr:`source_names` that are JSON Lines."""
        return frozenset(source.name for source in self._corpus.sources if source.has_json_lines)

    @property
    def rows_in_sources(self) -> int:
        """The number of rows in the files, of which the dataset may be a part."""
        return len(self._corpus)

    def place(self, at: int) -> Place:
        """Return file and line of a row, without reading it.

        Args:
            at: number of the row, from 0.

        Returns:
            The place.
        """
        return self._corpus.place(self._rows[at])

    @property
    def options(self) -> ReadOptions:
        """How the rows are read: the format, and which columns have a meaning."""
        return self._row_reader.options

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        row = self._row_reader.row
        return (row(source, place, columns) for source, place, columns in self._read_columns())

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
        with self._corpus.open(sequential=False) as reader:
            return self._row_reader.row(*reader.read(number))

    def take(self, count: int) -> Dataset:
        """Return the first rows.

        Args:
            count: how many, at most.

        Returns:
            A view of the first ``count`` rows, or of all if there are fewer.

        Raises:
            ConfigError: ``count`` is negative.
        """
        if count < 0:
            raise ConfigError(f"take({count}): the number of rows must not be negative.")
        return self[:count]

    def select(self, positions: Sequence[int]) -> Dataset:
        """Choose rows by position.

        Args:
            positions: positions of the rows, from 0. Ascending positions are read fastest.

        Returns:
            The rows, in the order of ``positions``.
        """
        return self._view(array("q", (self._rows[at] for at in positions)))

    def shuffle(self, seed: int = 0) -> Dataset:
        """Return the same rows in a random order.

        Args:
            seed: determines the order, which is the same on every machine.

        Returns:
            A view of the rows.
        """
        order = sorted(range(len(self)), key=[hash_rank(seed, str(at)) for at in range(len(self))].__getitem__)
        return self._view(array("q", (self._rows[at] for at in order)))

    def filter(self, predicate: Callable[[Row], object]) -> Dataset:
        """Return the rows that fulfil a condition. Reads every row once, now.

        Args:
            predicate: a function of a row; the row stays if it returns a true value.

        Returns:
            A view of the rows.

        Raises:
            DataError: a row cannot be used.
        """
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
        """Split the rows into training, validation and test rows.

        Which part a row belongs to depends on ``seed`` and its content (or group), not on its position. Each part
        keeps the order of the rows. Reads every row once.

        Args:
            test: share of the rows (0 to 1), or their number. Exact without groups: ``round(len * test)``.
            validation: likewise.
            group_by: rows with the same value stay in one part. By default the column that ``group=`` named.
            stratify_by: a column, ``"target"`` (of preferences the chosen answer), or a function. Each part gets each
                of its values in the same share, within one row, as far as groups allow. A value that only one row has
                stays in training.
            seed: another seed gives another split.

        Returns:
            ``(train, test)``, ``(train, validation)`` or ``(train, validation, test)``.

        Raises:
            DataError: a part would be empty, or a row lacks the column.
            ConfigError: no size, or an invalid one.
        """
        total = len(self)
        sizes = [("test", test), ("validation", validation)]
        parts = [SplitPart(name, part_size(name, size, total)) for name, size in sizes if size is not None]
        if not parts:
            raise ConfigError("split needs a size: split(test=0.2), or split(test=0.1, validation=0.1).")
        group_by = group_by or self._row_reader.options.group
        *held_out, train = assign_parts(self._keys(group_by, stratify_by, seed), parts, grouped=group_by is not None)
        positions = [train, *reversed(held_out)]
        return tuple(self._view(array("q", (self._rows[at] for at in part))) for part in positions)

    def check(self) -> list[DataError]:
        """Read every row, and return the problems.

        Returns:
            The problem of each row that cannot be used, in order. Empty if all rows can be used.
        """
        return [outcome for _, _, outcome in self.attempts() if isinstance(outcome, DataError)]

    def attempts(self) -> Iterator[tuple[Place, Mapping[str, Any], Row | DataError]]:
        """Read every row, and go on after those that cannot be used.

        The same pass computes :attr:`fingerprint` and :meth:`unread_columns`, if it runs to the end and the columns of
        every row can be read.

        Yields:
            The row's place, its columns (empty if they cannot be read), and the row, or why it cannot be used.
        """
        content = ContentHash() if self._fingerprint is None else None
        unread: UnreadColumns | None = UnreadColumns(self._row_reader)
        with self._corpus.open(sequential=self._ascending) as reader:
            for number in self._rows:
                columns: dict[str, Any] = {}
                try:
                    source, place, columns = reader.read(number)
                except DataError as error:
                    content = unread = None
                    yield self._corpus.place(number), columns, error
                    continue
                text = None if content is None else canonical_json(columns)
                if content is not None and text is not None:
                    content.add(text)
                if unread is not None:
                    unread.add(columns)
                try:
                    outcome: Row | DataError = self._row_reader.row(source, place, columns, text)
                except DataError as error:
                    outcome = error
                yield place, columns, outcome
        if content is not None:
            self._fingerprint = content.fingerprint
        if unread is not None:
            self._unread = dict(unread.counts)

    def unread_columns(self) -> dict[str, int]:
        """Count the columns that hold something and that nothing reads.

        Reads every row, unless :meth:`attempts` or :attr:`fingerprint` has just done so.

        Returns:
            The number of rows by column, in the order of the rows. Empty for a table, whose task says what is read,
            and for prompts, whose graders may read every column.

        Raises:
            DataError: a row is not valid in its file.
        """
        if self._unread is None:
            unread = UnreadColumns(self._row_reader)
            for _, _, columns in self._read_columns():
                unread.add(columns)
            self._unread = dict(unread.counts)
        return dict(self._unread)

    @property
    def row_reader(self) -> RowReader:
        """Makes rows of columns."""
        return self._row_reader

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
                ``"messages"`` learns what TRL's options select. None of them can hold a weight for each message.

        Raises:
            ConfigError: there is no such form, or it is not one for rows of this kind.
            DataError: the form cannot express the row (an earlier turn that is learned, a turn that is not), or the
                row has no answer. The file is then left as it was.
        """
        write_rows(self, path, trl_format(self.kind, form))

    def to_spec(self, folder: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        """Describe the dataset, so that another process on this machine opens the same rows.

        Args:
            folder: where a long selection of rows is written, as a small binary file. By default ftkit's home folder.

        Returns:
            A few kilobytes of plain data for :meth:`from_spec`.
        """
        return dataset_spec.to_spec(self._corpus, self._row_reader, self._rows, folder, self._fingerprint)

    @classmethod
    def from_spec(cls, given: Mapping[str, Any]) -> Dataset:
        """Open the rows that :meth:`to_spec` described.

        Args:
            given: the description.

        Returns:
            The dataset.

        Raises:
            DataError: a file is gone, or has changed since.
        """
        return cls(*dataset_spec.from_spec(given))

    @cached_property
    def _ascending(self) -> bool:
        rows = self._rows
        return rows.step > 0 if isinstance(rows, range) else all(map(lt, rows, islice(rows, 1, None)))

    def _view(self, rows: Rows) -> Dataset:
        return Dataset(self._corpus, self._row_reader, rows)

    def _read_columns(self) -> Iterator[tuple[Source, Place, dict[str, Any]]]:
        with self._corpus.open(sequential=self._ascending) as reader:
            for number in self._rows:
                yield reader.read(number)

    def _keys(self, group_by: By | None, stratify_by: By | None, seed: int) -> SplitKeys:
        keys = SplitKeys()
        for source, place, columns in self._read_columns():
            if group_by is None:
                group = self._row_reader.identity(columns, place)
            else:
                group = self._key(group_by, source, place, columns)
            label = "" if stratify_by is None else self._key(stratify_by, source, place, columns)
            keys.add(hash_rank(seed, group), label)
        return keys

    def _key(self, by: By, source: Source, place: Place, columns: dict[str, Any]) -> str:
        answer = self._row_reader.options.target or self._row_reader.options.chosen
        if by == "target" and answer is not None:
            by = answer
        if by == "target" and "target" not in columns:
            row = self._row_reader.row(source, place, columns)
            if row.completion is None:
                raise DataError("stratify_by: the row has no answer", place=place)
            return text_content(row.completion) or ""
        if isinstance(by, str):
            return equality_key(column_value(columns, by, place))
        value = by(self._row_reader.row(source, place, columns))
        return value if isinstance(value, str) else repr(value)


def check_dataset(value: object, name: str = "data") -> None:
    """Check that an argument is a :class:`Dataset`.

    Args:
        value: the argument.
        name: its name, for errors.

    Raises:
        ConfigError: it is something else, for instance a path or a list of rows.
    """
    check_kind(value, Dataset, name, "an ft.Dataset: ft.Dataset.load(path, task) or ft.Dataset.from_rows(rows, task)")
