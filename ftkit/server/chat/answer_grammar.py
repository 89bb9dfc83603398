"""The grammar of an answer: what ``response_format``, ``tools`` and ``tool_choice`` of a request hold it to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ftkit.errors import ConfigError
from ftkit.inference.answer_grammar import AnswerSpec, CallableTool, ToolSchemaError
from ftkit.inference.constrained import Grammar
from ftkit.inference.service import ServedModel
from ftkit.modeling.tool_calls import ToolCallFormat
from ftkit.patterns import PatternError, compile_pattern
from ftkit.schema.compiled_schema import CompiledSchema
from ftkit.schema.held_schema import held_part
from ftkit.server.chat.conversation import ToolDefinition
from ftkit.server.chat.request import ResponseFormat
from ftkit.server.chat.tool_choice import ToolUse
from ftkit.server.client_schema import ClientSchemas
from ftkit.server.errors import ApiError

__all__ = ["AnswerSchemas"]

_NO_ARGUMENTS = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
"""The parameters of a function that gives none: "omitting parameters defines a function with an empty list"."""


class AnswerSchemas:
    """The schemas of a request.

    Args:
        use: the tools that the answer may call.
        parallel: whether it may hold several calls.

    Attributes:
        answer: the schema of an answer that is not a call; None for any text.
        tools: the schemas of the arguments of the tools, by the tool's name, if calls are held to them.
        needs_grammar: whether the answer is held to any of them.
    """

    def __init__(self, use: ToolUse, *, parallel: bool) -> None:
        self._use, self._parallel = use, parallel and not use.named
        self._strict_answer, self._name = False, "answer"
        self.answer: dict[str, Any] | None = None
        self.tools: dict[str, dict[str, Any]] = {}
        self.needs_grammar = False

    async def check(
        self, response_format: ResponseFormat | None, tools: Sequence[ToolDefinition], schemas: ClientSchemas
    ) -> None:
        """Check the tools, and the schemas that answers are held to.

        Args:
            response_format: the request's ``response_format``.
            tools: the request's tools, those that the answer may not call among them.
            schemas: checks schemas of clients.

        Raises:
            ApiError: 400 if two tools have one name, or if a schema is not a JSON Schema, or is strict and has what
                OpenAI's strict mode refuses.
        """
        names: dict[str, int] = {}
        for at, tool in enumerate(tools):
            first = names.setdefault(tool.function.name, at)
            if first != at:
                message = (
                    f"Invalid value for 'tools[{at}].function.name': tools[{first}] has the name "
                    f"{tool.function.name[:100]!r} too; names of tools must differ."
                )
                raise ApiError(400, message, param=f"tools[{at}].function.name", code="invalid_value")
        checked = {at: await _parameters(at, tool, schemas) for at, tool in enumerate(tools)}
        if response_format is not None and response_format.type != "text":
            self.answer = await self._answer_schema(response_format, schemas)
        strict = any(tool.function.strict for _, tool in self._use.callable)
        self.needs_grammar = self._use.required or strict or self.answer is not None
        if self.needs_grammar:
            self.tools = {tool.function.name: checked[at] for at, tool in self._use.callable}

    async def grammar(self, model: ServedModel, schemas: ClientSchemas, form: ToolCallFormat | None) -> Grammar | None:
        """Compile the grammar, in a worker first: it may take any time and memory.

        Args:
            model: the model that answers.
            schemas: checks schemas of clients.
            form: how its calls are written; None if that is not known, and calls that it may choose to make cannot be
                held.

        Returns:
            The grammar; None if the answer may be anything.

        Raises:
            ApiError: 400 if answers cannot be held to a schema.
        """
        if not self.needs_grammar or (form is None and not self._use.required and self.answer is None):
            return None
        tools = tuple(
            CallableTool(name, json.dumps(self.tools[name]), bool(tool.function.strict))
            for name, tool in ((tool.function.name, tool) for _, tool in self._use.callable)
        )
        answer = None if self.answer is None else json.dumps(self.answer)
        spec = AnswerSpec(form or "tagged", tools, self._use.required, self._parallel, answer, self._strict_answer)
        try:
            await schemas.try_grammar(spec)
            return await model.answer_grammar(spec)
        except ToolSchemaError as error:
            at = next(at for at, tool in self._use.callable if tool.function.name == error.tool)
            raise _invalid_parameters(at, error.tool, error) from None
        except ConfigError as error:
            raise _invalid_format(self._name, error) from None

    def accepts(self, calls: list[dict[str, Any]]) -> bool:
        """Check finished calls against the parameters of strict tools, where no grammar could hold them.

        Args:
            calls: calls in OpenAI's form.

        Returns:
            Whether every call of a strict tool is valid.
        """
        strict = {tool.function.name for _, tool in self._use.callable if tool.function.strict}
        return all(
            call["function"]["name"] not in strict
            or _is_valid(json.loads(call["function"]["arguments"]), self.tools[call["function"]["name"]])
            for call in calls
        )

    async def _answer_schema(self, response_format: ResponseFormat, schemas: ClientSchemas) -> dict[str, Any]:
        given = response_format.json_schema
        if given is None:
            return {"type": "object"}
        self._name, self._strict_answer = given.name, bool(given.strict)
        try:
            return await schemas.check(given.json_schema, "strict" if given.strict else "any")
        except ConfigError as error:
            raise _invalid_format(given.name, error) from None


async def _parameters(at: int, tool: ToolDefinition, schemas: ClientSchemas) -> dict[str, Any]:
    """The schema of a tool's arguments."""
    function = tool.function
    given = _NO_ARGUMENTS if function.parameters is None else function.parameters
    try:
        if not function.strict:
            given = {"type": "object", **given}
            if given["type"] != "object":
                raise ConfigError(f'the root must have "type": "object", not {given["type"]!r:.100}')
        return await schemas.check(given, "strict_parameters" if function.strict else "any")
    except ConfigError as error:
        raise _invalid_parameters(at, function.name, error) from None


def _is_valid(arguments: Any, schema: dict[str, Any]) -> bool:
    kept, _ = held_part(schema, holds_pattern=_is_python_pattern)
    return not CompiledSchema.of(json.dumps(kept), False).problems(arguments)


def _is_python_pattern(pattern: str) -> bool:
    try:
        compile_pattern(pattern)
    except PatternError:
        return False
    return True


def _invalid_parameters(at: int, name: str, error: Exception) -> ApiError:
    message = f"Invalid schema for function '{name}': {str(error).removesuffix('.')}."
    return ApiError(400, message, param=f"tools[{at}].function.parameters", code="invalid_function_parameters")


def _invalid_format(name: str, error: Exception) -> ApiError:
    message = f"Invalid schema for response_format '{name}': {str(error).removesuffix('.')}."
    return ApiError(400, message, param="response_format")
