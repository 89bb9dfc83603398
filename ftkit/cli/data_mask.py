"""``ftkit data mask``: rows in a model's tokens, with those that training learns."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from ftkit.cli.data_options import (
    ChosenColumn,
    ColumnNames,
    Columns,
    Files,
    FormatName,
    GroupColumn,
    IdColumn,
    MarginColumn,
    RejectedColumn,
    TargetColumn,
    TaskFile,
    read_task,
)

if TYPE_CHECKING:
    from ftkit.data import Row
    from ftkit.modeling.chat_template import ChatTemplate
    from ftkit.modeling.tokenizer import TokenText

__all__ = ["marked", "mask"]


def mask(
    files: Files,
    *,
    model: Annotated[
        str, typer.Option(metavar="NAME", help="Whose tokens: smollm2-135m, a model's folder, or a hub id.")
    ],
    task: TaskFile = None,
    target: TargetColumn = None,
    chosen: ChosenColumn = None,
    rejected: RejectedColumn = None,
    margin: MarginColumn = None,
    rows: Annotated[int, typer.Option(metavar="N", min=1, help="Show the first N rows.")] = 3,
    format_: FormatName = "auto",
    columns: ColumnNames = None,
    id_: IdColumn = None,
    group: GroupColumn = None,
) -> None:
    """Show rows token by token, with what training learns.

    Learned (supervised) tokens are green in a terminal, and stand in ⟦ ⟧ elsewhere; the others are only read. "·" is
    put between tokens, "⏎" is a line break. Loads the model's tokenizer, not its weights.
    """
    reading = Columns(target, chosen, rejected, margin, format_, columns, id_, group)
    first = reading.load(files, read_task(task)).take(rows)
    chat_template = _renderer(model)
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for number, row in enumerate(first):
        typer.echo("\n" * (number > 0) + f"--- {row.place}  id {row.id}")
        for line in _lines(row, chat_template, coloured):
            typer.echo(line)


def _renderer(model: str) -> ChatTemplate:
    from ftkit.extras import check_installed

    check_installed("transformers", extra="local", needed_for="showing a model's tokens")
    from ftkit.modeling.model_source import find_source
    from ftkit.modeling.tokenizer import load_chat_template

    return load_chat_template(find_source(model.removeprefix("local:")))


def _lines(row: Row, chat_template: ChatTemplate, coloured: bool) -> Iterator[str]:
    """The row's sequences, each under its counts."""
    from ftkit.modeling.tokenizer import token_texts

    answers = [("", row.messages)]
    if row.rejected is not None:
        answers = [("chosen", row.messages), ("rejected", row.rejected_messages)]
    for name, messages in answers:
        sequences = chat_template.encode_examples(messages, row.tools, row.place)
        for number, sequence in enumerate(sequences, start=1):
            part = f"sequence {number} of {len(sequences)}" if len(sequences) > 1 else ""
            counts = f"{len(sequence.ids):,} tokens, {int(sequence.supervised.sum()):,} supervised"
            yield ": ".join(filter(None, [name, part, counts]))
            yield marked(token_texts(chat_template, sequence), coloured=coloured)


def marked(tokens: Iterable[TokenText], *, coloured: bool) -> str:
    """The text of the tokens, the supervised ones told from the others."""
    parts = []
    for supervised, span in groupby(tokens, key=lambda token: token.supervised):
        text = _joined(token.text for token in span)
        if coloured:
            parts.append(typer.style(text, fg="green") if supervised else typer.style(text, dim=True))
        else:
            parts.append(f"⟦{text}⟧" if supervised else text)
    return "".join(parts)


def _joined(texts: Iterable[str]) -> str:
    """Tokens with a mark between them. The lines end where a token that ends with a line break does."""
    made = ""
    for text in texts:
        made += "·" if made and not made.endswith("\n") else ""
        made += "".join(map(_visible, text)) + "\n" * text.endswith("\n")
    return made


def _visible(character: str) -> str:
    if character == "\n":
        return "⏎"
    return character if character.isprintable() else character.encode("unicode_escape").decode()
