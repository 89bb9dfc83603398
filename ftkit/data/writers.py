"""Writing rows as JSON Lines in a format that others read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Literal

from ftkit.data.formats import FORMATS
from ftkit.data.row import Row
from ftkit.data.row_reader import RowKind
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError
from ftkit.files import atomic_writer

__all__ = ["OpenAIForm", "TrlForm", "openai_format", "trl_format", "write_rows"]

OpenAIForm = Literal["reinforcement"]
"""The form for reinforcement fine-tuning, in which rows of every kind can be written."""

TrlForm = Literal["prompt_completion", "messages", "preference", "unpaired_preference", "prompt", "text"]
"""The forms in which TRL reads a conversation."""

_OPENAI_FORMATS: dict[RowKind, str] = {
    "demonstrations": "openai",
    "preferences": "openai_preference",
    "unpaired_preferences": "openai",  # refuses each row: OpenAI's forms have no label
    "prompts": "openai_prompts",
    "texts": "openai",  # refuses each row
}
_TRL_FORMATS: dict[RowKind, dict[str, str]] = {
    "demonstrations": {"prompt_completion": "prompt_completion", "messages": "trl_messages"},
    "preferences": {"preference": "trl_preference"},
    "unpaired_preferences": {"unpaired_preference": "trl_unpaired_preference"},
    "prompts": {"prompt": "trl_prompts"},
    "texts": {"text": "text"},
}
"""Format of each form, by what rows are; the first form is the default."""


def write_rows(rows: Iterable[Row], path: str | os.PathLike[str], format_name: str) -> None:
    """Write rows as JSON Lines; see :meth:`ftkit.data.Dataset.write`.

    Args:
        rows: the rows.
        path: of the file, which is replaced when all rows are written.
        format_name: a name in :data:`ftkit.data.formats.FORMATS`.

    Raises:
        ConfigError: there is no such format, or it cannot be written.
        DataError: the format cannot express a row.
    """
    format_ = FORMATS.get(format_name)
    with atomic_writer(path) as file:
        for row in rows:
            file.write(json.dumps(format_.write(row), ensure_ascii=False, allow_nan=False).encode() + b"\n")


def openai_format(kind: RowKind, form: OpenAIForm | None) -> str:
    """Choose the format of :meth:`ftkit.data.Dataset.write_openai`.

    Args:
        kind: what the rows are.
        form: as users write it.

    Returns:
        The format's name.

    Raises:
        ConfigError: there is no such form.
    """
    if form not in (None, "reinforcement"):
        raise ConfigError(
            ErrorText(
                Argument("form", form or "", text=f"form={form!r}"),
                " is not known; it must be 'reinforcement', or None for that of the rows.",
            )
        )
    return "openai_prompts" if form == "reinforcement" else _OPENAI_FORMATS[kind]


def trl_format(kind: RowKind, form: TrlForm | None) -> str:
    """Choose the format of :meth:`ftkit.data.Dataset.write_trl`.

    Args:
        kind: what the rows are.
        form: as users write it.

    Returns:
        The format's name.

    Raises:
        ConfigError: there is no such form, or it is not one for rows of this kind.
    """
    formats = _TRL_FORMATS[kind]
    chosen: str = form or next(iter(formats))
    if chosen in formats:
        return formats[chosen]
    known = [name for forms in _TRL_FORMATS.values() for name in forms]
    given = Argument("form", chosen, text=f"form={form!r}")
    if chosen not in known:
        raise ConfigError(ErrorText(given, f" is not known; it must be {' or '.join(known)}."))
    possible = Argument("form", " or ".join(formats), text=f"form={' or '.join(map(repr, formats))}")
    raise ConfigError(ErrorText(given, f" cannot hold {kind}; write ", possible, "."))
