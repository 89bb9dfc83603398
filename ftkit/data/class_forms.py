"""The canonical answers that follow from a task's Python class, for a process that does not have the class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ftkit.data.column_value import find_column_value, form_key
from ftkit.data.formats import RawRow, text_content
from ftkit.data.row_reader import RowReader
from ftkit.data.sources import Corpus
from ftkit.errors import DataError, OutputError, Place

__all__ = ["class_forms"]


def class_forms(corpus: Corpus, row_reader: RowReader, rows: Iterable[int]) -> dict[str, str]:
    """Find the answers whose canonical form follows from the task's Python class and not from its schema.

    A process that trains gets the rows and the task, and cannot import a class of a script. It must learn the texts
    that this process shows.

    Args:
        corpus: the files.
        row_reader: how their rows are read, with the task.
        rows: numbers of the dataset's rows in the corpus.

    Returns:
        :attr:`RowReader.forms`; empty if the task has no class, or its schema says as much.
    """
    task = row_reader.task
    if task.answer_type is None or task.output.kind != "json":
        return dict(row_reader.forms)
    forms: dict[str, str] = {}
    with corpus.open(sequential=True) as reader:
        for row in rows:
            try:
                _, place, columns = reader.read(row)
                found = _class_form(row_reader, columns, place)
            except (DataError, OutputError, KeyError):  # which the row's reader reports
                continue
            if found is not None:
                forms[form_key(found[0])] = found[1]
    return forms


def _class_form(row_reader: RowReader, columns: Mapping[str, Any], place: Place) -> tuple[Any, str] | None:
    """The answer as the file has it, and its form; None if the schema suffices."""
    task, options = row_reader.task, row_reader.options
    column = options.target or options.chosen
    if column is not None:
        value = find_column_value(columns, column)
    elif row_reader.kind in ("demonstrations", "unpaired_preferences"):
        source = RawRow(options.rename(dict(columns)), place, False, task)
        last = row_reader.format.read(source).messages[-1]
        value = text_content(last) if last["role"] == "assistant" else None
    else:
        return None
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    form = task.target(value)
    if column is None:  # the completion of a conversation stays as it is written
        return (value, form) if task.output.problems(value) else None
    try:
        return None if form == task.output.format(value) else (value, form)
    except OutputError:
        return value, form
