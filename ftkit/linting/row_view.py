"""A row as rules see it: read or not, with what they ask of it worked out once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from ftkit.data.formats import text_content
from ftkit.data.row import Row
from ftkit.data.row_reader import Options, lookup
from ftkit.errors import DataError, OutputError, Place
from ftkit.linting.text_normalization import normalised, words_of
from ftkit.schema.json_path import json_path
from ftkit.task import Message, Task

__all__ = ["INSTRUCTIONS", "Seen"]

INSTRUCTIONS = ("system", "developer")


class Seen:
    """One row.

    Attributes:
        number: of the row in the whole that is linted, from 0.
        split: ``train`` or ``test``.
        place: file and line.
        columns: as read; empty when even that failed.
        row: the row, or None when it cannot be used.
        error: why not.
        in_tokens: what the rules on tokens have worked out, by model.
    """

    def __init__(
        self,
        number: int,
        split: str,
        place: Place,
        columns: Mapping[str, Any],
        row: Row | None,
        error: DataError | None,
        task: Task,
        options: Options,
    ) -> None:
        self.number = number
        self.split = split
        self.place = place
        self.columns = columns
        self.row = row
        self.error = error
        self.task = task
        self.in_tokens: dict[str, Any] = {}
        self._options = options

    @cached_property
    def output_error(self) -> OutputError | None:
        """What the task's output has against the answer, when that is why the row cannot be used."""
        cause = None if self.error is None else self.error.__cause__
        return cause if isinstance(cause, OutputError) else None

    @property
    def messages(self) -> list[Message]:
        """Prompt and answer; empty for a row that cannot be used."""
        return [] if self.row is None else self.row.messages

    @cached_property
    def input(self) -> str:
        """What is asked, without the instructions: all turns of the prompt but the system's, one a paragraph."""
        if self.row is None:
            return ""
        asked = [text_content(turn) or "" for turn in self.row.prompt if turn["role"] not in INSTRUCTIONS]
        return asked[0] if len(asked) == 1 else "\n".join(asked)

    @cached_property
    def input_words(self) -> list[str]:
        return words_of(self.input)

    @cached_property
    def normalised_input(self) -> str:
        return normalised(self.input_words, self.input)

    @cached_property
    def answer(self) -> str:
        """The text that is learned: of the final answer, in ftkit's canonical form where a column holds it."""
        completion = None if self.row is None else self.row.completion
        return "" if completion is None else text_content(completion) or ""

    @cached_property
    def answer_words(self) -> list[str]:
        return words_of(self.answer)

    @cached_property
    def written(self) -> str | None:
        """The answer as the file has it, also of rows that cannot be used; None when it is no text there."""
        column = self._options.target or self._options.chosen
        if column is not None:
            try:
                value = lookup(self.columns, column)
            except KeyError:
                return None
            return value if isinstance(value, str) else None
        if self.row is not None:
            return self.answer or None
        return self.output_error.text if self.output_error is not None else None

    @cached_property
    def wanted(self) -> str | None:
        """The answer as one text, also of rows that cannot be used: as written, else the JSON of what is there."""
        if self.written is not None:
            return self.written
        column = self._options.target or self._options.chosen
        try:
            value = None if column is None else lookup(self.columns, column)
            return None if value is None else json.dumps(value, ensure_ascii=False)
        except (KeyError, TypeError, ValueError):
            return None

    @cached_property
    def value(self) -> Any:
        """The answer as plain JSON data when it is an object or a list, with or without a schema; else None."""
        if self.row is None:
            return None
        if isinstance(self.row.target, dict | list):
            return self.row.target
        text = self.answer.strip()
        if self.task.output.kind == "text" and text[:1] in ("{", "[") and text[-1:] in ("}", "]"):
            try:
                return json.loads(text)
            except (ValueError, RecursionError):
                return None
        return None

    @cached_property
    def leaves(self) -> list[tuple[str, Any]]:
        """Every value of :attr:`value` that is neither object nor list, with its path; list items share ``[*]``."""
        return [] if self.value is None else list(_leaves(self.value, ()))

    @cached_property
    def all_text(self) -> str:
        """All of :meth:`texts`, one a line: to see quickly that there is nothing to look for."""
        return "\n".join(text for _, text in self.texts())

    @cached_property
    def all_text_lowered(self) -> str:
        return self.all_text.lower()

    def texts(self) -> Iterator[tuple[str, str]]:
        """Every text of the row with the place in it: the turns, the worse answer, and arguments of calls."""
        if self.row is None:
            if self.wanted is not None:
                yield "answer", self.wanted
            return
        for number, turn in enumerate(self.row.messages):
            yield from _texts(turn, f"messages[{number}]")
        if self.row.rejected is not None:
            yield from _texts(self.row.rejected, "rejected")


def _texts(turn: Message, where: str) -> Iterator[tuple[str, str]]:
    text = text_content(turn)
    if text:
        yield f"{where}.content", text
    for number, call in enumerate(turn.get("tool_calls") or ()):
        yield f"{where}.tool_calls[{number}]", call["function"]["arguments"]


def _leaves(value: Any, steps: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, (*steps, name))
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, (*steps, "*"))
    else:
        yield json_path(steps).replace('["*"]', "[*]"), value
