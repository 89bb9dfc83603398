"""Which tools an answer may or must call: ``tool_choice`` of a request, resolved against its tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError

from ftkit.server.chat.conversation import ToolDefinition
from ftkit.server.errors import ApiError

__all__ = ["ToolUse", "tool_use"]


class _Name(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: StrictStr


class _Function(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["function"]
    function: _Name


class _Allowed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    mode: Literal["auto", "required"]
    tools: list[_Function] = Field(min_length=1, max_length=128)


class _AllowedTools(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["allowed_tools"]
    allowed_tools: _Allowed


@dataclass(frozen=True, slots=True)
class ToolUse:
    """Which tools an answer may call.

    Attributes:
        offered: the tools that the prompt describes.
        callable: those that the answer may call, with their places among the request's tools.
        required: whether it must call one.
        named: whether the request names the one function to call. As at OpenAI, such an answer ends with ``stop``.
    """

    offered: tuple[ToolDefinition, ...] = ()
    callable: tuple[tuple[int, ToolDefinition], ...] = ()
    required: bool = False
    named: bool = False


def tool_use(tools: list[ToolDefinition] | None, choice: Any) -> ToolUse:
    """Resolve ``tool_choice``.

    Args:
        tools: the request's tools.
        choice: its ``tool_choice``: None, ``auto``, ``none``, ``required``, a function, or ``allowed_tools``.

    Returns:
        The tools that the answer may or must call.

    Raises:
        ApiError: 400 if the choice has another form or names a tool that is not among the tools.
    """
    numbered = tuple(enumerate(tools or ()))
    offered = tuple(tools or ())
    if choice == "none":
        return ToolUse()
    if choice in (None, "auto"):
        return ToolUse(offered, numbered)
    if choice == "required":
        names, required, named = None, True, False
    elif isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        allowed = _parsed(_AllowedTools, choice).allowed_tools
        names, required, named = {one.function.name for one in allowed.tools}, allowed.mode == "required", False
    elif isinstance(choice, dict):
        names, required, named = {_parsed(_Function, choice).function.name}, True, True
    else:
        raise _invalid("expected 'auto', 'none', 'required' or an object that names a function")
    if not offered:
        raise _invalid("it is only allowed when 'tools' are specified")
    for name in sorted(names or ()):
        if all(tool.function.name != name for tool in offered):
            raise _invalid(f"there is no function {name!r} among the tools")
    chosen = tuple((at, tool) for at, tool in numbered if names is None or tool.function.name in names)
    return ToolUse(offered, chosen, required, named)


def _parsed(model: type[Any], choice: dict[str, Any]) -> Any:
    try:
        return model.model_validate(choice)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise _invalid(f"{place}: {first['msg']}" if place else first["msg"]) from None


def _invalid(why: str) -> ApiError:
    return ApiError(400, f"Invalid value for 'tool_choice': {why}.", param="tool_choice", code="invalid_value")
