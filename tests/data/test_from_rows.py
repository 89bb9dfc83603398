"""Rows that are already in Python."""

from __future__ import annotations

import datetime
import enum
import stat

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
        ([{"a": float("nan")}], "rows:1: a: nan is not JSON"),
        ([{"a": {"b": [object()]}}], r"rows:1: a\.b\[0\]: a value of type object has no form in JSON"),
        ([{"a": b"x"}], "type bytes"),
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
