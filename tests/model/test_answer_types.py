"""The class of an answer is known to type checkers, and in other processes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import ftkit as ft
from ftkit.store import RunRecord, Store

SCRIPT = """
from typing import Literal
import ftkit as ft
from pydantic import BaseModel

class Visit(BaseModel):
    age: int

Intent = Literal["pay", "ask"]
visit = ft.Task("Extract.", input="{note}", output=Visit)
text = ft.Task("Answer.", input="{note}")
schema = ft.Task("Extract.", input="{note}", output={"type": "object"})
intent: ft.Task[Intent] = ft.Task("Which?", input="{note}", output=Intent)

data = ft.Dataset.load("rows.jsonl", visit, target="record")
train, test = data.split(test=0.2)
run = ft.train(ft.SFT(), train, backend="local:x").wait()
reveal_type(run.model.predict(note="a"))  # Visit
reveal_type(run.model.predict(note="a", timeout=5))  # Visit
reveal_type(ft.Model("local:x", text).predict(note="a"))  # str
reveal_type(ft.Model("local:x", schema).predict(note="a"))  # dict[str, Any]
reveal_type(ft.Model("local:x", intent).predict(note="a"))  # Literal['pay'] | Literal['ask']
reveal_type(ft.Model("local:x", visit).predict_many([{"note": "a"}]))  # list[Visit]
reveal_type(ft.Model("local:x", visit).predict_many([{"note": "a"}], on_error="return"))  # list[Visit | FtkitError]
reveal_type(ft.Model("local:x", Visit).predict(note="a"))  # Visit
reveal_type(ft.runs.get("r").model.predict(note="a"))  # Any
reveal_type(ft.runs.get("r").model.bind(Visit).predict(note="a"))  # Visit
reveal_type(test[0:3].with_task(text).task.parse("a"))  # str
reveal_type(visit.parse("{}"))  # Visit

async def ask() -> None:
    reveal_type(await run.model.apredict(note="a"))  # Visit
    reveal_type(await run.model.apredict_many([{"note": "a"}]))  # list[Visit]
"""


@pytest.mark.parametrize("settings", ["those of this project", pytest.param("none of its own", marks=pytest.mark.slow)])
def test_mypy_knows_what_a_model_answers(settings: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    # With the project's settings mypy reads ftkit from the cache that `make lint` filled.
    root = Path(ft.__file__).parents[1]
    where = (root, root / ".mypy_cache") if settings == "those of this project" else (tmp_path, tmp_path / "cache")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(where[1]), str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=where[0])
    assert done.returncode == 0, done.stdout
    found = re.findall(r'Revealed type is "(.*)"', done.stdout)
    short = [re.sub(r"\b(builtins|script|ftkit\.errors)\.", "", one) for one in found]
    assert short == re.findall(r"# (.*)", SCRIPT)


def test_pyright_agrees(tmp_path: Path) -> None:
    beside = Path(sys.executable).with_name("basedpyright")
    program = str(beside) if beside.exists() else shutil.which("basedpyright")
    assert program is not None
    (tmp_path / "script.py").write_text(SCRIPT)
    where = {"typeCheckingMode": "strict", "extraPaths": [str(Path(ft.__file__).parents[1])]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(where))
    command = [program, "--outputjson", "--pythonpath", sys.executable, "--project", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    found = json.loads(done.stdout)["generalDiagnostics"]
    shown = [re.search(r' is "(.*)"$', one["message"]) for one in found if one["severity"] == "information"]
    types = [one[1].replace("Literal['pay', 'ask']", "Literal['pay'] | Literal['ask']") for one in shown if one]
    assert types == re.findall(r"# (.*)", SCRIPT)


class Visit(BaseModel):
    age: int


def stored_run(cls: Any) -> str:
    task = ft.Task("Extract.", input="{note}", output=cls)
    record = RunRecord(
        id="visits",
        backend="local",
        model="smollm2-135m",
        created_at=0.0,
        recipe=ft.SFT().model_dump(mode="json"),
        task=task.model_dump(mode="json"),
        answer_class=task.answer_class,
        rows=2,
        data_fingerprint="",
        state="succeeded",
    )
    Store().create(record)
    return record.id


def test_another_process_imports_the_class() -> None:
    run_id = stored_run(Visit)
    assert Store().get(run_id).answer_class == "tests.model.test_answer_types:Visit"
    task = ft.runs.get(run_id).task
    assert isinstance(task.parse('{"age": 3}'), Visit)
    code = f"import ftkit as ft; print(type(ft.runs.get({run_id!r}).task.parse('{{\"age\": 3}}')).__name__)"
    folder = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    assert done.stdout.strip() == "Visit"


def test_a_class_that_cannot_be_imported_is_a_warning_that_says_what_to_do() -> None:
    class Local(BaseModel):
        age: int

    run = ft.runs.get(stored_run(Local))
    with pytest.warns(UserWarning, match=r"for objects use run\.model\.bind\("):
        task = run.task
    assert task.parse('{"age": 3}') == {"age": 3}
    assert isinstance(task.bind(Visit).parse('{"age": 3}'), Visit)


def test_a_model_is_bound_to_a_class(tiny_model: str) -> None:
    task = ft.Task.from_yaml(ft.Task("Extract.", input="{note}", output=Visit).to_yaml())
    model = ft.Model(f"local:{tiny_model}", task)
    assert model.task.parse('{"age": 3}') == {"age": 3}
    assert isinstance(model.bind(Visit).task.parse('{"age": 3}'), Visit)
    assert model.task.parse('{"age": 3}') == {"age": 3}  # unchanged

    class Other(BaseModel):
        years: int

    with pytest.raises(ft.ConfigError, match="is not this task's output"):
        model.bind(Other)
    with pytest.raises(ft.ConfigError, match="which task should"):
        ft.Model(f"local:{tiny_model}", Visit)


def test_a_generic_task_is_a_task() -> None:
    assert ft.Task[Visit] is ft.Task
    assert ft.Task[Visit]("Extract.", output=Visit) == ft.Task("Extract.", output=Visit)
