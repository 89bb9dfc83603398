"""A job arrives as it was sent: the same rows, in the same order, and every file that the recipe names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import ftkit as ft
from ftkit.backends.remote.job_description import describe_job, open_job
from ftkit.training.rehearsal_rows import open_rehearsal

TASK = ft.Task("Answer.", input="{q}")


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ft.Recipe]:
    """Send a job to another folder, forget the files here, and open it there."""
    received = tmp_path / "received"
    received.mkdir()

    def move(recipe: ft.Recipe, data: ft.Dataset, validation: ft.Dataset | None = None) -> ft.Recipe:
        def send(file: Path, digest: str) -> None:
            shutil.copyfile(file, received / digest)

        described = json.loads(json.dumps(describe_job(recipe, data, validation, send, backend="ssh", machine="box")))
        wanted = [[row.prompt for row in rows] for rows in (data, validation or [])]
        places = [str(row.place) for row in data]
        for file in tmp_path.glob("rows*"):
            file.unlink()
        for _ in range(2):
            job = open_job(described, "run", received)
            assert [[row.prompt for row in rows] for rows in (job.data, job.validation or [])] == wanted
            assert job.data.fingerprint == data.fingerprint
            assert [str(row.place) for row in job.data] == places
        return job.recipe

    return move


def test_rows_of_files_of_any_kind_arrive(moved: Callable[..., ft.Recipe], tmp_path: Path) -> None:
    lines = [{"q": f"question {n}", "a": str(n)} for n in range(900)]
    as_json = "".join(json.dumps(line) + "\n" for line in lines)
    as_csv = "q,a\n" + "".join(f"{line['q']},{line['a']}\n" for line in lines)
    for name, content in (("rows 1.jsonl", as_json), ("rows.csv", as_csv)):
        (tmp_path / name).write_text(content)
        data = ft.Dataset.load(tmp_path / name, TASK, target="a")
        train, validation = data.split(validation=0.4, seed=3)  # their rows are listed in files of their own
        assert moved(ft.SFT(), train, validation) == ft.SFT()
    data = ft.Dataset.from_rows(lines[:5], TASK, target="a")
    moved(ft.SFT(), data)


@dataclass
class Bill:
    """A class whose canonical form writes the default, which the schema alone does not say."""

    total: float
    currency: str = "EUR"


def test_the_canonical_answers_of_a_class_arrive(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"q": "1", "a": {"total": 1}}\n{"q": "2", "a": {"total": 2.50}}\n')
    data = ft.Dataset.load(tmp_path / "rows.jsonl", ft.Task("x", input="{q}", output=Bill), target="a")

    def send(file: Path, digest: str) -> None:
        shutil.copyfile(file, tmp_path / digest)

    described = json.loads(json.dumps(describe_job(ft.SFT(), data, None, send, backend="ssh", machine="box")))
    assert described["data"]["forms"] is not None
    opened = open_job(described, "run", tmp_path).data
    assert [row.completion["content"] for row in opened] == [row.completion["content"] for row in data]


def test_the_prompts_that_a_recipe_rehearses_arrive(moved: Callable[..., ft.Recipe], tmp_path: Path) -> None:
    prompts = tmp_path / "rows of mine.jsonl"
    turns = [
        {"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": "yes"}]} for n in range(40)
    ]
    prompts.write_text("".join(json.dumps(turn) + "\n" for turn in turns))
    data = ft.Dataset.from_rows([{"q": "x", "a": "y"}], TASK, target="a")
    recipe = ft.SFT(preserve={"rows": str(prompts)})
    arrived = moved(recipe, data)
    assert arrived.preserve is not None
    assert len(open_rehearsal(arrived.preserve)) == 40
    with pytest.raises(ft.DataError, match="there is no file"):
        moved(recipe, data)
    assert moved(ft.SFT(preserve={"share": 0.5}), data) == ft.SFT(preserve={"share": 0.5})
