"""A row as rules see it: read or not, with derived texts computed once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ftkit.data import Dataset
from ftkit.data.column_value import find_column_value
from ftkit.data.formats import text_content
from ftkit.data.options import ReadOptions
from ftkit.data.row import Row
from ftkit.data.unread_columns import UnreadColumns
from ftkit.errors import DataError, OutputError, Place
from ftkit.linting.computed_once import computed_once
from ftkit.linting.text_normalization import normalize, words_of
from ftkit.schema.json_path import json_path
from ftkit.task import Message, Task

__all__ = ["INSTRUCTION_ROLES", "RowRange", "RowView", "ignored_codes", "media_parts", "read_rows"]

INSTRUCTION_ROLES = ("system", "developer")
"""Roles of turns that hold instructions."""

_MEDIA_COLUMN = re.compile(
    r"(?:\w{1,40}_)?(?:image|img|picture|photo|audio|video)s?(?:_(?:path|url|uri|id|file|filename|name|bytes|base64|b64|data))?",
    re.IGNORECASE,
)
"""Columns that hold images, audio or video, or say which ones."""
_IGNORE_COLUMN = "ftkit_ignore"
"""Column with codes of rules that are not reported for the row: a list, or a text with commas."""


class RowView:
    """One row, with what rules ask of it computed on first use.

    Attributes:
        number: number of the row among all linted rows, from 0.
        split: ``train`` or ``test``.
        place: file and line.
        columns: the columns as read; empty if the line could not be parsed.
        row: the row, or None if it cannot be used.
        error: why the row cannot be used.
        task: the task of the rows.
        unread: columns that hold something and that nothing reads.
        tokenized: by model, what the rules on tokens have computed.
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
        options: ReadOptions,
        unread: Sequence[str] = (),
    ) -> None:
        self.number = number
        self.split = split
        self.place = place
        self.columns = columns
        self.row = row
        self.error = error
        self.task = task
        self.unread = unread
        self.tokenized: dict[str, Any] = {}
        self._options = options

    @computed_once
    def output_error(self) -> OutputError | None:
        """Why the task's output refuses the answer, if that is why the row cannot be used."""
        cause = None if self.error is None else self.error.__cause__
        return cause if isinstance(cause, OutputError) else None

    @computed_once
    def messages(self) -> list[Message]:
        """Prompt and answer; empty for a row that cannot be used."""
        return [] if self.row is None else self.row.messages

    @computed_once
    def tool_calls(self) -> list[tuple[str, str, Any]]:
        """Path, function name and arguments of every call in the row, also in its rejected answer."""
        turns = [(f"messages[{at}]", turn) for at, turn in enumerate(self.messages) if "tool_calls" in turn]
        if self.row is not None and self.row.rejected is not None:
            turns.append(("rejected", self.row.rejected))
        return [
            (f"{path}.tool_calls[{at}]", call["function"]["name"], call["function"]["arguments"])
            for path, turn in turns
            for at, call in enumerate(turn.get("tool_calls") or ())
        ]

    @computed_once
    def input(self) -> str:
        """The prompt without its instructions: the text of each turn, one a paragraph. Or a plain text."""
        if self.row is None:
            return ""
        if self.row.text is not None:
            return self.row.text
        texts = [text_content(turn) or "" for turn in self.row.prompt if turn["role"] not in INSTRUCTION_ROLES]
        return texts[0] if len(texts) == 1 else "\n".join(texts)

    @computed_once
    def media(self) -> str:
        """Images, audio and video of the prompt, in content parts or columns, as one text to compare; often empty."""
        return "\x1c".join(self.media_items)

    @computed_once
    def media_items(self) -> tuple[str, ...]:
        """Each image, audio and video of the prompt, in content parts or columns, as a text to compare."""
        if self.row is None:
            return ()
        items = [part for turn in self.row.prompt for part in media_parts(turn)]
        answers = (self._options.target, self._options.chosen, self._options.rejected)
        for name, value in self.columns.items():
            if value and name not in answers and _is_media_column(name):
                items += value if isinstance(value, list) else [value]
        return tuple(map(_media_text, items))

    @computed_once
    def input_words(self) -> list[str]:
        """Normalised words of :attr:`input`."""
        return words_of(self.input)

    @computed_once
    def normalized_input(self) -> str:
        """:attr:`input` without case, punctuation and whitespace."""
        return normalize(self.input_words, self.input)

    @computed_once
    def answer(self) -> str:
        """Text of the final answer; in ftkit's canonical form if a column holds the answer."""
        completion = None if self.row is None else self.row.completion
        return "" if completion is None else text_content(completion) or ""

    @computed_once
    def answer_words(self) -> list[str]:
        """Normalised words of :attr:`answer`."""
        return words_of(self.answer)

    @computed_once
    def written_answer(self) -> str | None:
        """The answer as the file has it, also of rows that cannot be used; None if it is not text there."""
        column = self._options.target or self._options.chosen
        if column is not None:
            try:
                value = find_column_value(self.columns, column)
            except KeyError:
                return None
            return value if isinstance(value, str) else None
        if self.row is not None:
            return self.answer or None
        return self.output_error.text if self.output_error is not None else None

    @computed_once
    def answer_text(self) -> str | None:
        """The answer as text, also of rows that cannot be used: as written, else as the JSON of the column."""
        if self.written_answer is not None:
            return self.written_answer
        column = self._options.target or self._options.chosen
        try:
            value = None if column is None else find_column_value(self.columns, column)
            return None if value is None else json.dumps(value, ensure_ascii=False)
        except (KeyError, TypeError, ValueError):
            return None

    @computed_once
    def value(self) -> Any:
        """The answer as plain JSON data if it is an object or a list, with or without a schema; else None."""
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

    @computed_once
    def leaf_values(self) -> list[tuple[str, Any]]:
        """Every value in :attr:`value` that is neither object nor list, with its path; list items share ``[*]``."""
        return [] if self.value is None else list(_leaf_values(self.value, ()))

    @computed_once
    def all_text(self) -> str:
        """All of :meth:`texts`, one a line: a quick test whether a pattern can occur."""
        return "\n".join([text for _, text in self.texts()])

    @computed_once
    def all_text_lowered(self) -> str:
        """:attr:`all_text` in lower case."""
        return self.all_text.lower()

    def texts(self) -> list[tuple[str, str]]:
        """List every text of the row: the turns, the rejected answer, and arguments of tool calls.

        Returns:
            The path in the row, e.g. ``messages[1].content``, and the text.
        """
        return self._texts

    @computed_once
    def _texts(self) -> list[tuple[str, str]]:
        if self.row is None:
            return [] if self.answer_text is None else [("answer", self.answer_text)]
        turns = [(f"messages[{number}]", turn) for number, turn in enumerate(self.messages)]
        if self.row.rejected is not None:
            turns.append(("rejected", self.row.rejected))
        texts = []
        for path, turn in turns:
            text = text_content(turn)
            if text:
                texts.append((f"{path}.content", text))
            for number, call in enumerate(turn.get("tool_calls") or ()):
                texts.append((f"{path}.tool_calls[{number}]", call["function"]["arguments"]))
        return texts


@dataclass(frozen=True, slots=True)
class RowRange:
    """A range of rows of a dataset.

    Attributes:
        data: the dataset.
        split: name of the split that it is.
        start: first row of the range in ``data``.
        stop: row after the last one.
        first: number of the first row of the range among all linted rows.
    """

    data: Dataset
    split: str
    start: int
    stop: int
    first: int


def read_rows(rows: RowRange) -> Iterator[RowView]:
    """Read the rows of a range, in the order of the files.

    Args:
        rows: the range.

    Yields:
        Each row, also those that cannot be used.
    """
    data = rows.data
    unread = UnreadColumns(data.row_reader)
    numbered = enumerate(data[rows.start : rows.stop].attempts(summaries=False), start=rows.first)
    for number, (place, columns, outcome) in numbered:
        row, error = (None, outcome) if isinstance(outcome, DataError) else (outcome, None)
        names = unread.of(columns)
        yield RowView(number, rows.split, place, columns, row, error, data.task, data.options, names)


def ignored_codes(columns: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the codes in a row's column ``ftkit_ignore``.

    Args:
        columns: the columns of the row as read.

    Returns:
        Codes, prefixes of codes or ``ALL``, in upper case; empty without such a column.
    """
    given = columns.get(_IGNORE_COLUMN)
    if not given:
        return ()
    codes = given.split(",") if isinstance(given, str) else given if isinstance(given, list) else []
    return tuple(code.strip().upper() for code in codes if isinstance(code, str) and code.strip())


def media_parts(turn: Message) -> list[Any]:
    """Return the parts of a turn that are not text: images, audio and files.

    Args:
        turn: a message, whose content may be a list of parts.

    Returns:
        The parts, in order; empty for a turn of text.
    """
    content = turn.get("content")
    if not isinstance(content, list):
        return []
    return [part for part in content if not isinstance(part, dict) or part.get("type") not in ("text", "refusal")]


@lru_cache(maxsize=1024)
def _is_media_column(name: str) -> bool:
    return _MEDIA_COLUMN.fullmatch(name) is not None


def _media_text(item: Any) -> str:
    """An image as one text, without the order of its keys and its ``detail``."""
    if isinstance(item, dict):
        item = {key: value for key, value in item.items() if key != "detail"}
        for key, value in item.items():
            if isinstance(value, dict):
                item[key] = {name: part for name, part in value.items() if name != "detail"}
    try:
        return json.dumps(item, sort_keys=True, ensure_ascii=False)
    except (TypeError, ValueError):  # bytes, for example
        return repr(item)


def _leaf_values(value: Any, steps: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaf_values(item, (*steps, name))
    elif isinstance(value, list):
        for item in value:
            yield from _leaf_values(item, (*steps, "*"))
    else:
        yield json_path(steps).replace('["*"]', "[*]"), value
