"""The dataset as a sequence: views, identity, fingerprint, and how it looks."""

from __future__ import annotations

import json

import pytest

from ftkit import ConfigError, Dataset, Task

TASK = Task(input="{a}")


@pytest.fixture
def data(write_rows):
    return Dataset.load(write_rows([{"a": f"t{n}", "n": n} for n in range(10)]), TASK)


def numbers(part):
    return [row.columns["n"] for row in part]


def test_slices_and_rows(data):
    assert (len(data), data[3].columns["n"], data[-1].columns["n"]) == (10, 3, 9)
    assert numbers(data[2:5]) == [2, 3, 4]
    assert numbers(data[::-3]) == [9, 6, 3, 0]
    assert numbers(data.take(3)) == [0, 1, 2]
    assert len(data.take(99)) == 10
    with pytest.raises(IndexError, match="row 10 of a dataset of 10 rows"):
        data[10]
    with pytest.raises(ConfigError, match="negative"):
        data.take(-1)


def test_views_of_views(data):
    odd = data.filter(lambda row: row.columns["n"] % 2)
    assert numbers(odd) == [1, 3, 5, 7, 9]
    shuffled = odd.shuffle(1)
    assert sorted(numbers(shuffled)) == numbers(odd)
    assert numbers(shuffled) == numbers(odd.shuffle(1)) != numbers(odd.shuffle(2))
    assert numbers(shuffled[1:3]) == numbers(shuffled)[1:3]
    assert shuffled[0].columns["n"] == numbers(shuffled)[0]
    assert numbers(data) == list(range(10))
    assert len(data.filter(lambda row: False)) == 0


def test_two_iterations_at_once(data):
    assert [(a.columns["n"], b.columns["n"]) for a, b in zip(data, data.shuffle(1), strict=True)] == list(
        zip(numbers(data), numbers(data.shuffle(1)), strict=True)
    )


def test_several_files_are_one_sequence(write_rows, write):
    first = write_rows([{"a": "x"}, {"a": "y"}], "first.jsonl")
    data = Dataset.load([first, write("second.csv", "a\nz\n")], TASK)
    assert [str(row.place) for row in data] == ["first.jsonl:1", "first.jsonl:2", "second.csv:2"]
    assert sorted(row.columns["a"] for row in data.shuffle(1)) == ["x", "y", "z"]
    assert repr(data) == "Dataset(first.jsonl and 1 more: 3 rows, table)"


def test_repr(data):
    assert repr(data) == "Dataset(rows.jsonl: 10 rows, table)"
    assert repr(data[:3]) == "Dataset(rows.jsonl: 3 of 10 rows, table)"
    assert repr(Dataset.load("rows.jsonl", TASK, target="a")) == "Dataset(rows.jsonl: 10 rows, table, target='a')"


def test_ids(write_rows):
    by_content = Dataset.load(write_rows([{"a": "x", "b": 1}, {"b": 1, "a": "x"}, {"a": "y", "b": 1}]), TASK)
    first, same, other = [row.id for row in by_content]
    assert first == same != other
    assert len(first) == 16
    given = [{"a": "x", "id": 7, "key": {"k": "z"}}]
    assert Dataset.load(write_rows(given), TASK)[0].id == "7"
    assert Dataset.load(write_rows(given), TASK, id="key.k")[0].id == "z"


def test_fingerprint_is_of_the_rows(data, write, write_rows):
    rows = [{"n": n, "a": f"t{n}"} for n in range(10)]
    assert data.fingerprint == Dataset.from_rows(rows, TASK).fingerprint
    assert data.fingerprint == Dataset.load(write("b.json", json.dumps(rows, indent=1)), TASK).fingerprint
    assert data.fingerprint.startswith("sha256:")
    assert len({data.fingerprint, data[:9].fingerprint, data.shuffle(1).fingerprint, data[::-1].fingerprint}) == 4


def test_with_task(data, write_rows):
    other = data[2:4].with_task(Task("Say it.", input="{n}"))
    assert [row.prompt[-1]["content"] for row in other] == ["2", "3"]
    assert other.task == Task("Say it.", input="{n}")
    with pytest.raises(ValueError, match="the task reads z"):
        data.with_task(Task(input="{z}"))


def test_load_needs_a_path():
    with pytest.raises(ConfigError, match="at least one path"):
        Dataset.load([])


def test_one_pass_reads_the_rows_and_computes_the_fingerprint(data, monkeypatch):
    expected = Dataset.load("rows.jsonl", TASK).fingerprint
    assert data.check() == []
    monkeypatch.setattr(Dataset, "_read_columns", lambda self: pytest.fail("the rows are read again"))
    assert data.fingerprint == data[:].fingerprint == expected


def test_a_pass_that_ends_early_gives_no_fingerprint(data):
    expected = Dataset.load("rows.jsonl", TASK).fingerprint
    next(data.attempts())
    assert data.fingerprint == expected
