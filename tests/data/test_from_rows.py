"""Rows that are already in Python."""

from __future__ import annotations

import datetime
import enum
import re
import stat
from decimal import Decimal

import numpy as np
import pytest
from pydantic import BaseModel

from ftkit import ConfigError, DataError, Dataset, Task

TASK = Task(input="{a}")


class Colour(enum.Enum):
    RED = "red"


class Visit(BaseModel):
    when: datetime.date


def test_a_generator_is_read_once_and_kept(own_home):
    data = Dataset.from_rows(({"a": f"t{n}", "y": n} for n in range(3)), TASK, name="mine")
    assert [row.columns["y"] for row in data] == [0, 1, 2]
    assert [row.columns["y"] for row in data] == [0, 1, 2]
    assert str(data[2].place) == "mine:3"
    (path,) = data.sources
    assert path.parent == own_home / "datasets"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_equal_rows_are_kept_once(own_home):
    rows = [{"a": "x"}]
    assert Dataset.from_rows(rows, TASK).sources == Dataset.from_rows(iter(rows), TASK).sources
    assert len(list((own_home / "datasets").iterdir())) == 1


def test_values_become_json(own_home):
    row = {
        "a": Colour.RED,
        "day": datetime.datetime(2026, 1, 2, 3),
        "n": np.int64(3),
        "v": np.array([1.5]),
        "t": (1, 2),
        "visit": Visit(when="2026-01-02"),
    }
    assert Dataset.from_rows([row], TASK)[0].columns == {
        "a": "red",
        "day": "2026-01-02T03:00:00",
        "n": 3,
        "v": [1.5],
        "t": [1, 2],
        "visit": {"when": "2026-01-02"},
    }


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([{"a": "x"}, "y"], "rows:2: a row must be a mapping .* this is a str"),
        ([{"a": {"b": [object()]}}], r"rows:1: a\.b\[0\]: a value of type object has no form in JSON"),
        ([{"a": {1: 2}}], "the key 1 is not a text"),
        ([{1: 2}], "the name of the column 1 is not a text"),
        ([{"a": "\ud83d"}], "half of a surrogate pair"),
        ([], "rows holds no rows"),
        ({"train": [], "test": []}, "this is a dict of train, test"),
        ("a.jsonl", "use Dataset.load"),
    ],
)
def test_what_cannot_be_kept(rows, text, own_home):
    with pytest.raises((DataError, ConfigError), match=text):
        Dataset.from_rows(rows, TASK)
    assert not [path for path in (own_home / "datasets").glob("*") if path.suffix == ".part"]


class Level:
    """Wraps a value in lists."""

    def __new__(cls, depth, value):
        for _ in range(depth):
            value = [value]
        return value


@pytest.mark.parametrize("depth", [101, 600, 5_000, 200_000])
def test_deep_values_are_refused_by_name(depth):
    with pytest.raises(DataError, match=r"^rows:2: a\S{1,100}: nested too deeply: more than 100 levels$"):
        Dataset.from_rows([{"a": Level(99, "x")}, {"a": Level(depth, "x")}], TASK)


def test_a_value_that_contains_itself():
    value = []
    value += [value, value]
    with pytest.raises(DataError, match="nested too deeply"):
        Dataset.from_rows([{"a": value}], TASK)


UNUSABLE = [float("nan"), float("-inf"), b"\x89PNG", datetime.timedelta(1), Decimal("0.1000000000000000000001")]


@pytest.mark.parametrize("value", UNUSABLE)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [{"b": value}]])
def test_values_that_json_cannot_hold_matter_only_where_they_are_read(value, wrap, tmp_path):
    rows = [{"a": "x", "c": wrap(value), "d": 1}, {"a": "y", "c": None, "d": 2}]
    data = Dataset.from_rows(rows, TASK)
    assert [row.prompt[-1]["content"] for row in data] == ["x", "y"]
    assert list(data[0].columns) == ["a", "c", "d"]
    assert data[0].item == {"a": "x", "d": 1}
    for reading in ({"task": Task(input="{c}")}, {"task": TASK, "target": "c"}, {"task": TASK, "group": "c"}):
        (problem, *_) = Dataset.from_rows(rows, **reading).check()
        assert re.match(r"rows:1: c(\[0\]\.b)?: .*(not JSON|no form in JSON|no float equals)", str(problem))
    for write in (data.write_trl, data.write_openai):
        with pytest.raises(DataError, match=r"rows:1: c"):
            write(tmp_path / "x.jsonl")


def test_rows_with_different_values_that_json_cannot_hold_differ():
    prints = [Dataset.from_rows([{"a": "x", "c": value}], TASK).fingerprint for value in (*UNUSABLE, b"x", None)]
    assert len(set(prints)) == len(prints)
    again = Dataset.from_rows((row.columns for row in Dataset.from_rows([{"a": "x", "c": UNUSABLE[2]}], TASK)), TASK)
    assert again.fingerprint == prints[2]


def test_missing_values_of_pandas():
    pandas = pytest.importorskip("pandas")
    days = [pandas.Timestamp("2026-01-02"), pandas.NaT]
    frame = pandas.DataFrame({"a": ["x", "y"], "score": [1.0, None], "day": days})
    frame["count"] = pandas.array([1, None], dtype="Int64")
    data = Dataset.from_rows(frame.to_dict("records"), TASK)
    assert data[0].columns == {"a": "x", "score": 1.0, "day": "2026-01-02T00:00:00", "count": 1}
    assert data.check() == []
    assert data[1].item == {"a": "y", "count": None}


def test_a_hugging_face_dataset(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    datasets = pytest.importorskip("datasets")
    messages = [
        [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": 1}],
        [{"role": "user", "content": "r"}, {"role": "assistant", "content": "b"}],
    ]
    data = Dataset.from_rows(datasets.Dataset.from_list([{"messages": item} for item in messages]))
    assert [row.messages for row in data] == messages
    with pytest.raises(ConfigError, match="DatasetDict"):
        Dataset.from_rows(datasets.DatasetDict({"train": datasets.Dataset.from_list([{"a": 1}])}))


def test_the_same_rows_given_again_leave_the_first_dataset_as_it_was():
    rows = [{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}]
    first = Dataset.from_rows(rows)
    assert Dataset.from_rows(rows).fingerprint == first.fingerprint
    assert len(list(first)) == 1
