"""Parquet files, and what happens without pyarrow."""

from __future__ import annotations

import datetime
import json
import multiprocessing
import pickle
import re
import sys
from decimal import Decimal

import pytest

from ftkit import DataError, Dataset, MissingExtraError, Task
from ftkit.data.sources.batch_spool import BatchSpool

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


UNUSABLE = {
    "bytes": pa.array([b"\x89PNG", None]),
    "nan": pa.array([float("nan"), None]),
    "infinity": pa.array([float("inf"), None], pa.float32()),
    "duration": pa.array([datetime.timedelta(1), None]),
    "decimal": pa.array([Decimal("0.1000000000000000000001"), None]),
    "image": pa.array([{"bytes": b"\x89PNG", "path": None}, None]),
    "late day": pa.array([2**30, None], pa.date32()),
    "bad UTF-8": pa.array([b"\xff", None]).view(pa.string()),
    "nested": pa.array([[{"b": [float("nan")]}], None]),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_values_that_json_cannot_hold_matter_only_where_they_are_read(tmp_path, kind):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": ["x", "y"], "bad": UNUSABLE[kind]}), path)
    data = Dataset.load(path, TASK)
    assert data.check() == []
    assert [row.item for row in data] == [{"a": "x"}, {"a": "y", "bad": None}]
    assert data[0].prompt[-1]["content"] == "x"
    for reading in ({"task": Task(input="{bad}")}, {"task": TASK, "target": "bad"}, {"task": TASK, "id": "bad"}):
        (problem, *_) = Dataset.load(path, **reading).check()
        assert str(problem).startswith(f"{path}:1: bad")
    with pytest.raises(DataError, match=r"a\.parquet:1: bad"):
        data.write_openai(tmp_path / "a.jsonl")
    assert data.fingerprint == Dataset.from_rows((row.columns for row in data), TASK).fingerprint


@pytest.mark.parametrize("name", ["image", "images"])
def test_images_beside_messages_are_refused_by_name(tmp_path, name):
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    path = write_parquet(tmp_path / "a.parquet", [{"messages": messages, name: {"bytes": b"\x89PNG", "path": None}}])
    (problem,) = Dataset.load(path).check()
    assert "the row has media beside its text" in str(problem)


def test_one_large_row_group_is_never_in_memory_as_a_whole(tmp_path):
    path = write_parquet(
        tmp_path / "a.parquet", [{"a": f"{n} " + "x" * 2_000, "n": n} for n in range(8_000)], row_group_size=8_000
    )
    used = pa.default_memory_pool().bytes_allocated()
    data = Dataset.load(path, TASK)
    pool = pa.default_memory_pool()
    biggest = 0
    for number, row in enumerate(data):
        assert row.columns["n"] == number
        biggest = max(biggest, pool.bytes_allocated() - used)
    for number in (0, 7_999, 5, 2_345, 2_344, 7_999):
        assert data[number].columns["n"] == number
        biggest = max(biggest, pool.bytes_allocated() - used)
    assert biggest < 9 << 20  # of 16 MB


def test_the_rows_of_a_group_are_decoded_once(tmp_path, monkeypatch):
    path = write_parquet(tmp_path / "a.parquet", [{"a": f"t{n}", "n": n} for n in range(5_000)])
    data, decoded = Dataset.load(path, TASK), []
    source = type(data._corpus.sources[0])
    batches = source.batches
    monkeypatch.setattr(source, "batches", lambda *given: decoded.append(given) or batches(*given))
    order = [row.columns["n"] for row in data.shuffle(1)]
    assert sorted(order) == list(range(5_000))
    assert [data[at].columns["n"] for at in (4_999, 0, 2_500)] == [4_999, 0, 2_500]
    assert len(decoded) == 2  # the first row, then the whole group


def test_a_huge_row_is_one_bad_row(tmp_path):
    rows = [{"a": f"t{n}" * (400 if n == 3 else 1), "n": n} for n in range(6)]
    data = Dataset.load(write_parquet(tmp_path / "a.parquet", rows), TASK, max_line_bytes=500)
    (problem,) = data.check()
    assert re.search(r"a\.parquet:4: a row of [\d,]+ bytes, more than the 500 allowed", str(problem))
    assert data[4].columns["n"] == 4
    for _ in range(2):
        with pytest.raises(DataError, match=r"a\.parquet:4: a row of"):
            data[3]


def test_without_room_on_the_disk_single_rows_are_still_read(tmp_path, monkeypatch):
    path = write_parquet(tmp_path / "a.parquet", [{"a": f"t{n}", "n": n} for n in range(300)], row_group_size=100)
    monkeypatch.setattr(BatchSpool, "has_room", lambda self, size: False)
    monkeypatch.setattr(BatchSpool, "add", lambda *given: pytest.fail("written"))
    data = Dataset.load(path, TASK)
    assert [data[at].columns["n"] for at in (250, 251, 3, 4, 299)] == [250, 251, 3, 4, 299]


def test_a_dataset_in_another_process_reads_the_same_rows(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", [{"a": f"t{n}", "n": n} for n in range(300)], row_group_size=100)
    data = Dataset.load(path, TASK)
    assert [data[at].columns["n"] for at in (250, 251, 3, 4)] == [250, 251, 3, 4]
    copy = pickle.loads(pickle.dumps(data))
    assert [copy[at].columns["n"] for at in (299, 298, 0)] == [299, 298, 0]
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(columns_of, (data,)) == [data[at].columns for at in range(300)]


def columns_of(data):
    return [data[at].columns for at in range(300)]


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
