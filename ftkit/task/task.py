"""The task: the only place where a row becomes messages and a text becomes a value."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Self, cast, overload

from pydantic import (
    ConfigDict,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from typing_extensions import override

from ftkit.arguments import explain_calls
from ftkit.errors import ConfigError, OutputError
from ftkit.files import canonical_digest, write_atomically
from ftkit.schema import AnyOutput, ChoiceOutput, FrozenModel, JsonOutput, TextOutput, output_of
from ftkit.schema.answer_type import AnswerT, NewAnswerT
from ftkit.schema.validation_errors import config_error
from ftkit.task.example import Example, read_examples
from ftkit.task.message import Message
from ftkit.task.schema_diff import check_same_output
from ftkit.task.template import Template
from ftkit.task.typed_value import aligned_value, as_python_type, plain_value, read_otherwise, target_text
from ftkit.task.yaml_file import read_fields
from ftkit.yaml_text import write_yaml

__all__ = ["Task"]


class Task(FrozenModel, Generic[AnswerT]):
    """Instructions, an input template and an output. Frozen; equal tasks have equal fingerprints.

        task = Task("Extract the visit record.", input="{note}", output=Visit)

    Attributes:
        instructions: text of the system message; may be passed by position. None or empty: no instructions.
        input: template of the user message with columns of a row: ``"{note}"``. None: rows already contain messages.
        output: what a valid answer is: a pydantic class, a JSON Schema, ``Literal[...]`` or anything else that
            :func:`ftkit.schema.output_of` accepts; text by default.
        show_schema: whether the system message ends with a description of the output. True by default, so that the
            base model can answer, too.
        examples: questions and their answers, which every prompt holds between the system message and the question:
            ``[("What the user writes", answer)]``. Each question is the rendered text of a user message. They are part
            of the prompt in training, evaluation and use.

    For type checkers a task is generic: ``ft.Task("…", output=Visit)`` is a ``Task[Visit]``, and the datasets, runs and
    models that it goes through answer with a ``Visit``. Without an output the answers are ``str``, with a JSON Schema
    ``dict[str, Any]``. mypy takes no ``Literal`` as a value, so annotate the task: ``task: ft.Task[Intent] = …``.

    The Python class given as ``output`` is used by :meth:`parse`. It is not part of the dump, of equality or of the
    fingerprint; see :meth:`bind`.

    Raises:
        ConfigError: a field has an invalid value; names it.
    """

    model_config = ConfigDict(extra="forbid")

    instructions: str | None = None
    input: str | None = None
    output: AnyOutput = TextOutput()
    show_schema: bool = True
    examples: tuple[Example, ...] = ()

    _answer_type: Any = PrivateAttr(None)

    if TYPE_CHECKING:

        @overload
        def __init__(
            self: Task[str],
            instructions: str | None = None,
            *,
            input: str | None = None,
            output: TextOutput | ChoiceOutput | None = None,
            show_schema: bool = True,
            examples: Sequence[Example | tuple[str, Any] | Mapping[str, Any]] = (),
        ) -> None: ...
        @overload
        def __init__(
            self,
            instructions: str | None = None,
            *,
            input: str | None = None,
            output: type[AnswerT],
            show_schema: bool = True,
            examples: Sequence[Example | tuple[str, Any] | Mapping[str, Any]] = (),
        ) -> None: ...
        @overload
        def __init__(
            self: Task[dict[str, Any]],
            instructions: str | None = None,
            *,
            input: str | None = None,
            output: dict[str, Any],
            show_schema: bool = True,
            examples: Sequence[Example | tuple[str, Any] | Mapping[str, Any]] = (),
        ) -> None: ...
        @overload
        def __init__(  # Literal[...] and other types that are no classes
            self,
            instructions: str | None = None,
            *,
            input: str | None = None,
            output: Any,
            show_schema: bool = True,
            examples: Sequence[Example | tuple[str, Any] | Mapping[str, Any]] = (),
        ) -> None: ...
        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    else:

        def __class_getitem__(cls, item: Any) -> type[Self]:
            """``Task[Visit]`` is for type checkers. At run time the class comes with ``output``."""
            return cls

        @explain_calls(instead='ft.Task("instructions", input="{note}", output=…)')
        def __init__(self, instructions: str | None = None, **fields: Any) -> None:
            answer_type = None
            try:
                if "output" in fields:
                    fields["output"], answer_type = output_of(fields["output"])
                super().__init__(instructions=instructions, **fields)
            except ValidationError as error:
                raise config_error(error, type(self), {**fields, "instructions": instructions}) from error
            except ConfigError as error:
                raise ConfigError(f"Task: output: {error}") from error
            self._answer_type = answer_type

    @field_validator("input")
    @classmethod
    def _check_template(cls, source: str | None) -> str | None:
        if source is not None:
            Template.of(source)
        return source

    @field_validator("examples", mode="before")
    @classmethod
    def _read_examples(cls, given: Any, info: ValidationInfo) -> Any:
        # A task whose output is at fault has no output here, and is refused for that.
        return given if "output" not in info.data else read_examples(given, info.data["output"])

    @model_validator(mode="after")
    def _check_examples(self) -> Self:
        if self.examples and self.input is None:
            raise ValueError(
                'examples: need an input template, e.g. input="{note}": rows that hold whole conversations are asked '
                "as they are, so the examples would never be seen"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_empty_examples(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Tasks without examples keep the fingerprints and files that they had before tasks could have any.
        fields: dict[str, Any] = dump(self)
        if not self.examples:
            fields.pop("examples", None)
        return fields

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Task):
            return NotImplemented
        return self._canonical() == other._canonical()

    def __hash__(self) -> int:
        return hash(self._canonical())

    @override
    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        # Validated like a new task, which pydantic's own copy is not. The Python class stays with its output.
        changes = dict(update or {})
        copied = type(self)(**{name: getattr(self, name) for name in type(self).model_fields} | changes)
        if "output" not in changes:
            copied._answer_type = self._answer_type
        return copied

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the input template reads, in its order; none if rows contain messages."""
        return () if self.input is None else Template.of(self.input).columns

    def prompt(self, columns: Mapping[str, Any]) -> list[Message]:
        """Build the prompt for a row: a system message, unless it would be empty, examples, and a user message.

        Without an input template, the ``messages`` of the row are the prompt.

        Args:
            columns: the row's columns.

        Returns:
            The messages.

        Raises:
            ConfigError: a column is missing (names it, and those that exist), or there is neither an input template
                nor ``messages``.
        """
        if self.input is None:
            messages = columns.get("messages")
            if not isinstance(messages, list | tuple) or not messages:
                raise ConfigError(
                    'the task has no input template, so it needs "messages", a list of chat messages; '
                    'or give the task an input such as "{note}"'
                )
            return cast(list[Message], list(messages))
        return self.prompt_for(Message(role="user", content=Template.of(self.input).render(columns)))

    def prompt_for(self, question: Message) -> list[Message]:
        """Put a question behind the task's system message and examples.

        Args:
            question: the user message, which the input template wrote.

        Returns:
            The messages.
        """
        description = self.output.describe() if self.show_schema else ""
        system = "\n\n".join(part for part in (self.instructions, description) if part)
        shown = [message for example in self.examples for message in example.messages()]
        return [*([Message(role="system", content=system)] if system else ()), *shown, question]

    def target(self, value: Any) -> str:
        """Write the wanted answer in its canonical form, which :meth:`parse` reads back.

        With the Python class, all values that are equal objects of it have the same form: ``12.5``, ``"12.50"`` and
        ``Decimal("12.5")``, sets in any order, keys under any alias that the class reads.

        Args:
            value: a plain value, an object of the Python class, or for JSON its text.

        Returns:
            The text that the model should answer.

        Raises:
            OutputError: the output does not allow it, or a validator of the Python class refuses it.
        """
        if self._answer_type is None:
            return self.output.format(value)
        if isinstance(self.output, JsonOutput):
            return target_text(self.output, self._answer_type, value)
        text = self.output.format(value)
        as_python_type(self._answer_type, text, text)
        return text

    def parse(self, text: str) -> AnswerT:
        """Parse a model's text.

        Args:
            text: the text.

        Returns:
            An object of the Python class if the task knows it, else a plain value.

        Raises:
            OutputError: the text is not a valid answer; says why, and at which JSON path.
        """
        try:
            value: Any = self.output.parse(text)
        except OutputError as error:
            otherwise = read_otherwise(self.output, self._answer_type, text, error)
            if otherwise is None:
                raise
            return cast(AnswerT, otherwise[0])
        if self._answer_type is not None:
            value = as_python_type(self._answer_type, value, text)
        return cast(AnswerT, value)

    def problems(self, text: str) -> list[OutputError]:
        """Return everything that the output refuses in a model's text.

        Args:
            text: the text.

        Returns:
            The problems; none for keys and spellings that the schema lacks and the Python class reads.
        """
        problems = self.output.problems(text)
        if not problems:
            return []
        try:
            otherwise = read_otherwise(self.output, self._answer_type, text, problems[0])
        except OutputError:  # keys that the class does not know, which are among the problems
            return problems
        return problems if otherwise is None else []

    def plain(self, text: str) -> Any:
        """Parse a model's text to a plain value in the one form that equal answers have; see :meth:`target`.

        Args:
            text: the text.

        Returns:
            JSON data, a choice or a text.

        Raises:
            OutputError: the first of :meth:`problems`.
        """
        return plain_value(self.output, self._answer_type, text)

    def align(self, value: Any, target: Any) -> Any:
        """Write an answer as its target is written wherever both are equal objects of the Python class.

        Args:
            value: the answer, as :meth:`plain` returns it.
            target: the wanted answer, likewise.

        Returns:
            The answer to compare with the target.
        """
        if self._answer_type is None or not isinstance(self.output, JsonOutput):
            return value
        return aligned_value(self._answer_type, value, target)

    @property
    def answer_type(self) -> Any:
        """The Python class of the answers, or another type such as ``list[Visit]``; None if they are plain values."""
        return self._answer_type

    @property
    def answer_class(self) -> str | None:
        """The Python class of the answers, as ``package.module:Visit``; None where they are plain values."""
        kind = self._answer_type
        return f"{kind.__module__}:{kind.__qualname__}" if isinstance(kind, type) else None

    @property
    def fingerprint(self) -> str:
        """``"sha256:…"`` of the dumped task: the same for equal tasks, in every process and on every machine."""
        return canonical_digest(self._canonical())

    @overload
    def bind(self, cls: type[NewAnswerT]) -> Task[NewAnswerT]: ...
    @overload
    def bind(self, cls: Any) -> Task[Any]: ...
    def bind(self, cls: Any) -> Task[Any]:
        """Add the Python class to a task, for instance one loaded from YAML.

        Args:
            cls: the class that the task's output was made from.

        Returns:
            A copy of the task whose :meth:`parse` returns objects of the class.

        Raises:
            ConfigError: the class's schema is not the task's; names the first difference.
        """
        output, answer_type = output_of(cls)
        check_same_output(cls, self.output, output)
        bound = self.model_copy()
        bound._answer_type = answer_type
        return bound

    def to_yaml(self, path: str | os.PathLike[str] | None = None) -> str:
        """Dump the task as YAML.

        Args:
            path: a file to write the YAML to as well.

        Returns:
            The YAML.
        """
        text = write_yaml(self.model_dump(mode="json"))
        if path is not None:
            write_atomically(path, text)
        return text

    @classmethod
    @explain_calls(instead='ft.Task.from_yaml("task.yaml")')
    def from_yaml(cls, source: str | os.PathLike[str]) -> Self:
        """Load a task from YAML.

        Args:
            source: a path, or the YAML itself: a string of several lines, or with a ``:`` and a space in it.

        Returns:
            The task.

        Raises:
            ConfigError: no such file, not YAML, or a field has an invalid value; names the file and the field.
        """
        name, data = read_fields(source, tuple(cls.model_fields))
        try:
            return cls(**data)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from error

    def _canonical(self) -> str:
        # Keys are not sorted: pydantic dumps fields in their order, and in a schema the order of properties counts.
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":"))
