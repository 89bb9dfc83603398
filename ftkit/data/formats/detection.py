"""Choosing the format from the columns of the first rows. What fits several formats, or none, is an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ftkit.data.formats.base import Format
from ftkit.data.formats.columns_hint import columns_hint
from ftkit.data.formats.registry import FORMATS, detected_formats
from ftkit.error_text import Argument, ErrorText, name_list
from ftkit.errors import ConfigError, FormatError, Place
from ftkit.task import Task

__all__ = ["Sample", "choose_format"]

Sample = tuple[Place, Mapping[str, Any]]
"""A row from the beginning of a file: where it is, and its columns."""

_ALIASES = {"trl_messages": "openai"}
"""Formats that are read like another one and differ only in how they are written."""


def choose_format(name: str, samples: Sequence[Sample], task: Task, *, has_answer_column: bool = False) -> Format:
    """Choose the format of a dataset's rows.

    Args:
        name: ``"auto"``, or the name of a format.
        samples: rows from the beginning of each file. Messages without an answer are prompts when none of these rows
            has one; among rows that have, a row without is faulty.
        task: a task whose template's columns are all there makes the rows a ``table``.
        has_answer_column: a column is named that holds the answers, so that conversations need not end with one.

    Returns:
        The format.

    Raises:
        ConfigError: ``name`` is no format, ``table`` without a task that has a template, or a package's format that
            cannot be loaded.
        FormatError: the rows fit no format, several, or not all the same one.
    """
    if name != "auto":
        format_ = _named(name, task)
        _check_instructions(format_, task)
        return format_
    formats = detected_formats()
    first_place, first = samples[0]
    format_ = _detect(first_place, first, formats, task)
    _check_instructions(format_, task)
    prompts = None if format_.prompts_format is None else FORMATS.get(format_.prompts_format)
    if not has_answer_column and prompts is not None and all(prompts.matches(columns) for _, columns in samples):
        return prompts
    for place, columns in samples[1:]:
        if format_.name == "table" and _has_columns(task, columns):
            continue
        candidates = _candidates(columns, formats)
        # A row that is of no format at all is a faulty row, which is reported when it is read.
        if candidates not in ([], [format_]):
            names = " or ".join(candidate.name for candidate in candidates)
            raise FormatError(
                f"{names} here, but {format_.name} at {first_place}; all rows must have one format", place=place
            )
    return format_


def _named(name: str, task: Task) -> Format:
    format_ = FORMATS.find(_ALIASES.get(name, name))
    if format_ is None:
        raise ConfigError(
            ErrorText(
                Argument("format", name, text=f"format={name!r}"),
                f" is not known; it must be auto, {', '.join(FORMATS.names())}.",
            )
        )
    if format_.name == "table" and task.input is None:
        raise ConfigError(
            ErrorText(
                Argument("format", "table"), ' needs a task whose input template reads columns, e.g. input="{note}".'
            )
        )
    if format_.name != "table" and task.input is not None:
        raise ConfigError(
            ErrorText(
                Argument("format", name),
                f" holds whole conversations, but the task has a template of its own ({task.input!r}). "
                "Leave the task's input out, or use ",
                Argument("format", "table"),
                ".",
            )
        )
    return format_


def _check_instructions(format_: Format, task: Task) -> None:
    if format_.name != "table" and task.instructions:
        raise ConfigError(
            ErrorText(
                f"the rows hold whole conversations ({format_.name}), where the task's instructions would never be "
                'seen. Leave them out, or let the task make the question from columns: Task("…", input="{prompt}") '
                "with ",
                Argument("target", "completion"),
                ".",
            )
        )


def _candidates(columns: Mapping[str, Any], formats: Sequence[Format]) -> list[Format]:
    return [format_ for format_ in formats if format_.matches(columns)]


def _has_columns(task: Task, columns: Mapping[str, Any]) -> bool:
    return task.input is not None and all(name in columns for name in task.columns)


def _detect(place: Place, columns: Mapping[str, Any], formats: Sequence[Format], task: Task) -> Format:
    if _has_columns(task, columns):
        return FORMATS.get("table")
    candidates = _candidates(columns, formats)
    have = name_list(columns)
    if task.input is not None:
        missing = [name for name in task.columns if name not in columns]
        if not candidates and all(isinstance(value, list) for value in columns.values()) and any(columns.values()):
            raise FormatError(
                f"this row is an object of lists ({have}). If they are splits, read the file yourself, and load each: "
                f"ft.Dataset.from_rows(json.load(file)[{next(iter(columns))!r}], task)",
                place=place,
            )
        hint = f" The rows look like {candidates[0].name}: for those leave the task's input out." if candidates else ""
        raise FormatError(
            ErrorText(
                f"the task reads {name_list(missing)}, and the columns are {have}. Name the one to read with ",
                Argument("columns", f"{missing[0]}=<column>", text=f'columns={{"{missing[0]}": "<column>"}}'),
                f".{hint}",
            ),
            place=place,
        )
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        names = [format_.name for format_ in candidates]
        first_choice, *other_choices = (Argument("format", name) for name in names)
        choices = ErrorText(first_choice, *(part for choice in other_choices for part in (" or ", choice)))
        raise FormatError(
            ErrorText(f"the columns {have} fit {' and '.join(names)}. Say which: ", choices, "."), place=place
        )
    known = "; ".join(f"{format_.name} needs {format_.required}" for format_ in formats)
    raise FormatError(
        ErrorText(
            f"the columns {have} fit no known format ({known}). ",
            *columns_hint(columns),
            f'For a table give a task that reads columns, e.g. Task("…", input="{{{next(iter(columns), "text")}}}").',
        ),
        place=place,
    )
