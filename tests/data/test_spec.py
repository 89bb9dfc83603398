"""A dataset described for another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from ftkit import DataError, Dataset, Task


class Visit(BaseModel):
    name: str


TASK = Task("Extract.", input="{note}", output=Visit)


@pytest.fixture
def data(write_rows):
    rows = [{"text": f"n{n}", "gold": {"name": f"a{n}"}, "p": n % 9} for n in range(1000)]
    return Dataset.load(write_rows(rows), TASK, target="gold", columns={"note": "text"}, group="p")


def test_another_process_opens_the_same_rows(data, tmp_path):
    view = data.filter(lambda row: row.columns["p"] != 3).shuffle(5)[10:700]
    spec = view.to_spec(tmp_path / "run")
    text = json.dumps(spec)
    assert len(text) < 4000
    code = (
        "import json, sys, ftkit as ft; d = ft.Dataset.from_spec(json.load(sys.stdin));"
        "rows = list(d); about = [d.fingerprint, d.format, d.task.fingerprint];"
        "print(json.dumps([*about, [r.messages for r in rows], [r.group for r in rows]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], input=text, capture_output=True, text=True, check=True, cwd="/")
    assert json.loads(done.stdout) == [
        view.fingerprint,
        "table",
        TASK.fingerprint,
        [row.messages for row in view],
        [row.group for row in view],
    ]


@pytest.mark.parametrize("part", [slice(None), slice(5, 900, 3), slice(None, None, -1)])
def test_ranges_are_written_as_ranges(data, part, own_home):
    spec = data[part].to_spec()
    assert Dataset.from_spec(spec).fingerprint == data[part].fingerprint
    assert not own_home.exists()


def test_rows_from_an_iterable_can_be_opened_again():
    chats = [{"messages": [{"role": "user", "content": "q", "name": None}, {"role": "assistant", "content": "a"}]}]
    data = Dataset.from_rows(chats, name="mine")
    again = Dataset.from_spec(json.loads(json.dumps(data.to_spec())))
    assert [row.messages for row in again] == [row.messages for row in data]
    assert str(again[0].place) == "mine:1"


def test_a_changed_file_is_noticed(data, write_rows):
    spec = data.to_spec()
    os.utime("rows.jsonl", (1, 1))
    assert len(Dataset.from_spec(spec)) == 1000
    content = Path("rows.jsonl").read_text()
    Path("rows.jsonl").write_text(content.replace("n7", "n8"))
    with pytest.raises(DataError, match=r"rows\.jsonl .* has changed since the dataset was described"):
        Dataset.from_spec(spec)
    Path("rows.jsonl").unlink()
    with pytest.raises(DataError, match="no such file"):
        Dataset.from_spec(spec)


def test_a_changed_selection_is_noticed(data, tmp_path):
    spec = data.shuffle(1).to_spec(tmp_path / "run")
    (path,) = (tmp_path / "run").iterdir()
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(DataError, match="the selection of rows, has changed"):
        Dataset.from_spec(spec)
    path.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        Dataset.from_spec(spec)


def test_a_spec_of_another_version(data):
    with pytest.raises(DataError, match="version 99"):
        Dataset.from_spec({**data.to_spec(), "version": 99})


def test_a_known_fingerprint_is_part_of_the_spec(data, monkeypatch):
    assert data.to_spec()["fingerprint"] is None
    expected = data.fingerprint
    again = Dataset.from_spec(json.loads(json.dumps(data.to_spec())))
    monkeypatch.setattr(Dataset, "_read_columns", lambda self: pytest.fail("the rows are read again"))
    assert again.fingerprint == expected


def test_a_spec_of_version_0_1_has_no_fingerprint(data):
    spec = data.to_spec()
    del spec["fingerprint"]
    assert Dataset.from_spec(spec).fingerprint == data.fingerprint
