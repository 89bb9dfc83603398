"""What a grader is given, and what it gives back."""

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
"""Why an answer could not be graded, in the words by which OpenAI's jobs and its grader endpoint count it.

- ``sample_parse_error``: the template reads ``sample.output_json`` and the answer is not JSON.
- ``invalid_variable_error``: the template reads what the row or the answer does not have.
- ``python_grader_server_error``: the sandbox could not run, or stopped the code at a limit.
- ``python_grader_runtime_error``: the code raised an exception or gave no number.
- ``model_grader_server_error``: the model could not be asked.
- ``model_grader_parse_error``: what the model said is no grade.
- ``other_error``: all else.

Source: https://platform.openai.com/docs/api-reference/graders/run
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """An answer, as a grader sees it.

    Attributes:
        text: what the model said; ``{{sample.output_text}}``.
        tool_calls: the calls it made, in OpenAI's form; ``{{sample.output_tools}}``.
        prompt: the conversation that was asked; reward models and judges of whole conversations read it.
    """

    text: str
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    prompt: tuple[Message, ...] = ()

    @property
    def json(self) -> Any:
        """The answer as a JSON value, or None when it is not one; ``{{sample.output_json}}``."""
        try:
            return read_json(self.text)
        except OutputError:
            return None

    @property
    def message(self) -> Message:
        """The answer as an assistant turn."""
        said: Message = {"role": "assistant", "content": self.text}
        return {**said, "tool_calls": [dict(call) for call in self.tool_calls]} if self.tool_calls else said

    def namespace(self) -> dict[str, Any]:
        """The answer as plain values, as templates and Python graders read it: ``output_text``, ``output_json`` (None
        when it is no JSON), ``output_tools``, and ``choices``, which holds the one answer as an API would.
        """
        return {
            "output_text": self.text,
            "output_json": self.json,
            "output_tools": [dict(call) for call in self.tool_calls],
            "choices": [{"index": 0, "message": dict(self.message)}],
        }


@dataclass(frozen=True, slots=True)
class Grade:
    """How good an answer is.

    Attributes:
        reward: the grade; 0.0 when it could not be made. Of ``multi`` it is made with 0 for the parts that failed.
        parts: what a grader of several parts found for each, by name.
        error: why there is no grade (of ``multi``: why the first part that failed has none), see :data:`GraderError`.
        detail: one sentence about the error.
    """

    reward: float
    parts: Mapping[str, float] = field(default_factory=dict)
    error: GraderError | None = None
    detail: str | None = None


class GradingError(Exception):
    """Raised inside a grader that cannot grade one answer; it becomes a :class:`Grade` of 0 that says why."""

    def __init__(self, error: GraderError, detail: str) -> None:
        super().__init__(detail)
        self.error: GraderError = error
        self.detail = detail

    @property
    def grade(self) -> Grade:
        return Grade(0.0, error=self.error, detail=self.detail)
