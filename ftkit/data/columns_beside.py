"""Columns beside a conversation that change its meaning: a system message, media, a label, a weight.

Other tools read these columns, so each one is honoured or refused, never dropped. Columns that a format reads itself,
that an option of the dataset names, or that a task's template reads are left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from ftkit.data.formats import MEDIA, RawRow
from ftkit.data.strict_json import parse_json
from ftkit.errors import DataError, Place
from ftkit.task import Message

__all__ = ["BESIDE", "LABELS", "WEIGHTS", "is_unread", "read_label", "read_weight", "refuse_media", "unread_names"]

LABELS = ("label", "kto_tag")
"""TRL's and LLaMA-Factory's column that says whether the answer is a good one, for KTO."""
WEIGHTS = ("weight", "loss_weight", "sample_weight")
"""Columns with the weight of a row in the loss."""
BESIDE = frozenset({"system", "tools", "parallel_tool_calls", *MEDIA, *LABELS, *WEIGHTS})
"""Columns that are read or refused beside those of the format."""
_LABEL_TEXTS = {"true": True, "false": False}


def refuse_media(row: RawRow, names: Collection[str]) -> None:
    """Refuse a row with images, audio or videos in a column.

    Args:
        row: the row.
        names: columns to leave alone.

    Raises:
        DataError: a column holds some.
    """
    for name in MEDIA:
        if name not in names and row.columns.get(name) not in (None, "", [], {}):
            raise DataError(
                "the row has media beside its text, which cannot be learned. Leave the row out; or, for a host that "
                "takes images, write them as parts of a message; or rename the column if it is something else",
                place=row.place,
                field=name,
            )


def read_label(row: RawRow, names: Collection[str]) -> bool | None:
    """Return whether the row's answer is a good one, from the column that KTO reads.

    Args:
        row: the row.
        names: columns to leave alone.

    Returns:
        The label; None if there is none. Labels of other kinds, such as the name of a class, are none.
    """
    for name in LABELS:
        label = None if name in names else _label(row.columns.get(name))
        if label is not None:
            return label
    return None


def _label(value: Any) -> bool | None:
    if isinstance(value, str):
        value = _LABEL_TEXTS.get(value.strip().lower())
    return bool(value) if isinstance(value, bool | int | float) and value in (0, 1) else None


def is_unread(name: str, value: Any) -> bool:
    """Say whether a column that nothing reads by its name holds something.

    Args:
        name: one of :func:`unread_names`.
        value: its value in a row.

    Returns:
        False for empty values, and for labels of KTO.
    """
    return value not in (None, "", [], {}) and not (name in LABELS and _label(value) is not None)


def read_weight(messages: Sequence[Message], row: RawRow, names: Collection[str], *, is_pair: bool) -> None:
    """Honour the weight of a row: with 0 no turn is learned, with 1 all as usual.

    Args:
        messages: the conversation; its assistant turns get ``weight`` 0.
        row: the row.
        names: columns to leave alone.
        is_pair: whether the row is a preference.

    Raises:
        DataError: another weight than 0 and 1, or a preference of weight 0.
    """
    for name in WEIGHTS:
        value = row.columns.get(name)
        if name in names or value is None or value == "":
            continue
        if not _checked_weight(value, row.place, name):
            if is_pair:
                raise DataError("0, but the pair would be learned; leave the row out", place=row.place, field=name)
            for message in messages:
                if message["role"] == "assistant":
                    message["weight"] = 0


def _checked_weight(value: Any, place: Place, field: str) -> int:
    number = parse_json(value, place, field) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or number not in (0, 1):
        raise DataError(
            f"must be 0 (the row is not learned) or 1 (learned), this is {value!r:.60}. Leave rows out, repeat them, "
            "or rename the column if it is something else",
            place=place,
            field=field,
        )
    return int(number)


def unread_names(columns: Collection[str], read: Collection[str]) -> list[str]:
    """List the columns of a row that nothing reads. Columns of labels are among them; see :func:`is_unread`.

    Args:
        columns: names of the row's columns.
        read: names of columns that are read.

    Returns:
        Their names, in the row's order.
    """
    known = {*read, "id", "system", "tools", "parallel_tool_calls", "ftkit_ignore", *MEDIA, *WEIGHTS}
    return [name for name in columns if name not in known]
