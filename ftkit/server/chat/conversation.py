"""Messages and tools of a request, and what the chat template gets of them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, field_validator, model_validator

from ftkit.task import Message

__all__ = ["ChatMessage", "ToolOffer"]


class _Called(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: StrictStr
    arguments: StrictStr


class ToolCall(BaseModel):
    """A call that the model made in an earlier turn."""

    model_config = ConfigDict(extra="forbid")

    id: StrictStr
    type: Literal["function"]
    function: _Called


class _Function(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: StrictStr = Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_-]+$")
    description: StrictStr | None = None
    parameters: dict[str, Any] | None = None
    strict: StrictBool | None = None

    @field_validator("strict")
    @classmethod
    def _no_promise(cls, value: bool | None) -> bool | None:
        if value:
            raise ValueError("this server cannot hold tool calls to their schema; leave it out")
        return value


class ToolOffer(BaseModel):
    """A tool the model may call."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["function"]
    function: _Function

    def plain(self) -> dict[str, Any]:
        """As chat templates take it."""
        return self.model_dump(exclude_none=True)


class ChatMessage(BaseModel):
    """One message. Fields that clients send back from earlier answers are taken where they say nothing."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Any = None
    name: StrictStr | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: StrictStr | None = None

    @field_validator("content")
    @classmethod
    def _text(cls, value: Any) -> str | None:
        if value is None or isinstance(value, str):
            return value
        if not isinstance(value, list):
            raise ValueError("a string, or a list of parts")
        texts = []
        for number, part in enumerate(value):
            if not isinstance(part, dict) or not isinstance(part.get("type"), str):
                raise ValueError(f"part {number} is no object with a type")
            kind = part["type"]
            said = part.get(kind) if kind in ("text", "refusal") else None
            if not isinstance(said, str):
                raise ValueError(f"part {number} is of type {kind!r} and no text; models here read text only")
            texts.append(said)
        return "\n".join(texts)

    @model_validator(mode="after")
    def _whole(self) -> ChatMessage:
        for name, value in (self.model_extra or {}).items():
            if value not in (None, []) and name != "refusal":
                raise ValueError(f"{name!r} is not supported by this server")
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a tool's message needs tool_call_id")
        if self.content is None and not (self.role == "assistant" and self.tool_calls):
            raise ValueError("content is missing")
        if self.tool_calls and self.role != "assistant":
            raise ValueError("tool_calls belong to the assistant")
        return self

    def plain(self) -> Message:
        """As the chat template takes it."""
        found: Message = {"role": "system" if self.role == "developer" else self.role, "content": self.content}
        if self.name is not None:
            found["name"] = self.name
        if self.tool_calls:
            found["tool_calls"] = [one.model_dump() for one in self.tool_calls]
        if self.tool_call_id is not None:
            found["tool_call_id"] = self.tool_call_id
        return found
