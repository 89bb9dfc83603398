"""Columns beside a conversation that change its meaning: a system message, media, a label, a weight, marks.

Other tools read these columns, so each one is honoured or refused, never dropped. Columns that a format reads itself,
that an option of the dataset names, or that a task's template reads are left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Literal

from ftkit.data.formats import (
    MEDIA,
    REASONING,
    Conversation,
    RawRow,
    read_boolean,
    read_tools,
)
from ftkit.data.formats.learning_marks import LEARNING_MARKS, read_mark
from ftkit.data.strict_json import parse_json
from ftkit.data.texts_beside import CONTEXT, INSTRUCTIONS, SYSTEM, THOUGHT, is_empty, read_systems, refuse_texts
from ftkit.data.unusable_value import UnusableValue
from ftkit.errors import DataError, Place

__all__ = [
    "LABELS",
    "WEIGHTS",
    "RowKind",
    "is_unread",
    "label_column",
    "read_columns_beside",
    "read_label_column",
    "read_weight",
    "refuse_media",
    "unread_names",
]

RowKind = Literal["demonstrations", "preferences", "unpaired_preferences", "prompts", "texts"]
"""What each row is: a prompt with the answer to learn; with a better and a worse answer; with one answer and whether it
is a good one; or with none. Or a plain text."""
LABELS = ("label", "kto_tag")
"""TRL's and LLaMA-Factory's column that says whether the answer is a good one, for KTO."""
WEIGHTS = ("weight", "loss_weight", "sample_weight")
"""Columns with the weight of a row in the loss."""
_MARKS = tuple(name for name in LEARNING_MARKS if name not in WEIGHTS)
_WORSE = (
    "a worse answer beside the conversation is not read; write a pair: the turns before the answer as prompt, the "
    "answer as chosen, and this one as rejected"
)
_SETTINGS = {
    "functions": "the deprecated form of tools is not supported; write tools and tool_calls",
    "function_call": "the deprecated form of a call is not supported; write tools and tool_calls",
    "chat_template_kwargs": "settings of the chat template for one row are not read, and they change the prompt. Leave "
    "the column out, and give all rows a template that does the same (chat_template=)",
    "history": "earlier turns beside the conversation are not read; write them into the conversation",
    "documents": "documents beside the conversation, which chat templates for retrieval write into the prompt, are not "
    "read; write them into the user's or the system message",
    "rejected_response": _WORSE,
    "rejected_messages": _WORSE,
}
"""Columns that other tools read, and why they are refused."""
_BESIDE = frozenset(
    {
        *(
            "tools",
            "parallel_tool_calls",
            CONTEXT,
            INSTRUCTIONS,
            *SYSTEM,
            *REASONING,
            *MEDIA,
            *LABELS,
            *WEIGHTS,
            *_MARKS,
        ),
        *_SETTINGS,
    }
)
"""Columns that are read or refused beside those of the format."""
_SWITCHES = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
"""True and false in CSV files, which hold only texts."""


def _switch(value: Any) -> Any:
    return _SWITCHES.get(value.strip().lower(), value) if isinstance(value, str) else value


def read_columns_beside(
    conversation: Conversation, row: RawRow, names: Collection[str], kind: RowKind
) -> tuple[Conversation, bool | None, bool]:
    """Honour or refuse the columns beside a conversation.

    Args:
        conversation: the conversation, whose messages may be changed.
        row: the row.
        names: columns that the format or an option reads, which have no other meaning.
        kind: what the row is.

    Returns:
        The conversation; its label for KTO, None if there is none; and whether the row is learned.

    Raises:
        DataError: a column holds what cannot be honoured.
    """
    if _BESIDE.isdisjoint(row.columns):
        return conversation, None, True
    refuse_media(row, names)
    # A column of prompts may be for graders.
    _refuse_settings(row, {*names, "history", "documents"} if kind == "prompts" else names)
    read_systems(conversation.messages, row, names)
    if "tools" not in names and conversation.tools is None:
        tools = read_tools(row.columns.get("tools"), row.place, "tools", nulls_are_absent=row.nulls_are_absent)
        conversation = replace(conversation, tools=tools)
    if "parallel_tool_calls" not in names and conversation.parallel_tool_calls is None:
        conversation = replace(conversation, parallel_tool_calls=read_boolean(row, "parallel_tool_calls"))
    if kind == "prompts":
        return conversation, None, True
    is_pair = kind == "preferences"
    refuse_texts(row, conversation.messages, names, is_pair=is_pair)
    if is_pair:
        _refuse_bad_pair(row, names)
    is_learned = read_weight(row, names, always_learned=kind != "demonstrations")
    return conversation, _read_label(row, names) if kind == "demonstrations" else None, is_learned


def refuse_media(row: RawRow, names: Collection[str]) -> None:
    """Refuse a row with images, audio or videos in a column.

    Args:
        row: the row.
        names: columns to leave alone.

    Raises:
        DataError: a column holds some.
    """
    for name in MEDIA:
        value = row.columns.get(name)
        if name not in names and not is_empty(value):
            if isinstance(value, UnusableValue) and value.field == name:  # a NaN; media themselves lie deeper
                raise value.error(row.place)
            raise DataError(
                "the row has media beside its text, which cannot be learned. Leave the row out; or, for a host that "
                "takes images, write them as parts of a message; or rename the column if it is something else",
                place=row.place,
                field=name,
            )


def _refuse_settings(row: RawRow, names: Collection[str]) -> None:
    """Refuse a row with a column that other tools read and that changes the conversation.

    Args:
        row: the row.
        names: columns to leave alone.

    Raises:
        DataError: there is one.
    """
    for name, problem in _SETTINGS.items():
        value = row.columns.get(name)
        if name in names or is_empty(value):
            continue
        if isinstance(value, UnusableValue):
            raise value.error(row.place)
        if isinstance(value, str) and problem != _WORSE and not value.lstrip().startswith(("[", "{")):
            continue  # a column of another kind with this name, e.g. the history of a patient
        raise DataError(problem, place=row.place, field=name)


def _refuse_bad_pair(row: RawRow, names: Collection[str]) -> None:
    """Refuse a preference that a label calls bad: nobody can tell which of its answers is meant.

    Args:
        row: the row.
        names: columns to leave alone.

    Raises:
        DataError: there is such a label.
    """
    for name in LABELS:
        if name not in names and _label(row.columns.get(name)) is False:
            raise DataError(
                "a label of a bad answer (KTO) beside a pair, and the chosen answer would be learned as the better "
                "one. Leave the row out, exchange its answers, or rename the column if it is something else",
                place=row.place,
                field=name,
            )


def _read_label(row: RawRow, names: Collection[str]) -> bool | None:
    """Return whether the row's answer is a good one, from the column that KTO reads.

    Args:
        row: the row.
        names: columns to leave alone.

    Returns:
        The label; None if there is none. Labels of other kinds, such as the name of a class, are none.
    """
    name = label_column(row.columns, names)
    return None if name is None else _label(row.columns[name])


def read_label_column(value: Any, place: Place, field: str) -> bool:
    """Return whether the answer of an unpaired preference is a good one, from its column.

    Args:
        value: the value of the column.
        place: of the row.
        field: name of the column.

    Returns:
        The label.

    Raises:
        DataError: the value is neither true or false, nor 1 or 0, nor one of these as a text.
    """
    label = _label(value)
    if label is None:
        shown = "missing" if value is None else f"this is {value!r:.60}"
        raise DataError(
            f"must say whether the answer is a good one: true or false (or 1 or 0); {shown}", place=place, field=field
        )
    return label


def label_column(columns: Mapping[str, Any], names: Collection[str]) -> str | None:
    """Find the column that says whether a row's answer is a good one.

    Args:
        columns: the row's columns.
        names: columns to leave alone.

    Returns:
        The first of :data:`LABELS` that is true or false; None if there is none.
    """
    return next((name for name in LABELS if name not in names and _label(columns.get(name)) is not None), None)


def _label(value: Any) -> bool | None:
    value = _switch(value)
    return bool(value) if isinstance(value, bool | int | float) and value in (0, 1) else None


def is_unread(name: str, value: Any) -> bool:
    """Say whether a column that nothing reads by its name holds something.

    Args:
        name: one of :func:`unread_names`.
        value: its value in a row.

    Returns:
        False for empty values, for labels of KTO, and for marks of whether the row is learned.
    """
    if value in (None, "", [], {}) or (name in LABELS and _label(value) is not None):
        return False
    return not (name in _MARKS and read_mark(name, _switch(value)) is not None)


def read_weight(row: RawRow, names: Collection[str], *, always_learned: bool) -> bool:
    """Read the weight of a row: with 0 no turn is learned, with 1 all as usual.

    Args:
        row: the row.
        names: columns to leave alone.
        always_learned: whether the row cannot be left unlearned: a preference, paired or not, or a text.

    Returns:
        Whether the row is learned.

    Raises:
        DataError: another weight than 0 and 1, or weight 0 of a row that is always learned.
    """
    columns = row.columns
    marks = {
        name: _checked_weight(columns[name], row.place, name)
        for name in WEIGHTS
        if name in columns and name not in names and columns[name] not in (None, "")
    }
    for name in _MARKS:
        value = None if name in names else columns.get(name)
        if isinstance(value, list) and value:
            raise DataError(
                "a list, but the mark is read for the whole row; give each message a weight of 0 or 1",
                place=row.place,
                field=name,
            )
        mark = read_mark(name, _switch(value))
        if mark is not None:  # another value is another kind of column, e.g. the loss of a model on the row
            marks[name] = mark
    not_learned = next((name for name, mark in marks.items() if not mark), None)
    if not_learned is not None and always_learned:
        raise DataError(
            f"{columns[not_learned]}, but rows of this kind are always learned; leave the row out",
            place=row.place,
            field=not_learned,
        )
    return not_learned is None


def _checked_weight(value: Any, place: Place, field: str) -> bool:
    if isinstance(value, UnusableValue):
        raise value.error(place)
    number = parse_json(value, place, field) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or number not in (0, 1):
        raise DataError(
            f"must be 0 (the row is not learned) or 1 (learned), this is {value!r:.60}. Leave rows out, repeat them, "
            "or rename the column if it is something else",
            place=place,
            field=field,
        )
    return bool(number)


def unread_names(columns: Collection[str], read: Collection[str]) -> list[str]:
    """List the columns of a row that nothing reads. Columns of labels are among them; see :func:`is_unread`.

    Args:
        columns: names of the row's columns.
        read: names of columns that are read.

    Returns:
        Their names, in the row's order.
    """
    known = {
        *read,
        "id",
        *SYSTEM,
        THOUGHT,
        "tools",
        "parallel_tool_calls",
        "ftkit_ignore",
        *MEDIA,
        *WEIGHTS,
        "functions",
        "function_call",
    }
    return [name for name in columns if name not in known]
