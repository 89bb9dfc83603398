"""``input``, ``preferred_output``, ``non_preferred_output``: OpenAI's form of preferences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from typing_extensions import override

from ftkit.data.formats.base import Conversation, Format, RawRow, read_boolean, read_list
from ftkit.data.formats.messages import MEDIA
from ftkit.data.formats.openai import openai_request, without_weight
from ftkit.data.formats.preference_pair import Part, read_pair
from ftkit.data.formats.tools import read_tools
from ftkit.data.row import Row
from ftkit.data.strict_json import parse_json
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import DataError

__all__ = ["OpenAIPreference"]


class OpenAIPreference(Format):
    """Preferences in OpenAI's form; each output is one assistant message.

    ``{"input": {"messages": […], "tools": […], "parallel_tool_calls": …}, "preferred_output": […],
    "non_preferred_output": […]}``

    Source: https://platform.openai.com/docs/guides/direct-preference-optimization.
    """

    name = "openai_preference"
    required = "input, preferred_output and non_preferred_output"
    answer_field = "preferred_output"
    rejected_field = "non_preferred_output"
    columns = ("input", "preferred_output", "non_preferred_output")

    @override
    def matches(self, columns: Mapping[str, Any]) -> bool:
        return all(column in columns for column in self.columns)

    @override
    def read(self, row: RawRow) -> Conversation:
        request = self._input(row)
        prompt = ("input.messages", read_list(request, "input.messages"))
        messages, worse = read_pair(row, prompt, _output(row, "preferred_output"), _output(row, "non_preferred_output"))
        return Conversation(
            messages,
            read_tools(
                request.columns.get("input.tools"), row.place, "input.tools", nulls_are_absent=request.nulls_are_absent
            ),
            read_boolean(request, "input.parallel_tool_calls"),
            rejected=worse,
        )

    @override
    def write(self, row: Row) -> dict[str, Any]:
        if row.margin is not None:
            raise DataError(
                ErrorText(
                    "OpenAI's preferences have no margin. Leave ", Argument("margin"), " out, or write TRL's form"
                ),
                place=row.place,
                field="margin",
            )
        return {
            "input": openai_request(row, [without_weight(message) for message in row.prompt]),
            "preferred_output": [row.require_answer()],
            "non_preferred_output": [row.rejected_messages[-1]],
        }

    def _input(self, row: RawRow) -> RawRow:
        """The keys of ``input`` as columns named ``input.messages``, ``input.tools``, …, as errors name them."""
        value = row.columns.get("input")
        if isinstance(value, str):
            value = parse_json(value, row.place, "input")
            row = replace(row, nulls_are_absent=False)
        if not isinstance(value, Mapping):
            problem = (
                "missing" if value is None else f"must be an object with messages, this is a {type(value).__name__}"
            )
            raise DataError(problem, place=row.place, field="input")
        for key in ("system", "functions", "function_call", *MEDIA):
            if value.get(key) not in (None, "", [], {}):
                raise DataError(
                    "not read inside input; write messages, tools and parallel_tool_calls only",
                    place=row.place,
                    field=f"input.{key}",
                )
        return replace(row, columns={f"input.{key}": item for key, item in value.items()})


def _output(row: RawRow, column: str) -> Part:
    messages = read_list(row, column)
    if len(messages) > 1:
        raise DataError(
            f"{len(messages)} messages; an output is exactly one assistant message. Turns that both outputs begin with "
            "belong at the end of input.messages",
            place=row.place,
            field=column,
        )
    return column, messages
