"""Messages and tools of a request, and their form for chat templates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, field_validator, model_validator

from ftkit.server.request_body import invalid
from ftkit.task import Message

__all__ = ["ChatMessage", "ToolDefinition", "check_tool_messages"]


_COPIED = ("refusal", "parsed")
"""Fields of answers that clients send along in later requests, and that say nothing more than the content."""


class _CalledFunction(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: StrictStr
    arguments: StrictStr
    # OpenAI's clients add what they parsed, and send it along when the message is sent again.
    parsed_arguments: Any = Field(default=None, exclude=True)


class ToolCall(BaseModel):
    """A tool call of the model in an earlier turn."""

    model_config = ConfigDict(extra="forbid")

    id: StrictStr
    type: Literal["function"]
    function: _CalledFunction
    index: Any = Field(default=None, exclude=True)  # of a call that was streamed


class _FunctionDefinition(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: StrictStr = Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_-]+$")
    description: StrictStr | None = None
    parameters: dict[str, Any] | None = None
    strict: StrictBool | None = None


class ToolDefinition(BaseModel):
    """A tool that the model may call."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["function"]
    function: _FunctionDefinition

    def to_template(self) -> dict[str, Any]:
        """Convert to the form that chat templates take.

        Returns:
            A dict.
        """
        return self.model_dump(exclude_none=True)


class ChatMessage(BaseModel):
    """A message. Fields that clients copy from earlier answers are accepted if they are empty."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Any = None
    name: StrictStr | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: StrictStr | None = None
    reasoning_content: StrictStr | None = None

    @field_validator("content")
    @classmethod
    def _text(cls, value: Any) -> str | None:
        if value is None or isinstance(value, str):
            return value
        if not isinstance(value, list):
            raise ValueError("expected a string or a list of parts")
        texts = []
        for number, part in enumerate(value):
            if not isinstance(part, dict) or not isinstance(part.get("type"), str):
                raise ValueError(f"part {number} is not an object with a type")
            kind = part["type"]
            text = part.get(kind) if kind in ("text", "refusal") else None
            if not isinstance(text, str):
                raise ValueError(f"part {number} has the type {kind!r}; only text is supported")
            texts.append(text)
        return "".join(texts)

    @model_validator(mode="after")
    def _check_consistency(self) -> ChatMessage:
        for name, value in (self.model_extra or {}).items():
            if value not in (None, []) and name not in _COPIED:
                raise ValueError(f"{name!r} is not supported by this server")
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a tool message needs tool_call_id")
        if self.content is None and not (self.role == "assistant" and self.tool_calls):
            raise ValueError("content is missing")
        if self.reasoning_content and self.role != "assistant":
            raise ValueError("only assistant messages may have reasoning_content")
        if self.tool_calls and self.role != "assistant":
            raise ValueError("only assistant messages may have tool_calls")
        return self

    def to_template(self) -> Message:
        """Convert to the form that chat templates take.

        Returns:
            A message.
        """
        message: Message = {"role": self.role, "content": self.content}
        if self.name is not None:
            message["name"] = self.name
        if self.reasoning_content:
            message["reasoning_content"] = self.reasoning_content
        if self.tool_calls:
            message["tool_calls"] = [call.model_dump() for call in self.tool_calls]
        if self.tool_call_id is not None:
            message["tool_call_id"] = self.tool_call_id
        return message


def check_tool_messages(messages: Sequence[ChatMessage]) -> None:
    """Check that each tool message answers a call, and that each call is answered, as OpenAI's API does.

    Args:
        messages: the conversation.

    Raises:
        PydanticCustomError: a tool message without its call, or a call without its tool message; names the message.
    """
    asked: dict[str, int] = {}  # calls that are not answered yet, with the message that made them
    for number, message in enumerate(messages):
        if message.role == "tool":
            if message.tool_call_id not in asked:
                raise invalid(
                    f"messages.{number}",
                    "a message with the role 'tool' must follow the message with the tool_calls that it answers, and "
                    f"no open call has the id {str(message.tool_call_id)[:80]!r}",
                )
            del asked[message.tool_call_id]
            continue
        if asked:
            break
        asked = {call.id: number for call in message.tool_calls or ()}
    if asked:
        call, number = next(iter(asked.items()))
        raise invalid(
            f"messages.{number}.tool_calls",
            f"each call must be followed by a tool message with its tool_call_id, and {call[:80]!r} is not",
        )
