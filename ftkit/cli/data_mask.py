"""``ftkit data mask``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ftkit.cli.console import out
from ftkit.cli.data_options import (
    ChosenColumn,
    ColumnNames,
    Columns,
    Files,
    FormatName,
    GroupColumn,
    IdColumn,
    LabelColumn,
    MarginColumn,
    RejectedColumn,
    TargetColumn,
    TaskFile,
    read_task,
)
from ftkit.cli.model_options import ChatTemplateFile
from ftkit.counts import counted

if TYPE_CHECKING:
    from ftkit.data import Row
    from ftkit.modeling.chat_template import ChatTemplate
    from ftkit.modeling.tokenizer import TokenText

__all__ = ["mark_supervised", "mask"]


def mask(
    files: Files,
    *,
    model: Annotated[
        str, typer.Option(metavar="NAME", help="Model whose tokenizer to use: smollm2-135m, a folder, or a hub id.")
    ],
    task: TaskFile = None,
    target: TargetColumn = None,
    chosen: ChosenColumn = None,
    rejected: RejectedColumn = None,
    margin: MarginColumn = None,
    label: LabelColumn = None,
    chat_template: ChatTemplateFile = None,
    rows: Annotated[int, typer.Option(metavar="N", min=1, help="Show the first N rows.")] = 3,
    format_: FormatName = "auto",
    columns: ColumnNames = None,
    id_: IdColumn = None,
    group: GroupColumn = None,
) -> None:
    """Show the tokens of rows, and which of them are trained on.

    Trained (supervised) tokens are green in a terminal, and in ⟦ ⟧ elsewhere. "·" separates tokens, "⏎" is a line
    break. Only the model's tokenizer is loaded, not its weights.
    """
    reading = Columns(target, chosen, rejected, margin, format_, columns, id_, group, label)
    first = reading.load(files, read_task(task)).take(rows)
    renderer = _renderer(model, chat_template)
    colored = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for number, row in enumerate(first):
        out("\n" * (number > 0) + f"--- {row.place}  id {row.id}")
        for line in _lines(row, renderer, colored):
            out(line, styled=colored)


def _renderer(model: str, template: Path | None) -> ChatTemplate:
    from ftkit.extras import check_installed

    check_installed("transformers", extra="local", needed_for="showing a model's tokens")
    from ftkit.modeling.model_source import find_source, with_template
    from ftkit.modeling.tokenizer import load_chat_template

    return load_chat_template(find_source(with_template(model.removeprefix("local:"), template)))


def _lines(row: Row, chat_template: ChatTemplate, colored: bool) -> Iterator[str]:
    """Format the row's sequences, each below its counts."""
    from ftkit.modeling.tokenizer import token_texts

    if any(message["role"] == "assistant" for message in row.messages):
        row.require_answer()  # an earlier turn would be shown as learned, and training refuses the row
    answers = [("", row.messages)]
    if row.rejected is not None:
        answers = [("chosen", row.messages), ("rejected", row.rejected_messages)]
    for name, messages in answers:
        sequences = chat_template.encode_examples(messages, row.tools, row.place)
        for note in chat_template.notes(messages, row.tools):
            yield ": ".join(filter(None, [name, f"note: {note.field}", note.message]))
        for number, sequence in enumerate(sequences, start=1):
            part = f"sequence {number} of {len(sequences)}" if len(sequences) > 1 else ""
            counts = f"{counted(len(sequence.ids), 'token')}, {int(sequence.supervised.sum()):,} supervised"
            yield ": ".join(filter(None, [name, part, counts]))
            yield mark_supervised(token_texts(chat_template, sequence), colored=colored)


def mark_supervised(tokens: Iterable[TokenText], *, colored: bool) -> str:
    """Return the text of the tokens with the supervised ones marked."""
    parts = []
    for supervised, span in groupby(tokens, key=lambda token: token.supervised):
        text = _joined(token.text for token in span)
        if colored:
            parts.append(typer.style(text, fg="green") if supervised else typer.style(text, dim=True))
        else:
            parts.append(f"⟦{text}⟧" if supervised else text)
    return "".join(parts)


def _joined(texts: Iterable[str]) -> str:
    """Join tokens with separators; start a new line after each token that ends with a line break."""
    joined = ""
    for text in texts:
        joined += "·" if joined and not joined.endswith("\n") else ""
        joined += "".join(map(_visible, text)) + "\n" * text.endswith("\n")
    return joined


def _visible(character: str) -> str:
    if character == "\n":
        return "⏎"
    return character if character.isprintable() else character.encode("unicode_escape").decode()
