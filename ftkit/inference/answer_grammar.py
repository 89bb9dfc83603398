"""Grammars for answers to requests with tools or a schema: which calls they may hold, and in which form."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftkit.errors import ConfigError
from ftkit.extras import require
from ftkit.inference.json_grammar import JSON_FORMAT, hold_schema
from ftkit.modeling.tool_calls import ToolCallFormat
from ftkit.schema.held_schema import Unheld
from ftkit.schema.keywords import map_subschemas

__all__ = [
    "AnswerSpec",
    "CallableTool",
    "ToolSchemaError",
    "answer_grammar",
    "compile_grammar",
    "hold_answer",
]

_TEXT = r"TEXT: /(.|\n)*/"


@dataclass(frozen=True, slots=True)
class CallableTool:
    """A tool that an answer may call.

    Attributes:
        name: its name.
        parameters: JSON Schema of its arguments, as JSON.
        strict: whether the arguments are held to the whole schema; else to what of it can be held.
    """

    name: str
    parameters: str
    strict: bool = False


@dataclass(frozen=True, slots=True)
class AnswerSpec:
    """What an answer to a request with tools or a schema may be.

    Attributes:
        form: how the model writes calls.
        tools: the tools; none if the answer has a schema and calls nothing.
        required: whether the answer must be a call.
        parallel: whether it may hold several calls.
        answer: JSON Schema, as JSON, of an answer that is not a call; None for any text.
        strict_answer: whether such an answer is held to the whole schema.
    """

    form: ToolCallFormat = "tagged"
    tools: tuple[CallableTool, ...] = ()
    required: bool = False
    parallel: bool = True
    answer: str | None = None
    strict_answer: bool = False


class ToolSchemaError(ConfigError):
    """Calls of a tool cannot be held to its parameters.

    Attributes:
        tool: name of the tool.
    """

    def __init__(self, message: str, tool: str) -> None:
        super().__init__(message)
        self.tool = tool

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle it, as workers raise it."""
        return type(self), (str(self), self.tool)


def compile_grammar(text: str, tokens: Any) -> Any:
    """Compile a grammar.

    Args:
        text: the grammar as llguidance takes it.
        tokens: the tokenizer as llguidance takes it.

    Returns:
        llguidance's matcher, at its start.

    Raises:
        ConfigError: llguidance cannot compile it.
    """
    library = require("llguidance", extra="local", needed_for="constraining answers to the schema")
    matcher = library.LLMatcher(tokens, text, log_level=0)
    if matcher.is_error():
        raise ConfigError("decoding cannot be constrained to the schema: it is too large or too complex")
    return matcher


def hold_answer(spec: AnswerSpec, tokens: Any, special: Mapping[str, int]) -> tuple[str, list[Unheld]]:
    """Work out what of the schemas of a request answers can be held to, and write the grammar.

    Args:
        spec: what the answer may be.
        tokens: the tokenizer as llguidance takes it.
        special: ids of the markers that are one special token in the model's vocabulary.

    Returns:
        The grammar, and the keywords that it does not hold answers to.

    Raises:
        ToolSchemaError: calls of a tool cannot be held to its parameters.
        ConfigError: other answers cannot be held to their schema.
    """
    arguments, unheld = [], list[Unheld]()
    for tool in spec.tools:
        try:
            held = hold_schema(json.loads(tool.parameters), tokens, strict=tool.strict)
        except ConfigError as error:
            raise ToolSchemaError(str(error), tool.name) from None
        arguments.append(held.schema)
        unheld += [Unheld(one.keyword, f"{tool.name}: {one.path}") for one in held.unheld]
    answer = None
    if spec.answer is not None:
        held = hold_schema(json.loads(spec.answer), tokens, strict=spec.strict_answer)
        answer, unheld = held.schema, [*held.unheld, *unheld]
    return answer_grammar(spec, arguments, answer, special), unheld


def answer_grammar(
    spec: AnswerSpec,
    arguments: Sequence[dict[str, Any]],
    answer: dict[str, Any] | None,
    special: Mapping[str, int],
) -> str:
    """Write the grammar of answers.

    Args:
        spec: what the answer may be.
        arguments: the schema of each tool's arguments that is held.
        answer: the schema of another answer that is held; None for any text.
        special: ids of the markers that are one special token in the model's vocabulary.

    Returns:
        The grammar, in llguidance's dialect of Lark.
    """
    if not spec.tools:
        return "start: %json " + json.dumps(answer)
    if spec.form == "bare" and answer is not None and not spec.required:
        return "start: %json " + json.dumps(_either(spec, arguments, answer))
    key = "parameters" if spec.form == "bare" else "arguments"
    names = [f"call_{number}" for number in range(len(spec.tools))]
    rules = [f"call: {' | '.join(names)}"]
    for name, tool, schema in zip(names, spec.tools, arguments, strict=True):
        beginning = json.dumps(f'{{"name": "{tool.name}", "{key}": ')
        rules.append(f'{name}: {beginning} {name}_arguments "}}"')
        rules.append(f"{name}_arguments: %json {json.dumps(schema)}")
    if answer is not None:
        rules.append(f"answer: %json {json.dumps(answer)}")
    write = {"tagged": _tagged, "bare": _bare, "listed": _listed}[spec.form]
    return "\n".join(["%llguidance {}", *write(spec, special), *rules])


def _tagged(spec: AnswerSpec, special: Mapping[str, int]) -> list[str]:
    opening, closing = (_marker(text, special) for text in ("<tool_call>", "</tool_call>"))
    call = f'"\\n"? call "\\n"? {closing}'
    if spec.required or spec.answer is not None:
        calls = 'tool ("\\n"? tool)*' if spec.parallel else "tool"
        start = f"start: {calls}" if spec.required else f"start: answer | {calls}"
        return [start, f"tool: {opening} {call}"]
    start = "start: tool* TEXT" if spec.parallel else "start: tool | TEXT"
    if "<tool_call>" in special:
        return [start, f"tool: TEXT {opening} {call}", _TEXT]
    return [start, f"tool: opening {call}", f"opening[lazy]: TEXT {opening}", _TEXT]


def _bare(spec: AnswerSpec, special: Mapping[str, int]) -> list[str]:
    if spec.required:
        return ["start: call"]
    # Any text but one that begins as a call does.
    return ["start: call | TEXT", _TEXT + r' & ~/[ \n]*\{[ \n]*"name"(.|\n)*/']


def _listed(spec: AnswerSpec, special: Mapping[str, int]) -> list[str]:
    marker = _marker("[TOOL_CALLS]", special)
    more = ' (", " call)*' if spec.parallel else ""
    calls = f'{marker} "[" call{more} "]"'
    if spec.required or spec.answer is not None:
        return [f"start: {calls}" if spec.required else f"start: answer | {calls}"]
    if "[TOOL_CALLS]" in special:
        return [f"start: {calls} | TEXT", _TEXT]
    return [f"start: {calls} | TEXT", _TEXT + r" & ~/[ \n]*\[TOOL_CALLS(.|\n)*/"]


def _marker(text: str, special: Mapping[str, int]) -> str:
    return f"<[{special[text]}]>" if text in special else json.dumps(text)


def _either(spec: AnswerSpec, arguments: Sequence[dict[str, Any]], answer: dict[str, Any]) -> dict[str, Any]:
    """One schema for a call or another answer: both begin with a brace, and only within a schema may they share it."""
    definitions = {f"tool_{number}": schema for number, schema in enumerate(arguments)} | {"answer": answer}
    moved = {name: _move_references(schema, f"#/$defs/{name}") for name, schema in definitions.items()}
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": tool.name}, "parameters": {"$ref": f"#/$defs/tool_{number}"}},
            "required": ["name", "parameters"],
            "additionalProperties": False,
        }
        for number, tool in enumerate(spec.tools)
    ]
    options = {**JSON_FORMAT, "coerce_one_of": True}
    return {"x-guidance": options, "anyOf": [*calls, {"$ref": "#/$defs/answer"}], "$defs": moved}


def _move_references(schema: Any, place: str) -> Any:
    if not isinstance(schema, dict):
        return schema
    moved = {key: value for key, value in schema.items() if key != "x-guidance"}
    if isinstance(moved.get("$ref"), str):
        moved["$ref"] = re.sub(r"^#", place, moved["$ref"])
    return map_subschemas(moved, lambda part: _move_references(part, place))
