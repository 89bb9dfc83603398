"""What graders that ask a model share: the prompt as a template, how it is drawn, the answer read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from ftkit.errors import ConfigError, OutputError
from ftkit.graders.base import Answerlike, Ask, Grader, Pair, Setting, unmet
from ftkit.graders.grade import Grade, GradingError, Sample
from ftkit.graders.template import Template
from ftkit.schema import JsonOutput
from ftkit.schema.json_text import read_json
from ftkit.task import Message

__all__ = ["GraderMessage", "ModelGrader", "SamplingParams", "TextPart"]

_MAX_TOKENS = 1024


class TextPart(BaseModel):
    """A part of a message's content; OpenAI also takes images and audio, which are refused here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["input_text", "output_text"] = "input_text"
    text: str


class GraderMessage(BaseModel):
    """A message of the prompt; its texts are templates."""

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
                raise ConfigError(f"{kind}: graders here read texts alone; leave the part out")
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
        return tuple(Template.of(text) for text in _texts(self.content))

    def render(self, item: Mapping[str, Any], sample: Sample) -> Message:
        """The message with values in it; several parts are lines of one text."""
        return {"role": self.role, "content": "\n".join(one.render(item, sample) for one in self.templates)}


class SamplingParams(BaseModel):
    """How the model is drawn from, in OpenAI's words. What is left out is greedy, with 1,024 tokens at most."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    seed: int | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_completions_tokens: int | None = Field(default=None, ge=1)
    """OpenAI spells it so."""
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    """For hosts that run the grader; refused where the grader runs here, as nothing could honour it."""

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}


class ModelGrader(Grader):
    """A grader that asks a model, here any that :class:`ftkit.Model` can name.

    The model is held to a JSON form where its place can do so; a bare number or label is read too.
    """

    model: str = Field(min_length=1)
    """``"backend:model"``, as :class:`ftkit.Model` takes it; a bare name is OpenAI's, as in OpenAI's own JSON."""
    input: tuple[GraderMessage, ...] = Field(min_length=1)
    """The prompt."""

    def reads(self) -> frozenset[str]:
        return frozenset(
            column for message in self.input for template in message.templates for column in template.columns
        )

    def check(self, setting: Setting) -> None:
        self._ask(setting)

    def grade_many(self, pairs: Sequence[Pair], setting: Setting) -> list[Grade]:
        ask, drawn = self._ask(setting), self._drawn()
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
                output=self.wanted(),
                max_output_tokens=drawn.max_completions_tokens or _MAX_TOKENS,
                temperature=drawn.temperature or 0.0,
                top_p=drawn.top_p or 1.0,
                seed=drawn.seed or 0,
            )
            grades |= {at: self._graded(answer) for at, answer in zip(prompts, answers, strict=True)}
        return [grades[at] for at in range(len(pairs))]

    @abstractmethod
    def wanted(self) -> JsonOutput:
        """The form that the model's answer should have."""

    @abstractmethod
    def read(self, said: Any) -> float:
        """The grade in what the model said: the JSON value, or the text where it was no JSON.

        Raises:
            GradingError: there is none in it.
        """

    def _drawn(self) -> SamplingParams:
        return SamplingParams()

    def _ask(self, setting: Setting) -> Ask:
        if setting.ask is None:
            raise unmet(self, "nothing here can ask a model")
        if self._drawn().reasoning_effort is not None:
            raise unmet(
                self,
                "sampling_params.reasoning_effort: models that are asked from here take none; leave it out, or let a "
                "host run the grader",
            )
        return setting.ask

    def _graded(self, answer: Answerlike) -> Grade:
        if answer.error is not None:
            return Grade(0.0, error="model_grader_server_error", detail=f"{self.model}: {answer.error}")
        try:
            return Grade(self.read(_said(answer.text)))
        except GradingError as error:
            return error.grade

    def unread(self, said: Any) -> GradingError:
        """What to raise for an answer that holds no grade."""
        return GradingError("model_grader_parse_error", f"{self.model} gave no grade but {said!r:.200}")


def _said(text: str) -> Any:
    try:
        return read_json(text)
    except OutputError:
        return text.strip()


def _texts(content: str | TextPart | tuple[str | TextPart, ...]) -> tuple[str, ...]:
    parts = content if isinstance(content, tuple) else (content,)
    if not parts:
        raise ConfigError("a message without content asks nothing")
    return tuple(part if isinstance(part, str) else part.text for part in parts)
