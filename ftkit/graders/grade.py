"""The input and the output of a grader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ftkit.errors import OutputError
from ftkit.schema.json_text import read_json
from ftkit.task import Message

__all__ = ["Grade", "GraderError", "GradingError", "Sample"]

GraderError = Literal[
    "sample_parse_error",
    "invalid_variable_error",
    "other_error",
    "python_grader_server_error",
    "python_grader_runtime_error",
    "model_grader_server_error",
    "model_grader_parse_error",
]
"""Why an answer could not be graded, in the terms of OpenAI's fine-tuning jobs and grader endpoint.

- ``sample_parse_error``: the template reads ``sample.output_json`` and the answer is not JSON.
- ``invalid_variable_error``: the template reads something that the row or the answer lacks.
- ``python_grader_server_error``: the sandbox could not run, or stopped the code at a limit.
- ``python_grader_runtime_error``: the code raised an exception or gave no number.
- ``model_grader_server_error``: the model could not be reached.
- ``model_grader_parse_error``: the model's answer is not a grade.
- ``other_error``: anything else.

Source: https://platform.openai.com/docs/api-reference/graders/run
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """The answer to grade.

    Attributes:
        text: the model's text; ``{{sample.output_text}}``.
        tool_calls: its tool calls, in OpenAI's form; ``{{sample.output_tools}}``.
        prompt: the conversation before the answer; reward models read it.
    """

    text: str
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    prompt: tuple[Message, ...] = ()

    @property
    def json(self) -> Any:
        """The answer as a JSON value, or None if it is not JSON; ``{{sample.output_json}}``."""
        try:
            return read_json(self.text)
        except OutputError:
            return None

    @property
    def message(self) -> Message:
        """The answer as an assistant message."""
        message: Message = {"role": "assistant", "content": self.text}
        return {**message, "tool_calls": [dict(call) for call in self.tool_calls]} if self.tool_calls else message

    def namespace(self) -> dict[str, Any]:
        """Convert the answer to plain values, as templates and Python graders read it.

        Returns:
            ``output_text``, ``output_json`` (None if it is not JSON), ``output_tools``, and ``choices``, which holds
            the answer in the shape of an API's response.
        """
        return {
            "output_text": self.text,
            "output_json": self.json,
            "output_tools": [dict(call) for call in self.tool_calls],
            "choices": [{"index": 0, "message": dict(self.message)}],
        }


@dataclass(frozen=True, slots=True)
class Grade:
    """The grade of one answer.

    Attributes:
        reward: the grade; 0.0 if the answer could not be graded. ``multi`` counts 0 for each part that failed.
        parts: the grade of each part, by name, for graders with several parts.
        error: why there is no grade, see :data:`GraderError`; for ``multi``, the error of the first part that failed.
        detail: one sentence about the error.
    """

    reward: float
    parts: Mapping[str, float] = field(default_factory=dict)
    error: GraderError | None = None
    detail: str | None = None


class GradingError(Exception):
    """A grader cannot grade one answer. The answer gets a :class:`Grade` of 0 with the reason."""

    def __init__(self, error: GraderError, detail: str) -> None:
        super().__init__(detail)
        self.error: GraderError = error
        self.detail = detail

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle it, as worker processes return it."""
        return type(self), (self.error, self.detail)

    @property
    def grade(self) -> Grade:
        """The grade of 0 that carries this error."""
        return Grade(0.0, error=self.error, detail=self.detail)
