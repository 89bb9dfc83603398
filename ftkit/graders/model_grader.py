"""The base class of graders that ask a model: the prompt template, sampling, and reading of the answer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, field_validator, model_serializer
from typing_extensions import override

from ftkit.errors import ConfigError, OutputError
from ftkit.graders.base import AnswerLike, Ask, Grader, GraderContext, Pair, unmet
from ftkit.graders.grade import Grade, GradingError, Sample
from ftkit.graders.template import Template
from ftkit.schema import JsonOutput
from ftkit.schema.json_text import read_json
from ftkit.task import Message
from ftkit.task.reasoning_effort import ReasoningEffort

__all__ = ["GraderMessage", "ModelGrader", "SamplingParams", "TextPart"]

_MAX_TOKENS = 1024
"""Tokens of an answer if ``max_completions_tokens`` is not set."""


class TextPart(BaseModel):
    """A text part of a message. OpenAI also takes images and audio, which are refused here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["input_text", "output_text"] = "input_text"
    text: str


class GraderMessage(BaseModel):
    """A message of the prompt. Its texts are templates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["user", "assistant", "system", "developer"] = "user"
    content: str | TextPart | tuple[str | TextPart, ...]
    type: Literal["message"] | None = None

    @field_validator("content", mode="before")
    @classmethod
    def _texts_only(cls, content: Any) -> Any:
        for part in content if isinstance(content, list | tuple) else (content,):
            kind = part.get("type") if isinstance(part, dict) else None
            if kind not in (None, "input_text", "output_text"):
                raise ConfigError(f"{kind}: graders that run here take text only; remove the part")
        return content

    @field_validator("content")
    @classmethod
    def _of_templates(cls, content: Any) -> Any:
        for text in _texts(content):
            Template.of(text)
        return content

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}

    @property
    def templates(self) -> tuple[Template, ...]:
        """The template of each part."""
        return tuple(Template.of(text) for text in _texts(self.content))

    def render(self, item: Mapping[str, Any], sample: Sample) -> Message:
        """Fill in the templates.

        Args:
            item: the row's columns.
            sample: the answer.

        Returns:
            The message; several parts become lines of one text.

        Raises:
            GradingError: a variable has no value.
        """
        return {"role": self.role, "content": "\n".join(one.render(item, sample) for one in self.templates)}


class SamplingParams(BaseModel):
    """Sampling parameters, with OpenAI's names. The default is greedy decoding of at most 1,024 tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    seed: int | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_completions_tokens: int | None = Field(default=None, ge=1)
    """Most tokens of an answer. OpenAI spells the field this way."""
    reasoning_effort: ReasoningEffort | None = None
    """How much the model reasons before it answers. Models on this machine refuse it."""

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}


class ModelGrader(Grader):
    """Base of the graders that ask a model; any that :class:`ftkit.Model` can name.

    The answer is constrained to a JSON schema where the backend can do so; a bare number or label is read too.
    """

    model: str = Field(min_length=1)
    """``"backend:model"``, as :class:`ftkit.Model` takes it. A bare name is a model of OpenAI, as in OpenAI's JSON."""
    input: tuple[GraderMessage, ...] = Field(min_length=1)
    """The prompt."""

    @override
    def reads(self) -> frozenset[str]:
        return frozenset(
            column for message in self.input for template in message.templates for column in template.columns
        )

    @override
    def check(self, setting: GraderContext) -> None:
        self._ask(setting)

    @override
    def grade_many(self, pairs: Sequence[Pair], setting: GraderContext) -> list[Grade]:
        ask, sampling = self._ask(setting), self._sampling()
        grades: dict[int, Grade] = {}
        prompts: dict[int, list[Message]] = {}
        for at, (item, sample) in enumerate(pairs):
            try:
                prompts[at] = [message.render(item, sample) for message in self.input]
            except GradingError as error:
                grades[at] = error.grade
        if prompts:
            answers = ask(
                self.model,
                list(prompts.values()),
                output=self.answer_output(),
                max_output_tokens=sampling.max_completions_tokens or _MAX_TOKENS,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                seed=sampling.seed,
                **({} if sampling.reasoning_effort is None else {"reasoning_effort": sampling.reasoning_effort}),
            )
            grades |= {at: self._graded(answer) for at, answer in zip(prompts, answers, strict=True)}
        return [grades[at] for at in range(len(pairs))]

    @abstractmethod
    def answer_output(self) -> JsonOutput:
        """Return the output type that constrains the model's answer.

        Returns:
            A JSON output.
        """

    @abstractmethod
    def read(self, content: Any) -> float:
        """Read the grade from the model's answer.

        Args:
            content: the JSON value, or the text if it is not JSON.

        Returns:
            The grade.

        Raises:
            GradingError: the answer holds no grade.
        """

    def _sampling(self) -> SamplingParams:
        return SamplingParams()

    def _ask(self, setting: GraderContext) -> Ask:
        if setting.ask is None:
            raise unmet(self, "no model can be asked from here")
        if self._sampling().reasoning_effort is not None and not setting.asks_reasoning:
            raise unmet(
                self,
                "sampling_params.reasoning_effort: not supported by the models that this grader can ask; remove it, or "
                "let a host run the grader",
            )
        return setting.ask

    def _graded(self, answer: AnswerLike) -> Grade:
        if answer.error is not None:
            return Grade(0.0, error="model_grader_server_error", detail=f"{self.model}: {answer.error}")
        try:
            return Grade(self.read(_content(answer.text)))
        except GradingError as error:
            return error.grade

    def unread(self, content: Any) -> GradingError:
        """Make the error of an answer that holds no grade.

        Args:
            content: the answer.

        Returns:
            The error, to be raised.
        """
        return GradingError("model_grader_parse_error", f"{self.model} gave no grade but {content!r:.200}")


def _content(text: str) -> Any:
    try:
        return read_json(text)
    except OutputError:
        return text.strip()


def _texts(content: str | TextPart | tuple[str | TextPart, ...]) -> tuple[str, ...]:
    parts = content if isinstance(content, tuple) else (content,)
    if not parts:
        raise ConfigError("a message must have content")
    return tuple(part if isinstance(part, str) else part.text for part in parts)
