"""Check the options of a dataset, and choose how its rows are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, TypedDict

from ftkit.arguments import check_kind
from ftkit.data.column_value import find_column_value
from ftkit.data.columns_beside import label_column
from ftkit.data.formats import FORMATS, Format, choose_format
from ftkit.data.options import ReadOptions
from ftkit.data.row_reader import RowReader
from ftkit.data.sources import Corpus
from ftkit.data.texts_beside import SYSTEM, THOUGHT
from ftkit.error_text import Argument, ErrorText, name_list
from ftkit.errors import ConfigError, DataError, Place
from ftkit.task import Task

__all__ = ["RowOptions", "open_row_reader", "read_options"]


class RowOptions(TypedDict, total=False):
    """The arguments of :meth:`ftkit.data.Dataset.load` that say how rows are read."""

    target: str | None
    chosen: str | None
    rejected: str | None
    margin: str | None
    format: str
    columns: Mapping[str, str] | None
    id: str | None
    group: str | None
    label: str | None


_SAMPLE = 100
"""Rows at the beginning of each file from which the format is detected."""

_COLUMNS_EXAMPLE = Argument("columns", "note=text", text='columns={"note": "text"}')


def read_options(
    task: Task,
    *,
    format: str,  # noqa: A002
    target: str | None,
    chosen: str | None,
    rejected: str | None,
    margin: str | None,
    columns: Mapping[str, str] | None,
    id: str | None,  # noqa: A002
    group: str | None,
    label: str | None = None,
) -> ReadOptions:
    """Check the arguments of :meth:`ftkit.data.Dataset.load`, and return them as one object.

    Args:
        task: the dataset's task.
        format: as for :meth:`ftkit.data.Dataset.load`.
        target: as for :meth:`ftkit.data.Dataset.load`.
        chosen: as for :meth:`ftkit.data.Dataset.load`.
        rejected: as for :meth:`ftkit.data.Dataset.load`.
        margin: as for :meth:`ftkit.data.Dataset.load`.
        columns: as for :meth:`ftkit.data.Dataset.load`.
        id: as for :meth:`ftkit.data.Dataset.load`.
        group: as for :meth:`ftkit.data.Dataset.load`.
        label: as for :meth:`ftkit.data.Dataset.load`.

    Returns:
        The options.

    Raises:
        ConfigError: an argument of another type, ``columns`` names something that neither the task nor a format
            reads, or the answers' columns contradict each other.
    """
    check_kind(task, Task, "task", 'an ft.Task("…", input="{note}")')
    columns_of = {"target": target, "chosen": chosen, "rejected": rejected, "margin": margin, "id": id, "group": group}
    columns_of["label"] = label
    for option, column in columns_of.items():
        if column is not None:
            check_kind(column, str, option, ErrorText("the name of one column: ", Argument(option, "…")))
    if columns is not None:
        check_kind(columns, Mapping, "columns", ErrorText("which column is read for which: ", _COLUMNS_EXAMPLE))
    if target is not None and (chosen is not None or rejected is not None):
        raise ConfigError(
            ErrorText(
                Argument("target"),
                " is the answer of a demonstration, ",
                Argument("chosen"),
                " and ",
                Argument("rejected"),
                " are those of a preference; name one kind.",
            )
        )
    if label is not None and (chosen is not None or rejected is not None):
        raise ConfigError(
            ErrorText(
                Argument("label"),
                " says whether a single answer is a good one, ",
                Argument("chosen"),
                " and ",
                Argument("rejected"),
                " are two answers; name one kind.",
            )
        )
    if (chosen is None) != (rejected is None):
        given, lacking = ("chosen", "rejected") if rejected is None else ("rejected", "chosen")
        raise ConfigError(
            ErrorText("a preference has two answers: ", Argument(given), " needs ", Argument(lacking), " beside it.")
        )
    mapping = dict(columns or {})
    known = (
        task.columns
        if task.input is not None
        else (*(name for item in dict(FORMATS.items()).values() for name in item.columns), *SYSTEM, THOUGHT)
    )
    for name in mapping:
        if name not in known:
            reader = "the task reads" if task.input is not None else "the formats read"
            raise ConfigError(
                ErrorText(
                    Argument("columns"),
                    f" has {name!r}, but {reader} {', '.join(dict.fromkeys(known)) or 'no column'}. "
                    "It maps those names to columns of the file: ",
                    _COLUMNS_EXAMPLE,
                    ".",
                )
            )
    return ReadOptions(format, target, chosen, rejected, margin, tuple(mapping.items()), id, group, label)


def open_row_reader(corpus: Corpus, task: Task, options: ReadOptions) -> RowReader:
    """Choose the format, and check that the columns that the options name exist.

    Args:
        corpus: the files.
        task: the dataset's task.
        options: which columns have a meaning.

    Returns:
        The reader of the corpus' rows.

    Raises:
        DataError: there are no rows, none of the first ones can be read, or a named column is in none of them.
        FormatError: see :func:`ftkit.data.formats.choose_format`.
        ConfigError: the options name answers, and the rows' format has its own; or a margin without a preference.
    """
    samples = _samples(corpus)
    renamed = [(place, options.rename(columns)) for place, columns in samples]
    format_: Format = choose_format(
        options.format, renamed, task, has_answer_column=options.target is not None or options.chosen is not None
    )
    for option, name in options.named_columns().items():
        if not any(_has(columns, name) for _, columns in samples):
            have = name_list(dict.fromkeys(column for _, columns in samples for column in columns))
            raise DataError(f"there is no column {name!r}; the columns are {have}", place=samples[0][0], field=option)
    row_reader = RowReader(task, format_, options, _label_column(format_, options, renamed))
    _check_answers(row_reader)
    return row_reader


def _label_column(
    format_: Format, options: ReadOptions, samples: Sequence[tuple[Place, Mapping[str, Any]]]
) -> str | None:
    """The column that says whether each answer is a good one: the named one, or one that every first row has."""
    # Where only some rows have a label, the rows are demonstrations, and each labelled one is refused as such.
    if options.label is not None:
        return options.label
    chat = format_.has_answers and format_.rejected_field is None and not format_.holds_texts
    if not chat or format_.name == "table" or options.rejected is not None:
        return None
    named = set(options.named_columns().values())
    found = {label_column(columns, named) for _, columns in samples}
    [name] = found if len(found) == 1 else [None]
    return name if name is None else dict(options.columns).get(name, name)


def _check_answers(row_reader: RowReader) -> None:
    format_, options = row_reader.format, row_reader.options
    option = "target" if options.target is not None else "chosen" if options.chosen is not None else None
    if format_.holds_texts and (option is not None or options.label is not None):
        raise ConfigError(
            ErrorText(
                f"the rows are plain texts ({format_.name}), which have no answers, so ",
                Argument(option or "label"),
                " must be left out. Give a task that reads the texts' column to ask something about them.",
            )
        )
    if option is not None and format_.rejected_field is not None:
        raise ConfigError(
            ErrorText(
                f"the rows are preferences already ({format_.name}: {format_.answer_field} and "
                f"{format_.rejected_field}), so ",
                Argument(option),
                " must not name another answer. Leave it out, or say with ",
                Argument("format"),
                " or a task how else to read them.",
            )
        )
    if options.label is not None:
        if format_.rejected_field is not None:
            raise ConfigError(
                ErrorText(
                    f"the rows are pairs of answers already ({format_.name}), so ",
                    Argument("label"),
                    " must not name a label.",
                )
            )
        if options.target is None and not format_.has_answers:
            raise ConfigError(
                ErrorText(
                    Argument("label"),
                    " says whether an answer is a good one, and the rows have none; name its column with ",
                    Argument("target"),
                    ".",
                )
            )
    if format_.label_field is not None and row_reader.label is None:
        raise ConfigError(
            ErrorText(
                Argument("format", format_.name),
                " has a label in each row, true or false. Name its column with ",
                Argument("label"),
                ".",
            )
        )
    if options.margin is not None and row_reader.kind != "preferences":
        raise ConfigError(
            ErrorText(
                Argument("margin"),
                " is by how much the chosen answer is better; it needs ",
                Argument("chosen"),
                " and ",
                Argument("rejected"),
                ".",
            )
        )


def _has(columns: Mapping[str, Any], name: str) -> bool:
    try:
        find_column_value(columns, name)
    except KeyError:
        return False
    return True


def _samples(corpus: Corpus) -> list[tuple[Place, dict[str, Any]]]:
    """The first rows of each file. A broken row is left out: it is reported when it is read, with all the others."""
    samples = []
    first_error: DataError | None = None
    for number, source in enumerate(corpus.sources):
        if not len(source):
            raise DataError(f"{source.name} holds no rows.")
        with corpus.open(sequential=True) as reader:
            for row in islice(range(*corpus.bounds[number : number + 2]), _SAMPLE):
                try:
                    _, place, columns = reader.read(row)
                except DataError as error:
                    first_error = first_error or error
                else:
                    samples.append((place, columns))
    if not samples:
        raise first_error or DataError("there are no rows.")
    return samples
