"""What a request for chat completions may say (OpenAI, API reference, "Create chat completion")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    field_validator,
    model_validator,
)

from ftkit.server.chat.conversation import ChatMessage, ToolOffer
from ftkit.server.errors import ApiError

__all__ = ["ChatRequest", "ResponseFormat"]

Number = StrictFloat | StrictInt

_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": (),
    "functions": ([],),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "moderation": (),
    "prediction": (),
    "presence_penalty": (0,),
    "prompt_cache_options": (),
    "prompt_cache_retention": ("in_memory",),
    "reasoning_effort": ("none",),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "verbosity": ("medium",),
    "web_search_options": (),
}
"""Parameters that nothing here does, with what they may say all the same, because it changes nothing."""


class JsonSchemaFormat(BaseModel):
    """The schema of ``response_format``."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    name: StrictStr = Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_-]+$")
    description: StrictStr | None = None
    json_schema: dict[str, Any] = Field(default_factory=lambda: {"type": "object"}, alias="schema")
    strict: StrictBool | None = None


class ResponseFormat(BaseModel):
    """``response_format``. Answers are held to a schema whether it is called strict or not."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None

    @model_validator(mode="after")
    def _whole(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema belongs to the type json_schema, which needs it")
        return self


class StreamOptions(BaseModel):
    """``stream_options``."""

    model_config = ConfigDict(extra="forbid")

    include_usage: StrictBool | None = None
    include_obfuscation: Literal[False] | None = None


class ChatRequest(BaseModel):
    """A request. What is not here is refused by name, see :meth:`refuse_what_nothing_does`."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    model: StrictStr
    messages: list[ChatMessage] = Field(min_length=1)
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None
    n: StrictInt | None = Field(default=None, ge=1, le=128)
    temperature: Number | None = Field(default=None, ge=0, le=2)
    top_p: Number | None = Field(default=None, ge=0, le=1)
    seed: StrictInt | None = Field(default=None, ge=-(2**63), le=2**63 - 1)
    stop: Any = None
    max_completion_tokens: StrictInt | None = Field(default=None, ge=1)
    max_tokens: StrictInt | None = Field(default=None, ge=1)
    logprobs: StrictBool | None = None
    top_logprobs: StrictInt | None = Field(default=None, ge=0, le=20)
    response_format: ResponseFormat | None = None
    tools: list[ToolOffer] | None = Field(default=None, max_length=128)
    tool_choice: Any = None
    parallel_tool_calls: StrictBool | None = None
    # Who asked, and notes of the client's: they change no answer and are not kept.
    user: StrictStr | None = None
    safety_identifier: StrictStr | None = None
    prompt_cache_key: StrictStr | None = None
    metadata: dict[StrictStr, StrictStr] | None = None

    @field_validator("stop")
    @classmethod
    def _stops(cls, value: Any) -> tuple[str, ...]:
        found = () if value is None else (value,) if isinstance(value, str) else value
        if not isinstance(found, list | tuple) or not all(isinstance(one, str) and one for one in found):
            raise ValueError("a string, or a list of strings, none of them empty")
        if len(found) > 4:
            raise ValueError("at most 4 strings")
        return tuple(found)

    @model_validator(mode="after")
    def _whole(self) -> ChatRequest:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs to be true")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream to be true")
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise ValueError("max_tokens and max_completion_tokens are the same; give one")
        return self

    @property
    def answers(self) -> int:
        """How many answers are wanted."""
        return self.n or 1

    @property
    def stops(self) -> tuple[str, ...]:
        """Strings that end an answer."""
        return self.stop or ()

    def refuse_what_nothing_does(self) -> None:
        """Refuse, by name, every parameter that would silently do nothing.

        Raises:
            ApiError: one of them, or one that is not known at all.
        """
        for name, value in (self.model_extra or {}).items():
            if name not in _NEUTRAL:
                raise ApiError(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
            if value is not None and value not in _NEUTRAL[name]:
                raise _unsupported(name)
        if self.tool_choice not in (None, "auto", "none"):
            raise _unsupported("tool_choice", "A model here is not made to call a tool; leave it at 'auto' or 'none'.")
        held = self.response_format is not None and self.response_format.type != "text"
        if held and self.tools and self.tool_choice != "none":
            raise _unsupported("response_format", "An answer that is held to JSON cannot call tools; leave one out.")


def _unsupported(name: str, why: str = "") -> ApiError:
    message = f"Unsupported parameter: '{name}' is not supported by this server.{' ' if why else ''}{why}"
    return ApiError(400, message, param=name, code="unsupported_parameter")
