"""Parquet files, and what happens without pyarrow."""

from __future__ import annotations

import datetime
import json
import sys
from decimal import Decimal

import pytest

from ftkit import DataError, Dataset, MissingExtraError, Task

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

TASK = Task(input="{a}")


def write_parquet(path, rows, **options):
    pq.write_table(pa.Table.from_pylist(rows), path, **options)
    return path


def test_row_groups_in_any_order(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", [{"a": f"t{n}", "n": n} for n in range(50)], row_group_size=7)
    data = Dataset.load(path, TASK)
    assert [row.columns["n"] for row in data] == list(range(50))
    assert [row.place.line for row in data] == list(range(1, 51))
    assert sorted(row.columns["n"] for row in data.shuffle(1)) == list(range(50))
    assert data[48].columns == {"a": "t48", "n": 48}


def test_values_that_json_does_not_have(tmp_path):
    row = {"a": "x", "day": datetime.date(2026, 1, 2), "price": Decimal("12.50"), "none": None, "list": [1, 2]}
    columns = Dataset.load(write_parquet(tmp_path / "a.parquet", [row]), TASK)[0].columns
    assert columns == {"a": "x", "day": "2026-01-02", "price": 12.5, "none": None, "list": [1, 2]}


@pytest.mark.parametrize(("value", "text"), [(b"\x89PNG", "type bytes has no form in JSON"), (float("nan"), "nan")])
def test_values_that_cannot_be_kept(tmp_path, value, text):
    path = write_parquet(tmp_path / "a.parquet", [{"a": "x", "bad": value}, {"a": "y", "bad": value}])
    with pytest.raises(DataError, match=rf"a\.parquet:1: bad: .*{text}"):
        list(Dataset.load(path, TASK))


def test_nulls_that_arrow_fills_in_are_absent_keys(tmp_path):
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    tools = [
        {"type": "function", "function": {"name": "f", "parameters": {"x": {"type": "string"}}}},
        {"type": "function", "function": {"name": "g", "parameters": {"y": {"type": "string"}}}},
    ]
    messages = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "content": "r", "tool_call_id": "c1"},
        {"role": "assistant", "content": "a", "weight": 1},
    ]
    row = Dataset.load(write_parquet(tmp_path / "a.parquet", [{"messages": messages, "tools": tools}]))[0]
    assert row.messages == messages
    assert row.tools == tools


def test_nulls_inside_arguments_that_arrow_fills_in(tmp_path):
    def call(**arguments):
        calls = [{"function": {"name": "f", "arguments": arguments}}]
        return {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": calls}]}

    data = Dataset.load(write_parquet(tmp_path / "a.parquet", [call(x=1), call(y=2)]))
    assert [row.completion["tool_calls"][0]["function"]["arguments"] for row in data] == ['{"x": 1}', '{"y": 2}']


def test_nulls_inside_json_texts_stay(tmp_path):
    arguments = {"v": None, "w": 1}
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"default": None}}}]
    user, answer = {"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": [call]}
    worse = [{"role": "assistant", "content": "no"}]
    as_text = json.dumps
    shared = [{"from": "human", "value": "q"}, {"from": "function_call", "value": as_text([call["function"]])}]
    rows = [
        {"messages": as_text([user, answer]), "tools": as_text(tools)},
        {"messages": as_text([user, answer]), "tools": tools},
        {"conversations": shared, "tools": as_text([tools[0]["function"]])},
        {
            "input": as_text({"messages": [user], "tools": tools}),
            "preferred_output": as_text([answer]),
            "non_preferred_output": worse,
        },
    ]
    for number, row in enumerate(rows):
        read = Dataset.load(write_parquet(tmp_path / f"{number}.parquet", [row]))[0]
        assert read.completion["tool_calls"][0]["function"]["arguments"] == as_text(arguments)
        assert read.tools == tools or not isinstance(row.get("tools", ""), str)


def test_not_parquet(write):
    with pytest.raises(DataError, match="not a readable Parquet file"):
        Dataset.load(write("a.parquet", "a,b\n"), TASK)


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    path = write_parquet(tmp_path / "a.parquet", [{"a": "x"}])
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r'pip install "ftkit\[parquet\]"'):
        Dataset.load(path, TASK)
