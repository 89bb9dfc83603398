"""The request for a chat completion (OpenAI, API reference, "Create chat completion")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
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

from ftkit.server.chat.conversation import ChatMessage, ToolDefinition, check_tool_messages
from ftkit.server.request_body import invalid, refuse_extra

__all__ = ["ChatRequest", "Metadata", "ResponseFormat", "StreamOptions"]

Number = StrictFloat | StrictInt

_NEUTRAL_VALUES: Mapping[str, tuple[Any, ...]] = {
    "audio": (),
    "function_call": (),
    "functions": ([],),
    "modalities": (["text"],),
    "moderation": (),
    "prediction": (),
    "prompt_cache_options": (),
    "prompt_cache_retention": ("in_memory",),
    "reasoning_effort": ("none",),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "verbosity": ("medium",),
    "web_search_options": (),
}
"""Unsupported parameters, with the values that are accepted because they have no effect."""


_MAX_MESSAGES = 2_048
"""Most messages of a request, as at OpenAI."""
_MAX_BIASES = 1_024
"""Most tokens of ``logit_bias``: they are added to the logits of every token of every answer."""
_MAX_PAIRS, _MAX_KEY, _MAX_VALUE = 16, 64, 512
"""Limits of ``metadata``, as at OpenAI."""
_MAX_CHOICE = 1_024
"""Most values of ``tool_choice``: 128 functions, with their types and names."""
_MAX_STOP = 1_024
"""Longest stop string, in characters: a longer one could never be said, and is searched for after each token."""


def _pairs(value: dict[str, str] | None) -> dict[str, str] | None:
    if len(value or {}) > _MAX_PAIRS:
        raise ValueError(f"at most {_MAX_PAIRS} pairs")
    if any(len(name) > _MAX_KEY or len(text) > _MAX_VALUE for name, text in (value or {}).items()):
        raise ValueError(f"keys have at most {_MAX_KEY} characters, values {_MAX_VALUE}")
    return value


Metadata = Annotated[dict[StrictStr, StrictStr] | None, AfterValidator(_pairs)]
"""``metadata``, within OpenAI's limits."""


class JsonSchemaFormat(BaseModel):
    """``response_format.json_schema``."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    name: StrictStr = Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_-]+$")
    description: StrictStr | None = None
    json_schema: dict[str, Any] = Field(default_factory=lambda: {"type": "object"}, alias="schema")
    strict: StrictBool | None = None


class ResponseFormat(BaseModel):
    """``response_format``. Answers are held to a schema whether it is strict or not, see ``answer_grammar``."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None

    @model_validator(mode="after")
    def _check_schema(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("the type json_schema needs json_schema, and other types do not take it")
        return self


class StreamOptions(BaseModel):
    """``stream_options``."""

    model_config = ConfigDict(extra="forbid")

    include_usage: StrictBool | None = None
    include_obfuscation: StrictBool | None = None


class ChatRequest(BaseModel):
    """The body of a request. :meth:`check_supported` refuses all other parameters."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    model: StrictStr
    messages: list[ChatMessage] = Field(min_length=1, max_length=_MAX_MESSAGES)
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None
    n: StrictInt | None = Field(default=None, ge=1, le=128)
    temperature: Number | None = Field(default=None, ge=0, le=2)
    top_p: Number | None = Field(default=None, ge=0, le=1)
    seed: StrictInt | None = Field(default=None, ge=-(2**63), le=2**63 - 1)
    stop: Any = None
    frequency_penalty: Number | None = Field(default=None, ge=-2, le=2)
    presence_penalty: Number | None = Field(default=None, ge=-2, le=2)
    logit_bias: dict[StrictStr, Number] | None = None
    max_completion_tokens: StrictInt | None = Field(default=None, ge=1)
    max_tokens: StrictInt | None = Field(default=None, ge=1)
    logprobs: StrictBool | None = None
    top_logprobs: StrictInt | None = Field(default=None, ge=0, le=20)
    response_format: ResponseFormat | None = None
    tools: list[ToolDefinition] | None = Field(default=None, max_length=128)
    tool_choice: Any = None
    parallel_tool_calls: StrictBool | None = None
    # Accepted without effect, and not stored.
    user: StrictStr | None = None
    safety_identifier: StrictStr | None = None
    prompt_cache_key: StrictStr | None = None
    metadata: Metadata = None

    @field_validator("stop")
    @classmethod
    def _stops(cls, value: Any) -> tuple[str, ...]:
        strings = () if value is None else (value,) if isinstance(value, str) else value
        if not isinstance(strings, list | tuple) or not all(isinstance(item, str) and item for item in strings):
            raise ValueError("expected a string or a list of strings, none of them empty")
        if len(strings) > 4:
            raise ValueError("at most 4 strings are allowed")
        if any(len(item) > _MAX_STOP for item in strings):
            raise ValueError(f"a stop string may have at most {_MAX_STOP:,} characters")
        return tuple(strings)

    @field_validator("logit_bias")
    @classmethod
    def _biases(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        if len(value or {}) > _MAX_BIASES:
            raise ValueError(f"at most {_MAX_BIASES:,} tokens may have a bias")
        for token, bias in (value or {}).items():
            if not (token.isascii() and token.isdigit() and len(token) <= 9 and str(int(token)) == token):
                raise ValueError(f"{token[:40]!r} is not the id of a token")
            if not -100 <= bias <= 100:
                raise ValueError(f"the bias of token {token} is not from -100 to 100")
        return value

    @field_validator("tool_choice")
    @classmethod
    def _choice(cls, value: Any) -> Any:
        pending, count = [value], 0
        while pending:
            one = pending.pop()
            inside = [*one.values()] if isinstance(one, dict) else one if isinstance(one, list) else []
            pending += inside
            count += len(inside)
            if count > _MAX_CHOICE:
                raise ValueError(f"it has more than {_MAX_CHOICE:,} values")
        return value

    @model_validator(mode="after")
    def _check_consistency(self) -> ChatRequest:
        if self.top_logprobs is not None and not self.logprobs:
            raise invalid("top_logprobs", "it needs logprobs to be true")
        if self.stream_options is not None and not self.stream:
            raise invalid("stream_options", "it needs stream to be true")
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise invalid("max_tokens", "max_completion_tokens has the same meaning; give only one of both")
        check_tool_messages(self.messages)
        return self

    @property
    def choice_count(self) -> int:
        """Number of requested answers."""
        return self.n or 1

    @property
    def stops(self) -> tuple[str, ...]:
        """Stop strings."""
        return self.stop or ()

    def check_supported(self) -> None:
        """Refuse parameters that would have no effect.

        Raises:
            ApiError: 400 if a parameter is unknown or unsupported.
        """
        refuse_extra(self.model_extra or {}, _NEUTRAL_VALUES)
