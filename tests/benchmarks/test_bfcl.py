"""The benchmark on the Berkeley set: its rows in OpenAI's form, and the set's own checker as a metric."""

from __future__ import annotations

import importlib.util
import json
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import bfcl
from ftkit.data import Dataset

ROW = {
    "id": "simple_python_0",
    "category": "simple_python",
    "question": [[{"role": "user", "content": "Book the trip."}]],
    "function": [
        {
            "name": "trips.book",
            "description": "Book a trip.",
            "parameters": {
                "type": "dict",
                "required": ["city", "price"],
                "properties": {
                    "city": {"type": "string"},
                    "price": {"type": "float"},
                    "guests": {"type": "array", "items": {"type": "dict", "properties": {"age": {"type": "integer"}}}},
                    "insured": {"type": "boolean", "optional": True},
                },
            },
        }
    ],
    "ground_truth": [
        {
            "trips.book": {
                "city": ["Ulm", "Ulm, DE"],
                "price": ["", 9.5],
                "guests": [[{"age": [7]}]],
                "insured": [True, ""],
            }
        }
    ],
}


def test_a_row_becomes_a_chat_with_tools_and_the_first_allowed_values() -> None:
    row = bfcl.conversation(ROW)
    (call,) = row["messages"][-1]["tool_calls"]
    assert call["function"]["name"] == "trips_book"
    assert json.loads(call["function"]["arguments"]) == {"city": "Ulm", "price": 9.5, "guests": [{"age": 7}]}
    (tool,) = row["tools"]
    parameters = tool["function"]["parameters"]
    assert parameters["type"] == "object"
    assert parameters["properties"]["price"] == {"type": "number"}
    assert parameters["properties"]["guests"]["items"]["type"] == "object"
    assert parameters["properties"]["insured"] == {"type": "boolean"}
    (read,) = Dataset.from_rows([row])
    assert read.completion is not None
    assert read.completion["tool_calls"][0]["function"]["name"] == "trips_book"
    assert read.item["ground_truth"] == ROW["ground_truth"]


needs_the_set = pytest.mark.skipif(
    importlib.util.find_spec("bfcl_eval") is None, reason="pip install --no-deps bfcl-eval"
)


def said(row: dict[str, Any], calls: list[Any] | None) -> Any:
    return SimpleNamespace(tool_calls=calls, item=row)


@needs_the_set
@pytest.mark.parametrize("category", bfcl.CATEGORIES)
def test_the_sets_checker_accepts_every_answer_that_is_written(category: str) -> None:
    judged, rows = bfcl.metric(), list(bfcl.rows(category))
    assert len(rows) == {"simple_python": 400, "multiple": 200}[category]
    refused = [row["id"] for row in rows if not judged.row_score(said(row, row["messages"][-1]["tool_calls"]))]
    assert refused == []


@needs_the_set
def test_the_sets_checker_refuses_what_is_wrong() -> None:
    judged, row = bfcl.metric(), bfcl.conversation(ROW)
    (call,) = row["messages"][-1]["tool_calls"]
    assert judged.row_score(said(row, [call])) == 1
    for change in ({"city": "Bern"}, {"price": "9.5"}, {"surprise": 1}):
        arguments = {**json.loads(call["function"]["arguments"]), **change}
        wrong = {"function": {"name": "trips_book", "arguments": json.dumps(arguments)}}
        assert judged.row_score(said(row, [wrong])) == 0
    assert judged.row_score(said(row, None)) == 0
    assert judged.row_score(said(row, [call, call])) == 0
    assert judged.verdict(said(row, [{"function": {"name": "x", "arguments": "{"}}]))["valid"] is False
