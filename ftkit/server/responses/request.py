"""The request for a response (OpenAI, API reference, "Create a model response"), and the chat request that it means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from ftkit.server.chat.request import ChatRequest, Metadata
from ftkit.server.errors import ApiError, renamed
from ftkit.server.request_body import invalid, refuse_extra, validate_body
from ftkit.server.responses.input_items import chat_messages

__all__ = ["INCLUDED", "ResponsesRequest", "response_error", "translate"]

_Number = StrictFloat | StrictInt

_NEUTRAL_VALUES: Mapping[str, tuple[Any, ...]] = {
    "background": (False,),
    "conversation": (),
    "context_management": (),
    "max_tool_calls": (),
    "moderation": (),
    "prompt": (),
    "prompt_cache_options": (),
    "prompt_cache_retention": ("in_memory",),
    "service_tier": ("auto", "default"),
    "truncation": ("disabled",),
}
"""Unsupported parameters, with the values that are accepted because they have no effect."""

_LOGPROBS = "message.output_text.logprobs"
INCLUDED = (_LOGPROBS, "reasoning.encrypted_content")
"""What ``include`` may name. Reasoning is sent as text, so that none needs to be encrypted."""

_MAX_ITEMS = 4_096
_MAX_NAME = 512
"""Longest name of a user or of a cache, in characters: they are stored with the response."""
PARAMS = {
    "messages": "input",
    "response_format": "text.format",
    "max_completion_tokens": "max_output_tokens",
}
"""Names of this API for parameters of chat completions, for messages."""


class _Reasoning(BaseModel):
    model_config = ConfigDict(extra="forbid")

    effort: Literal["none"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None  # the reasoning itself is sent
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class _Format(BaseModel):
    """``text.format``; ``strict``, ``name`` and the schema are checked as those of a chat completion."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    type: Literal["text", "json_object", "json_schema"]
    name: Any = None
    description: Any = None
    json_schema: Any = Field(default=None, alias="schema")
    strict: Any = None


class _Text(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: _Format | None = None
    verbosity: Literal["medium"] | None = None


class _Tool(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["function"]
    name: StrictStr
    description: StrictStr | None = None
    parameters: dict[str, Any] | None = None
    strict: StrictBool | None = None


class _StreamOptions(BaseModel):
    """``stream_options``: no usage is asked for here, because the last event always has it."""

    model_config = ConfigDict(extra="forbid")

    include_obfuscation: StrictBool | None = None


class ResponsesRequest(BaseModel):
    """The body of a request. :meth:`check_supported` refuses all other parameters."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    model: StrictStr
    input: StrictStr | list[Any] = Field(max_length=10_000_000)
    instructions: StrictStr | None = None
    previous_response_id: StrictStr | None = Field(default=None, max_length=200)
    store: StrictBool | None = None
    stream: StrictBool | None = None
    stream_options: _StreamOptions | None = None
    temperature: _Number | None = None
    top_p: _Number | None = None
    max_output_tokens: StrictInt | None = Field(default=None, ge=1)
    tools: list[_Tool] | None = Field(default=None, max_length=128)
    tool_choice: Any = None
    parallel_tool_calls: StrictBool | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    include: list[StrictStr] | None = Field(default=None, max_length=16)
    top_logprobs: StrictInt | None = Field(default=None, ge=0, le=20)
    # Accepted without effect; ``metadata`` is stored with the response.
    metadata: Metadata = None
    user: StrictStr | None = Field(default=None, max_length=_MAX_NAME)
    safety_identifier: StrictStr | None = Field(default=None, max_length=_MAX_NAME)
    prompt_cache_key: StrictStr | None = Field(default=None, max_length=_MAX_NAME)

    @model_validator(mode="after")
    def _check_consistency(self) -> ResponsesRequest:
        if self.stream_options is not None and not self.stream:
            raise invalid("stream_options", "it needs stream to be true")
        return self

    def check_supported(self) -> None:
        """Refuse parameters that would have no effect.

        Raises:
            ApiError: 400 if a parameter is unknown or unsupported.
        """
        refuse_extra(self.model_extra or {}, _NEUTRAL_VALUES)
        for name in self.include or ():
            if name not in INCLUDED:
                message = f"Invalid value for 'include': {name[:80]!r} is not supported by this server."
                raise ApiError(400, message, param="include", code="invalid_value")
        if isinstance(self.input, list) and not 0 < len(self.input) <= _MAX_ITEMS:
            message = f"Invalid value for 'input': expected 1 to {_MAX_ITEMS:,} items."
            raise ApiError(400, message, param="input", code="invalid_value")

    @property
    def size(self) -> int:
        """Number of items and their parts."""
        if isinstance(self.input, str):
            return 1
        contents = (item.get("content") for item in self.input if isinstance(item, dict))
        return len(self.input) + sum(len(content) for content in contents if isinstance(content, list))

    @property
    def stored(self) -> bool:
        """Whether the response is kept, so that a later request may go on from it."""
        return self.store is not False

    @property
    def wants_logprobs(self) -> bool:
        """Whether the response has log-probabilities."""
        return _LOGPROBS in (self.include or ())

    def chat_request(self, messages: Sequence[Mapping[str, Any]]) -> ChatRequest:
        """Write the request for a chat completion that means the same.

        Args:
            messages: the conversation, earlier responses included.

        Returns:
            The request.

        Raises:
            ApiError: 400 if a parameter is out of range; it has the name of this API.
        """
        instructions = [] if self.instructions is None else [{"role": "system", "content": self.instructions}]
        body = {
            "model": self.model,
            "messages": [*instructions, *messages],
            "stream": self.stream,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_completion_tokens": self.max_output_tokens,
            "parallel_tool_calls": self.parallel_tool_calls,
            "tools": [_chat_tool(tool) for tool in self.tools] if self.tools else None,
            "tool_choice": _chat_choice(self.tool_choice),
            "response_format": None if self.text is None else _chat_format(self.text.format),
        }
        if self.wants_logprobs or self.top_logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        try:
            return validate_body(ChatRequest, body)
        except ApiError as error:
            raise renamed(error, PARAMS) from None


def translate(body: ResponsesRequest, earlier: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], ChatRequest]:
    """Translate a request into one for a chat completion.

    Args:
        body: the request.
        earlier: messages of the response that it goes on from.

    Returns:
        The messages of the request itself, and the request for a chat completion.

    Raises:
        ApiError: 400 if an item or a parameter cannot be used.
    """
    messages = chat_messages(body.input)
    return messages, body.chat_request([*earlier, *messages])


def response_error(error: ApiError) -> ApiError:
    """Give an error of a chat completion the names of this API, whose tools have no ``function`` inside.

    Args:
        error: the error.

    Returns:
        The same error.
    """
    found = renamed(error, PARAMS)
    if found.param is None or not found.param.startswith("tools["):
        return found
    message = found.message.replace("].function.", "].")
    return ApiError(
        found.status, message, found.type, found.param.replace("].function.", "]."), found.code, found.headers
    )


def _chat_tool(tool: _Tool) -> dict[str, Any]:
    return {"type": "function", "function": tool.model_dump(exclude={"type"}, exclude_none=True)}


def _chat_format(form: _Format | None) -> dict[str, Any] | None:
    if form is None:
        return None
    fields = {"name": form.name, "description": form.description, "schema": form.json_schema, "strict": form.strict}
    given = {name: value for name, value in fields.items() if value is not None}
    if form.type == "json_schema":
        return {"type": form.type, "json_schema": given}
    if given:
        message = f"Invalid value for 'text.format': the type {form.type} takes no {next(iter(given))}."
        raise ApiError(400, message, param="text.format", code="invalid_value")
    return {"type": form.type}


def _chat_choice(choice: Any) -> Any:
    """``tool_choice`` in the form of chat completions; another form is refused there."""
    if not isinstance(choice, Mapping):
        return choice
    if choice.get("type") == "function" and isinstance(choice.get("name"), str):
        return {"type": "function", "function": {"name": choice["name"]}}
    if choice.get("type") == "allowed_tools":
        tools = choice.get("tools")
        named = [_chat_choice(tool) for tool in tools] if isinstance(tools, list) else tools
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.get("mode"), "tools": named}}
    return dict(choice)
