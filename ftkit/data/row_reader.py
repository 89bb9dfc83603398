"""How a dataset's files become rows: the task, the format, and which columns mean what."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ftkit.data.formats import Conversation, Format, RawRow, learn_answers_only, read_margin, text_content
from ftkit.data.row import Row
from ftkit.data.sources import Source
from ftkit.data.strict_json import canonical
from ftkit.errors import DataError, OutputError, Place
from ftkit.task import Message, Task

__all__ = ["Kind", "Options", "Reading", "key_text", "lookup", "named"]

Kind = Literal["demonstrations", "preferences", "prompts"]
"""What each row is: a question with the answer to learn, with a better and a worse answer, or with none."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller said about the columns; the arguments of :meth:`ftkit.data.Dataset.load`."""

    format: str = "auto"
    target: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    margin: str | None = None
    columns: tuple[tuple[str, str], ...] = ()
    id: str | None = None
    group: str | None = None

    def view(self, columns: dict[str, Any]) -> dict[str, Any]:
        """``columns``, and once more under the names that the options give them."""
        if not self.columns:
            return columns
        extra = {name: columns[theirs] for name, theirs in self.columns if theirs in columns}
        return {**columns, **extra}

    def named(self) -> dict[str, str]:
        """Each column of the file that the options name, by what it is named for."""
        names = ("target", "chosen", "rejected", "margin", "id", "group")
        single = {name: getattr(self, name) for name in names}
        return {
            **{f"columns[{task_name!r}]": name for task_name, name in self.columns},
            **{key: name for key, name in single.items() if name is not None},
        }


def lookup(columns: Mapping[str, Any], path: str) -> Any:
    """The value of a column, or of a key inside one: ``"patient"``, ``"patient.id"``.

    Raises:
        KeyError: there is none.
    """
    if path in columns:
        return columns[path]
    value: Any = columns
    for key in path.split("."):
        if not isinstance(value, Mapping) or key not in value:
            raise KeyError(path)
        value = value[key]
    return value


@dataclass(frozen=True, slots=True)
class Reading:
    """Makes rows. Holds no file and no state."""

    task: Task
    format: Format
    options: Options

    @property
    def kind(self) -> Kind:
        """What every row is."""
        if self.options.rejected is not None or self.format.rejected_field is not None:
            return "preferences"
        return "demonstrations" if self.options.target is not None or self.format.has_answers else "prompts"

    def row(self, source: Source, place: Place, columns: dict[str, Any], content: str | None = None) -> Row:
        """The row that ``columns`` are; ``content`` is their canonical JSON, where it is known.

        Raises:
            DataError: the row breaks its format, lacks a named column, its answer is not valid for the task, or it
                prefers an answer to the same one.
        """
        view = self.options.view(columns)
        conversation = self.format.read(RawRow(view, place, source.nulls_are_absent, self.task))
        prompt, completion, target = self._answer(conversation, columns, place)
        rejected = self._rejected(conversation, completion, columns, place)
        group = None if self.options.group is None else named(columns, self.options.group, place)
        return Row(
            id=self.identity(columns, place, content),
            place=place,
            columns=columns,
            prompt=prompt,
            target=target,
            completion=completion,
            tools=conversation.tools,
            group=None if group is None else key_text(group),
            parallel_tool_calls=conversation.parallel_tool_calls,
            rejected=rejected,
            margin=self._margin(conversation, columns, place),
        )

    def identity(self, columns: Mapping[str, Any], place: Place, content: str | None = None) -> str:
        """The id of a row: of the column that holds it, else a hash over the content."""
        if self.options.id is not None:
            return key_text(named(columns, self.options.id, place))
        given = columns.get("id")
        if isinstance(given, str | int) and not isinstance(given, bool) and given != "":
            return str(given)
        content = canonical(columns) if content is None else content
        return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()

    def _answer(
        self, conversation: Conversation, columns: Mapping[str, Any], place: Place
    ) -> tuple[list[Message], Message | None, Any]:
        messages = conversation.messages
        answered = messages[-1]["role"] == "assistant"
        option = "target" if self.options.chosen is None else "chosen"
        column = self.options.target or self.options.chosen
        if column is not None:
            if answered:
                raise DataError(
                    f"the conversation ends with an answer of its own, so {option}= must not name another",
                    place=place,
                    field=column,
                )
            if self.options.chosen is not None:
                learn_answers_only(messages, place, lambda at: f"messages[{at}]")
            value, text = self._target(named(columns, column, place), place, column)
            return messages, {"role": "assistant", "content": text}, value
        if not answered:
            if self.format.has_answers and not any(message["role"] == "assistant" for message in messages):
                raise DataError(
                    "no assistant turn: nothing to learn. Add the answer as the last message, or name its column "
                    "with target=",
                    place=place,
                    field="messages",
                    problem="no_answer",
                )
            return messages, None, None
        said = text_content(messages[-1])
        return messages[:-1], messages[-1], None if said is None else self._parsed(said, place)

    def _rejected(
        self, conversation: Conversation, completion: Message | None, columns: Mapping[str, Any], place: Place
    ) -> Message | None:
        """The worse answer of a preference, which may break the task's schema: that may be what is wrong with it."""
        rejected, chosen, worse = conversation.rejected, self.format.answer_field, self.format.rejected_field
        if self.options.rejected is not None:
            chosen, worse = self.options.chosen or chosen, self.options.rejected
            text = self._any_answer(named(columns, worse, place), place, worse)
            rejected = {"role": "assistant", "content": text}
        if rejected is not None and completion is not None and _said(rejected) == _said(completion):
            raise DataError(
                f"the same as {chosen}, so nothing can be learned from the pair; leave the row out",
                place=place,
                field=worse,
                problem="same_answers",
            )
        return rejected

    def _any_answer(self, value: Any, place: Place, field: str) -> str:
        """The text of an answer that need not be valid: texts as they are, other values as a valid one is written."""
        if value is None or (isinstance(value, str) and not value.strip()):
            what = "null" if value is None else "empty"
            raise DataError(
                f"{what}, but it is the rejected answer; leave the row out",
                place=place,
                field=field,
                problem="empty_answer",
            )
        if isinstance(value, str):
            return value
        try:
            return self.task.output.format(value)
        except OutputError:
            return json.dumps(value, ensure_ascii=False)

    def _margin(self, conversation: Conversation, columns: Mapping[str, Any], place: Place) -> float | None:
        column = self.options.margin
        return conversation.margin if column is None else read_margin(named(columns, column, place), place, column)

    def _target(self, value: Any, place: Place, field: str) -> tuple[Any, str]:
        """The wanted answer that a column holds, as a plain value and as its canonical text."""
        if value is None:
            raise DataError(
                "null, but it is the wanted answer; leave the row out",
                place=place,
                field=field,
                problem="empty_answer",
            )
        try:
            text = self.task.target(value)
            # Read back, so that it is what a perfect answer is read as: with defaults filled in, without blanks around.
            return self.task.output.parse(text), text
        except OutputError as error:
            raise DataError(f"not a valid answer for the task: {error}", place=place, field=field) from error

    def _parsed(self, text: str, place: Place) -> Any:
        """The plain value of an answer that stands in a conversation."""
        try:
            value = self.task.output.parse(text)
            if self.task.output.kind == "json":
                self.task.target(value)  # also asks the validators of the task's Python class
        except OutputError as error:
            raise DataError(
                f"not a valid answer for the task: {error}", place=place, field=self.format.answer_field
            ) from error
        return value


def named(columns: Mapping[str, Any], path: str, place: Place) -> Any:
    """:func:`lookup`, with an error that says where and what there is instead."""
    try:
        return lookup(columns, path)
    except KeyError:
        have = ", ".join(columns) or "none"
        raise DataError(f"missing; the row has the columns {have}", place=place, field=path) from None


def key_text(value: Any) -> str:
    """A text that is equal for equal values: a text itself, everything else its JSON."""
    return value if isinstance(value, str) else canonical(value)


def _said(message: Message) -> tuple[str, list[tuple[str, str]]]:
    """What tells one answer from another: its text without blanks around it, and the functions it calls."""
    calls = [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls") or ()]
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    other = [part for part in parts if part["type"] != "text"]
    return (text_content(message) or "").strip() + (canonical(other) if other else ""), calls
