"""Telling the format from the columns of the first rows. What fits two formats, or none, is asked, never guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ftkit.data.formats.alpaca import Alpaca
from ftkit.data.formats.base import Format
from ftkit.data.formats.openai import OpenAI
from ftkit.data.formats.openai_preference import OpenAIPreference
from ftkit.data.formats.openai_prompts import OpenAIPrompts
from ftkit.data.formats.prompt_completion import PromptCompletion
from ftkit.data.formats.sharegpt import ShareGPT
from ftkit.data.formats.table import Table
from ftkit.data.formats.trl_preference import TRLPreference
from ftkit.errors import ConfigError, FormatError, Place
from ftkit.task import Task

__all__ = ["FORMATS", "Sample", "choose_format"]

FORMATS: tuple[Format, ...] = (
    OpenAI(),
    PromptCompletion(),
    Alpaca(),
    ShareGPT(),
    OpenAIPreference(),
    TRLPreference(),
)
"""The formats that need no task. ``table`` is the one that does."""

PROMPTS = OpenAIPrompts()
"""What rows of ``openai`` are when none of them has an answer."""

Sample = tuple[Place, Mapping[str, Any]]
"""A row that detection looks at: where it is, and its columns."""

_ALIASES = {"trl_messages": "openai"}


def choose_format(asked: str, samples: Sequence[Sample], task: Task, *, named: bool = False) -> Format:
    """The format of the rows.

    Args:
        asked: ``"auto"``, or the name of a format.
        samples: rows from the beginning of each file. Messages without an answer are prompts when none of these rows
            has one; among rows that have, a row without is faulty.
        named: columns are named that hold the answers, so that conversations need not end with one.
        task: a task whose template's columns are all there makes the rows a ``table``.

    Raises:
        ConfigError: ``asked`` is no format, or ``table`` without a task that has a template.
        FormatError: the rows fit no format, several, or not all the same one.
    """
    table = Table(task)
    first_place, first = samples[0]
    format_ = _detect(first_place, first, table, task) if asked == "auto" else _asked(asked, table, task)
    if format_ is not table and task.instructions:
        raise ConfigError(
            f"the rows hold whole conversations ({format_.name}), where the task's instructions would never be seen. "
            'Leave them out, or let the task make the question from columns: Task("…", input="{prompt}") with '
            'target="completion".'
        )
    if asked != "auto":
        return format_
    if not named and format_.name == "openai" and all(PROMPTS.recognises(columns) for _, columns in samples):
        return PROMPTS
    for place, columns in samples[1:]:
        if not _same(format_, columns, table):
            found = _name(columns)
            raise FormatError(
                f"{found} here, but {format_.name} at {first_place}; all rows must have one format", place=place
            )
    return format_


def _asked(asked: str, table: Table, task: Task) -> Format:
    known = {format_.name: format_ for format_ in (table, *FORMATS, PROMPTS)}
    format_ = known.get(_ALIASES.get(asked, asked))
    if format_ is None:
        raise ConfigError(f"format={asked!r} is not known; it must be auto, {', '.join([*known, *_ALIASES])}.")
    if format_ is table and task.input is None:
        raise ConfigError('format="table" needs a task whose input template reads columns, e.g. input="{note}".')
    if format_ is not table and task.input is not None:
        raise ConfigError(
            f'format="{asked}" holds whole conversations, but the task has a template of its own ({task.input!r}). '
            'Leave the task\'s input out, or use format="table".'
        )
    return format_


def _candidates(columns: Mapping[str, Any]) -> list[Format]:
    return [format_ for format_ in FORMATS if format_.recognises(columns)]


def _same(format_: Format, columns: Mapping[str, Any], table: Table) -> bool:
    """Whether the row is one of ``format_``. One that is of no format at all is a faulty row, found when it is read."""
    if format_ is table and format_.recognises(columns):
        return True
    return _candidates(columns) in ([], [format_])


def _name(columns: Mapping[str, Any]) -> str:
    return " or ".join(format_.name for format_ in _candidates(columns))


def _detect(place: Place, columns: Mapping[str, Any], table: Table, task: Task) -> Format:
    if table.recognises(columns):
        return table
    found = _candidates(columns)
    have = ", ".join(columns) or "none"
    if task.input is not None:
        missing = [name for name in table.reads if name not in columns]
        hint = f" The rows look like {found[0].name}: for those leave the task's input out." if found else ""
        raise FormatError(
            f"the task reads {', '.join(missing)}, and the columns are {have}. "
            f'Name the one to read with columns={{"{missing[0]}": "<column>"}}.{hint}',
            place=place,
        )
    if len(found) == 1:
        return found[0]
    if found:
        names = [format_.name for format_ in found]
        choice = " or ".join(f'format="{name}"' for name in names)
        raise FormatError(f"the columns {have} fit {' and '.join(names)}. Say which: {choice}.", place=place)
    known = "; ".join(f"{format_.name} needs {format_.needs}" for format_ in FORMATS)
    raise FormatError(
        f"the columns {have} fit no known format ({known}). For a table give a task that reads columns, e.g. "
        f'Task("…", input="{{{next(iter(columns), "text")}}}").',
        place=place,
    )
