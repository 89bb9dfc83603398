"""Rows of files, read for a task when they are accessed."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from operator import lt
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, overload

from ftkit.arguments import explain_calls
from ftkit.counts import verb
from ftkit.data.column_value import column_value, equality_key
from ftkit.data.fingerprint import ContentHash, fingerprint_rows
from ftkit.data.formats import text_content
from ftkit.data.options import ReadOptions
from ftkit.data.other_methods import other_method
from ftkit.data.row import Row
from ftkit.data.row_reader import RowKind, RowReader
from ftkit.data.sources import Corpus, Source
from ftkit.data.split import SplitKeys, SplitPart, assign_parts, hash_rank, part_size
from ftkit.data.strict_json import canonical_json
from ftkit.data.unread_columns import UnreadColumns
from ftkit.errors import ConfigError, DataError, Place
from ftkit.schema.answer_type import AnswerT
from ftkit.task import Task

__all__ = ["By", "RowSequence"]

Rows = range | array  # type: ignore[type-arg]  # array[int], which cannot be subscripted at run time
By = str | Callable[[Row], object]
"""What rows are grouped or stratified by: a column, a dotted path into one, or a function of the row."""
_SAMPLE = 100
"""Rows whose columns :attr:`RowSequence.columns` lists."""


class RowSequence(Generic[AnswerT]):
    """Immutable sequence of :class:`~ftkit.data.Row`. Slices, shuffles, filters and splits are views of the files."""

    @explain_calls(instead="ft.Dataset.load(path, task) or ft.Dataset.from_rows(rows, task)")
    def __init__(self, corpus: Corpus, row_reader: RowReader, rows: Rows, fingerprint: str | None = None) -> None:
        self._corpus = corpus
        self._row_reader = row_reader
        self._rows = rows
        self._fingerprint = fingerprint
        self._unread: dict[str, int] | None = None

    @property
    def task(self) -> Task[AnswerT]:
        """The task that the rows are read for."""
        return self._row_reader.task

    @property
    def format(self) -> str:
        """Name of the files' format, e.g. ``"openai"``."""
        return self._row_reader.format.name

    @property
    def kind(self) -> RowKind:
        """What the rows are; reads none of them.

        ``"preferences"`` if each row has a better and a worse answer, ``"unpaired_preferences"`` if each has one answer
        and says whether it is a good one, ``"prompts"`` if none has an answer, ``"texts"`` if each is a plain text,
        else
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

    def __repr__(self) -> str:
        names = [source.name if len(source.name) <= 40 else Path(source.name).name for source in self._corpus.sources]
        shown = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        count = f"{len(self):,}" if len(self) == len(self._corpus) else f"{len(self):,} of {len(self._corpus):,}"
        rows = verb(len(self), "row", "rows")
        options = self._row_reader.options
        answers = {"target": options.target, "chosen": options.chosen, "rejected": options.rejected}
        named = "".join(f", {name}={column!r}" for name, column in answers.items() if column is not None)
        return f"Dataset({shown}: {count} {rows}, {self.format}{named})"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the first 100 rows, under the file's names, in the order of the rows."""
        read = islice(self._read_columns(), _SAMPLE)
        return tuple(dict.fromkeys(name for _, _, columns in read for name in columns))

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
    def __getitem__(self, at: slice) -> Self: ...

    def __getitem__(self, at: int | slice) -> Row | Self:
        if isinstance(at, slice):
            is_all = at.indices(len(self)) == (0, len(self), 1)
            return self if is_all else self._view(self._rows[at])
        if isinstance(at, str):
            raise ConfigError(
                f"rows are read by number: data[0]; a column's values are [row.columns[{at!r}] for row in data]"
            )
        if not hasattr(at, "__index__"):  # NumPy's integers have it, too
            raise ConfigError(
                f"rows are read by number or slice, not by {type(at).__name__}: data[0], data[:10]; "
                "for single ones write [data[at] for at in (3, 5)]"
            )
        try:
            number = self._rows[at]
        except IndexError:
            raise IndexError(f"row {at} of a dataset of {len(self):,} {verb(len(self), 'row', 'rows')}") from None
        with self._corpus.open(sequential=False) as reader:
            return self._row_reader.row(*reader.read(number))

    if not TYPE_CHECKING:  # for type checkers a method that does not exist is an error

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{other_method(name)}")

    def take(self, count: int) -> Self:
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

    def select(self, positions: Sequence[int]) -> Self:
        """Choose rows by position.

        Args:
            positions: positions of the rows, from 0. Ascending positions are read fastest.

        Returns:
            The rows, in the order of ``positions``.
        """
        return self._view(array("q", (self._rows[at] for at in positions)))

    def shuffle(self, seed: int = 0) -> Self:
        """Return the same rows in a random order.

        Args:
            seed: determines the order, which is the same on every machine.

        Returns:
            A view of the rows.
        """
        order = sorted(range(len(self)), key=[hash_rank(seed, str(at)) for at in range(len(self))].__getitem__)
        return self._view(array("q", (self._rows[at] for at in order)))

    def filter(self, predicate: Callable[[Row], object]) -> Self:
        """Return the rows that fulfil a condition. Reads every row once, now.

        Args:
            predicate: a function of a row; the row stays if it returns a true value.

        Returns:
            A view of the rows.

        Raises:
            DataError: a row cannot be used.
        """
        return self._view(array("q", (number for number, row in zip(self._rows, self, strict=True) if predicate(row))))

    @explain_calls(instead="data.split(test=0.2, seed=7)")
    def split(
        self,
        test: float | None = None,
        *,
        validation: float | None = None,
        group_by: By | None = None,
        stratify_by: By | None = None,
        seed: int = 0,
    ) -> tuple[Self, ...]:
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

    def attempts(self, *, summaries: bool = True) -> Iterator[tuple[Place, Mapping[str, Any], Row | DataError]]:
        """Read every row, and go on after those that cannot be used.

        Args:
            summaries: compute :attr:`fingerprint` and :meth:`unread_columns` in the same pass, if it runs to the end
                and the columns of every row can be read. They belong to this object, so a slice that is read once
                needs none.

        Yields:
            The row's place, its columns (empty if they cannot be read), and the row, or why it cannot be used.
        """
        content = ContentHash() if summaries and self._fingerprint is None else None
        unread = UnreadColumns(self._row_reader) if summaries else None
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

    @cached_property
    def _ascending(self) -> bool:
        rows = self._rows
        return rows.step > 0 if isinstance(rows, range) else all(map(lt, rows, islice(rows, 1, None)))

    def _view(self, rows: Rows) -> Self:
        return type(self)(self._corpus, self._row_reader, rows)

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
