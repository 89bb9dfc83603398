"""D008–D010: calls of tools, their arguments and the functions that they name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from typing_extensions import override

from ftkit.data.strict_json import parse_json
from ftkit.errors import ConfigError, DataError, Place
from ftkit.linting.context import LintContext
from ftkit.linting.finding import RuleFinding
from ftkit.linting.row_view import RowView
from ftkit.linting.rule import RowRule
from ftkit.linting.text_normalization import excerpt
from ftkit.schema.bounded_validator import bounded_validator
from ftkit.schema.compiled_schema import check_schema
from ftkit.schema.json_path import json_path

_NOWHERE = Place("", 0)


def _functions(view: RowView) -> dict[str, Any]:
    """The schemas of the parameters of the row's tools, by function name."""
    tools = () if view.row is None else view.row.tools or ()
    functions = (tool.get("function") or tool for tool in tools)
    return {str(function.get("name")): function.get("parameters") for function in functions}


def _arguments(arguments: Any) -> tuple[dict[str, Any] | None, str]:
    """The arguments of a call as an object, or None and why they are none."""
    if not isinstance(arguments, str):
        value = arguments
    elif not arguments.strip():  # how several programs write a call without arguments
        return {}, ""
    else:
        try:
            value = parse_json(arguments, _NOWHERE)
        except DataError as error:
            problem = f"{error.field}: {error.message}" if error.field else error.message
            return None, f"are {problem}" if problem.startswith("not JSON") else f"are no JSON object: {problem}"
    if isinstance(value, dict):
        return value, ""
    if isinstance(value, str) and value.lstrip().startswith(("{", '"{', "[{")):
        return None, "are JSON inside a JSON string: they were encoded twice"
    names = {list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return None, f"are {names.get(type(value), 'null')}, not a JSON object"


class ToolCallArguments(RowRule):
    """The arguments of a tool call are not a JSON object.

    The arguments of a call are cut off, are encoded as JSON twice, have a key twice or a NaN, or are a list or a plain
    value. Not every program can call the function with them, and a model trained on the row writes such calls.

    Write the arguments as one JSON object. Empty arguments count as ``{}``.
    """

    code = "D008"
    name = "tool-call-arguments"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        for path, name, arguments in view.tool_calls:
            value, problem = _arguments(arguments)
            if value is None:
                shown = excerpt(str(arguments), width=100)
                yield RuleFinding(f"the arguments of {name!r} {problem}", f"{path}.function.arguments", shown)


class UnknownTool(RowRule):
    """A call names a function that is not among the row's tools.

    The row lists its tools, and a call names another function. The model learns to call functions that the prompt does
    not offer.

    Add the function to ``tools``, or correct the name. Rows without ``tools`` are not checked; an empty list is.
    """

    code = "D009"
    name = "unknown-tool"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        functions = _functions(view) if view.tool_calls else {}
        for path, name, _ in view.tool_calls:
            if (functions or _has_empty_tools(view)) and name not in functions:
                listed = ", ".join(sorted(functions)[:5]) or "there are none"
                yield RuleFinding(f"{name!r} is not among the tools ({listed})", f"{path}.function.name")


def _has_empty_tools(view: RowView) -> bool:
    """Whether the row says that there are no tools."""
    tools = view.columns.get("tools")
    return tools == [] or (isinstance(tools, str) and tools.strip() == "[]")


class ToolCallSchema(RowRule):
    """The arguments of a tool call do not match the function's schema.

    A call lacks a required argument, has one that the function does not take, or has a value of the wrong type. A model
    trained on the row makes calls that fail.

    Checks the arguments against ``parameters`` of the function in the row's ``tools``. Correct the call or the schema.
    """

    code = "D010"
    name = "tool-call-schema"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        functions = _functions(view) if view.tool_calls else {}
        for path, name, arguments in view.tool_calls:
            value, _ = _arguments(arguments)
            parameters = functions.get(name)
            if value is None or not isinstance(parameters, dict) or not parameters:
                continue
            validator = _validator(json.dumps(parameters, sort_keys=True))
            error = None if validator is None else min(validator.iter_errors(value), key=_depth, default=None)
            if error is not None:
                problem = f"{excerpt(error.message, width=160)} at {json_path(error.absolute_path)}"
                yield RuleFinding(
                    f"the arguments of {name!r} do not match its schema: {problem}",
                    f"{path}.function.arguments",
                    excerpt(str(arguments), width=100),
                )


def _depth(error: Any) -> int:
    return len(error.absolute_path)


@lru_cache(maxsize=256)
def _validator(schema: str) -> Any:
    """A validator of arguments; None if the schema of the function is malformed or refers to another document."""
    parsed = json.loads(schema)
    try:
        check_schema(parsed)
    except ConfigError:
        return None
    return bounded_validator(parsed)
