"""``input``, ``preferred_output``, ``non_preferred_output``: OpenAI's form of preferences, read by other hosts too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ftkit.data.formats.base import Conversation, RawRow, list_of, switch_of
from ftkit.data.formats.messages import read_tools
from ftkit.data.formats.preference import Part, read_pair
from ftkit.data.strict_json import parse
from ftkit.errors import DataError

__all__ = ["OpenAIPreference"]


class OpenAIPreference:
    """``{"input": {"messages": […], "tools": […], "parallel_tool_calls": …}, "preferred_output": […],
    "non_preferred_output": […]}``; each output is one assistant message.

    Source: the guide to direct preference optimisation, https://platform.openai.com/docs/guides/direct-preference-optimization.
    """

    name: ClassVar[str] = "openai_preference"
    needs: ClassVar[str] = "input, preferred_output and non_preferred_output"
    answer: ClassVar[str] = "preferred_output"
    rejected: ClassVar[str | None] = "non_preferred_output"
    answered: ClassVar[bool] = True
    reads = ("input", "preferred_output", "non_preferred_output")

    def recognises(self, columns: Mapping[str, Any]) -> bool:
        return all(column in columns for column in self.reads)

    def conversation(self, row: RawRow) -> Conversation:
        asked = self._input(row)
        prompt = ("input.messages", list_of(asked, "input.messages"))
        messages, worse = read_pair(row, prompt, _output(row, "preferred_output"), _output(row, "non_preferred_output"))
        return Conversation(
            messages,
            read_tools(
                asked.columns.get("input.tools"), row.place, "input.tools", nulls_are_absent=row.nulls_are_absent
            ),
            switch_of(asked, "input.parallel_tool_calls"),
            rejected=worse,
        )

    def _input(self, row: RawRow) -> RawRow:
        """The keys of ``input``, each called as errors call it: ``input.messages``."""
        value = row.columns.get("input")
        if isinstance(value, str):
            value = parse(value, row.place, "input")
        if not isinstance(value, Mapping):
            what = "missing" if value is None else f"must be an object with messages, this is a {type(value).__name__}"
            raise DataError(what, place=row.place, field="input")
        return RawRow({f"input.{key}": item for key, item in value.items()}, row.place, row.nulls_are_absent)


def _output(row: RawRow, column: str) -> Part:
    given = list_of(row, column)
    if len(given) > 1:
        raise DataError(
            f"{len(given)} messages; an output is exactly one assistant message. Turns that both outputs begin with "
            "belong at the end of input.messages",
            place=row.place,
            field=column,
        )
    return column, given
