"""The functions that a model may call, in OpenAI's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ftkit.data.formats.nulls import drop_nulls
from ftkit.data.strict_json import parse_json
from ftkit.errors import DataError, Place

__all__ = ["read_tools"]

_SCHEMAS = ("parameters", "input_schema", "inputSchema")
"""The schema's key in OpenAI's form, in Anthropic's, and in that of the Model Context Protocol."""


def read_tools(value: Any, place: Place, field: str, *, nulls_are_absent: bool) -> list[dict[str, Any]] | None:
    """Check the functions that a model may call. A text is parsed as JSON.

    Bare functions (LLaMA-Factory's form, and Anthropic's with ``input_schema``) are converted.

    Args:
        value: the value of the tools column.
        place: of the row.
        field: name of the column.
        nulls_are_absent: whether nulls inside the functions are dropped. Those in a JSON text stay.

    Returns:
        The functions in OpenAI's form; None if there are none.

    Raises:
        DataError: the value is not a list of functions.
    """
    if isinstance(value, str):
        value = parse_json(value, place, field) if value.strip() else None
        nulls_are_absent = False  # what stands in a JSON text was written by its author, not filled in by Arrow
    if value is None or value == []:
        return None
    if not isinstance(value, list):
        raise DataError("must be a list of tools", place=place, field=field)
    return [
        _tool(drop_nulls(tool) if nulls_are_absent else tool, place, f"{field}[{number}]")
        for number, tool in enumerate(value)
    ]


def _tool(tool: Any, place: Place, field: str) -> dict[str, Any]:
    if isinstance(tool, str):  # of lists of JSON texts, which some Parquet files hold
        tool = parse_json(tool, place, field)
    if isinstance(tool, Mapping) and "function" not in tool and isinstance(tool.get("name"), str):
        if tool.get("type") not in (None, "function"):
            raise DataError(
                f"a tool of type {tool['type']!r:.60} that its host runs; only functions can be learned",
                place=place,
                field=field,
            )
        schema = next((tool[key] for key in _SCHEMAS if tool.get(key) is not None), None)
        function = {key: item for key, item in tool.items() if key not in ("type", *_SCHEMAS)}
        tool = {"type": "function", "function": function if schema is None else {**function, "parameters": schema}}
    inner = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        raise DataError('must be {"type": "function", "function": {"name": …}}', place=place, field=field)
    return dict(tool)
