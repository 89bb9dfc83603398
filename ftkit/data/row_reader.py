"""Make rows from the columns of a file, by the task, the format and the columns that have a meaning."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ftkit.data.column_value import column_value, equality_key, form_key
from ftkit.data.columns_beside import (
    RowKind,
    read_columns_beside,
    read_label_column,
    read_weight,
    refuse_media,
    unread_names,
)
from ftkit.data.formats import (
    Conversation,
    Format,
    RawRow,
    answer_key,
    check_labelled,
    learn_answers_only,
    read_margin,
    text_content,
    unread_keys,
)
from ftkit.data.options import ReadOptions
from ftkit.data.row import Row, no_answer_after
from ftkit.data.sources import Source
from ftkit.data.strict_json import canonical_json
from ftkit.data.texts_beside import SYSTEM, THOUGHT, read_thought
from ftkit.data.unusable_value import UnusableValue, require_columns
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import DataError, OutputError, Place
from ftkit.task import Message, Task

__all__ = ["RowKind", "RowReader"]


@dataclass(frozen=True, slots=True)
class RowReader:
    """Makes rows from columns. Has no state and holds no file.

    Attributes:
        task: the task of the rows.
        format: their format.
        options: which columns mean what.
        label: the column that says whether the row's answer is a good one, named or detected; None: there is none.
    """

    task: Task
    format: Format
    options: ReadOptions
    label: str | None = None
    forms: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Canonical answers that only the task's Python class knows, for a process without it, by :func:`form_key`."""

    @property
    def kind(self) -> RowKind:
        """What each row is."""
        if self.format.holds_texts:
            return "texts"
        if self.options.rejected is not None or self.format.rejected_field is not None:
            return "preferences"
        if self.label is not None:
            return "unpaired_preferences"
        return "demonstrations" if self.options.target is not None or self.format.has_answers else "prompts"

    def row(self, source: Source, place: Place, columns: dict[str, Any], content: str | None = None) -> Row:
        """Make a row.

        Args:
            source: the file.
            place: file and line.
            columns: as read from the file.
            content: their canonical JSON, where it is known.

        Returns:
            The row.

        Raises:
            DataError: the row breaks its format, lacks a named column, has an answer that is not valid for the task,
                or prefers an answer to the same answer.
        """
        if any(isinstance(value, UnusableValue) for value in columns.values()):
            require_columns(columns, self._required_names(columns), place)
        renamed = self.options.rename(columns)
        raw = RawRow(renamed, place, source.nulls_are_absent, self.task)
        if self.kind == "texts":
            return self._text_row(raw, columns, content)
        conversation, is_learned = self.format.read(raw), True
        label: bool | None = None
        if self.task.input is None:  # a task reads its own table
            names = self._read_names(renamed)
            conversation, label, is_learned = read_columns_beside(conversation, raw, names, self.kind)
        if self.label is not None:
            label = read_label_column(column_value(columns, self.label, place), place, self.label)
        prompt, completion, target = self._answer(conversation, columns, place, is_bad=label is False)
        if completion is not None and THOUGHT in renamed and self.task.input is None and self.kind != "preferences":
            read_thought(completion, raw, self._read_names(renamed))
        if not is_learned:
            for message in [*prompt, *([] if completion is None else [completion])]:
                if message["role"] == "assistant":
                    message["weight"] = 0
        rejected = self._rejected(conversation, completion, columns, place)
        if self.label is not None:
            if completion is None:
                raise self._no_answer(prompt, columns, place)
            answer_field = self.options.target or self.format.answer_field
            check_labelled(prompt, completion, place, answer_field)
            completion, rejected = (completion, None) if label else (None, completion)
        group = None if self.options.group is None else column_value(columns, self.options.group, place)
        return Row(
            id=self.identity(columns, place, content),
            place=place,
            columns=columns,
            prompt=prompt,
            target=target,
            completion=completion,
            tools=conversation.tools,
            group=None if group is None else equality_key(group),
            parallel_tool_calls=conversation.parallel_tool_calls,
            rejected=rejected,
            margin=self._margin(conversation, columns, place),
            label=label,
        )

    def _text_row(self, raw: RawRow, columns: dict[str, Any], content: str | None) -> Row:
        """A row of plain text."""
        names = self._read_names(raw.columns)
        refuse_media(raw, names)
        read_weight(raw, names, always_learned=True)
        group = None if self.options.group is None else column_value(columns, self.options.group, raw.place)
        return Row(
            id=self.identity(columns, raw.place, content),
            place=raw.place,
            columns=columns,
            prompt=[],
            target=None,
            completion=None,
            tools=None,
            group=None if group is None else equality_key(group),
            text=self.format.read(raw).text,
        )

    def unread_names(self, columns: Collection[str]) -> list[str]:
        """List the columns of a row that nothing reads.

        Args:
            columns: their names, as in the file.

        Returns:
            Names. None of a table, whose task says what is read, and none of prompts, whose graders may read every
            column.
        """
        if self.task.input is not None or self.kind == "prompts":
            return []
        return unread_names(columns, self._read_names(columns))

    def unread_keys(self, columns: Mapping[str, Any]) -> list[str]:
        """List the keys of a row's messages that hold something and that nothing reads.

        Args:
            columns: the row's columns, as in the file.

        Returns:
            For example ``["messages[].language"]``. A chat template may read more of them.
        """
        if self.task.input is not None:
            return []
        renamed = self.options.rename(dict(columns)) if self.options.columns else columns
        found: dict[str, None] = {}
        for column in self.format.columns:
            value = renamed.get(column)
            if value is None:
                continue
            nested = value.get("messages") if isinstance(value, (dict, Mapping)) and "messages" in value else None
            name = column if nested is None else f"{column}.messages"
            found |= dict.fromkeys(f"{name}[].{key}" for key in unread_keys(value if nested is None else nested))
        return list(found)

    def _read_names(self, columns: Collection[str]) -> set[str]:
        """Columns that the format reads or an option names."""
        named = [*self.options.named_columns().values(), *([] if self.label is None else [self.label])]
        return {*self.format.columns, *named, *(name.partition(".")[0] for name in named if name not in columns)}

    def _required_names(self, columns: Collection[str]) -> set[str]:
        """Columns that must hold JSON data, because something reads them."""
        beside = (*SYSTEM, "tools", "parallel_tool_calls") if self.task.input is None else self.task.columns
        return {*self._read_names(columns), *beside}

    def identity(self, columns: Mapping[str, Any], place: Place, content: str | None = None) -> str:
        """Return the id of a row.

        Args:
            columns: as read from the file.
            place: file and line, for errors.
            content: canonical JSON of the columns, where it is known.

        Returns:
            The value of the id column where there is one, else 16 hex digits of a hash of the content.

        Raises:
            DataError: the row lacks the column that ``id=`` names.
        """
        if self.options.id is not None:
            return equality_key(column_value(columns, self.options.id, place))
        value = columns.get("id")
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return str(value)
        content = canonical_json(columns) if content is None else content
        return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()

    def _answer(
        self, conversation: Conversation, columns: Mapping[str, Any], place: Place, *, is_bad: bool = False
    ) -> tuple[list[Message], Message | None, Any]:
        """The prompt, the answer and its value; a bad answer may break the task's schema, and has no value."""
        messages = conversation.messages
        answered = messages[-1]["role"] == "assistant"
        option = "target" if self.options.chosen is None else "chosen"
        column = self.options.target or self.options.chosen
        if column is not None:
            if answered:
                raise DataError(
                    ErrorText(
                        "the conversation ends with an answer of its own, so ",
                        Argument(option),
                        " must not name another",
                    ),
                    place=place,
                    field=column,
                )
            if self.options.chosen is not None:
                learn_answers_only(messages, place, lambda at: f"messages[{at}]")
            given = column_value(columns, column, place)
            if is_bad:
                return messages, {"role": "assistant", "content": self._any_answer(given, place, column)}, None
            value, text = self._target(given, place, column)
            return messages, {"role": "assistant", "content": text}, value
        if not answered:
            if self.format.has_answers:
                raise self._no_answer(messages, columns, place)
            return messages, None, None
        content: Any = messages[-1].get("content")
        has_text = isinstance(content, str) or any(part["type"] == "text" for part in content or ())
        final = text_content(messages[-1]) if has_text else None
        if final is not None and not final.strip() and messages[-1].get("tool_calls"):
            final = None  # many programs write an empty text beside calls
        return messages[:-1], messages[-1], None if final is None or is_bad else self._parsed(final, place)

    def _no_answer(self, messages: list[Message], columns: Mapping[str, Any], place: Place) -> DataError:
        """The error of a conversation that does not end with the assistant's turn."""
        field = self.format.messages_field
        if any(message["role"] == "assistant" for message in messages):
            turns = self.options.rename(dict(columns)).get(field)
            at = f"[{len(turns) - 1}]" if isinstance(turns, list) else ""
            return DataError(no_answer_after(messages[-1]["role"]), place=place, field=field + at, problem="no_answer")
        return DataError(
            ErrorText(
                "no assistant turn: nothing to learn. Add the answer as the last message, or name its column with ",
                Argument("target"),
            ),
            place=place,
            field=field,
            problem="no_answer",
        )

    def _rejected(
        self, conversation: Conversation, completion: Message | None, columns: Mapping[str, Any], place: Place
    ) -> Message | None:
        """The worse answer of a preference. It may break the task's schema, which may be why it is worse."""
        rejected = conversation.rejected
        chosen_field = self.options.chosen or self.format.answer_field
        rejected_field = self.options.rejected or self.format.rejected_field
        column = self.options.rejected
        if column is not None:
            text = self._any_answer(column_value(columns, column, place), place, column)
            rejected = {"role": "assistant", "content": text}
        if rejected is not None and completion is not None and answer_key(rejected) == answer_key(completion):
            raise DataError(
                f"the same as {chosen_field}, so nothing can be learned from the pair; leave the row out",
                place=place,
                field=rejected_field,
                problem="same_answers",
            )
        return rejected

    def _any_answer(self, value: Any, place: Place, field: str) -> str:
        """The text of an answer that need not be valid: texts as they are, other values as a valid one is written."""
        if value is None or (isinstance(value, str) and not value.strip()):
            problem = "null" if value is None else "empty"
            raise DataError(
                f"{problem}, but it is the {'bad' if self.label else 'rejected'} answer; leave the row out",
                place=place,
                field=field,
                problem="empty_answer",
            )
        if isinstance(value, str):
            # Chosen JSON and choices have no whitespace around them; DPO would learn the difference.
            return value if self.task.output.kind == "text" else value.strip()
        try:
            return self.task.output.format(value)
        except OutputError:
            return json.dumps(value, ensure_ascii=False)

    def _margin(self, conversation: Conversation, columns: Mapping[str, Any], place: Place) -> float | None:
        column = self.options.margin
        return (
            conversation.margin if column is None else read_margin(column_value(columns, column, place), place, column)
        )

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
            text = self._known_form(value) or self.task.target(value)
            # Parsed again, so that the target equals a parsed perfect answer: with defaults, without whitespace.
            return self.task.output.parse(text), text
        except OutputError as error:
            raise DataError(f"not a valid answer for the task: {error}", place=place, field=field) from error

    def _parsed(self, text: str, place: Place) -> Any:
        """The plain value of an answer that stands in a conversation."""
        try:
            form = self._known_form(text)
            value = self.task.output.parse(form) if form is not None else self._plain(text)
            if self.task.output.kind == "json":
                self.task.target(value)  # also asks the validators of the task's Python class
        except OutputError as error:
            raise DataError(
                f"not a valid answer for the task: {error}", place=place, field=self.format.answer_field
            ) from error
        return value

    def _plain(self, text: str) -> Any:
        """The value as it is written, unless only the task's Python class reads it."""
        try:
            return self.task.output.parse(text)
        except OutputError:
            return self.task.plain(text)

    def _known_form(self, value: Any) -> str | None:
        return self.forms.get(form_key(value)) if self.forms else None
