"""What holds for the package as a whole: light to import, honest about what is missing, errors that travel."""

from __future__ import annotations

import inspect
import json
import pickle
import subprocess
import sys
from typing import Any

import pytest

import ftkit as ft
from ftkit import errors

HEAVY = ("torch", "transformers", "peft", "bitsandbytes", "openai", "httpx", "pandas", "numpy", "scipy", "pyarrow")


def python(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_import_is_light() -> None:
    loaded = json.loads(python("import sys, json, ftkit; print(json.dumps(list(sys.modules)))"))
    assert not set(HEAVY) & set(loaded)


def test_declaring_task_data_and_recipe_stays_light() -> None:
    loaded = json.loads(
        python(
            "import sys, json, ftkit as ft\n"
            "task = ft.Task('Extract.', input='{note}', output={'type': 'object'})\n"
            "ft.Dataset.from_rows([{'note': 'a', 'record': {}}], task, target='record')\n"
            "ft.SFT(adapter=ft.QLoRA())\n"
            "print(json.dumps(list(sys.modules)))"
        )
    )
    assert not set(HEAVY) & set(loaded)


def test_every_public_name_is_there() -> None:
    for name in ft.__all__:
        assert getattr(ft, name) is not None
    assert set(ft.__all__) == set(dir(ft))
    with pytest.raises(AttributeError, match="no attribute 'finetune'"):
        ft.finetune  # noqa: B018


@pytest.mark.parametrize("missing", ["torch", "peft"])
def test_a_missing_extra_gives_the_line_that_installs_it(missing: str) -> None:
    said = python(
        f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] == {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
import ftkit as ft
data = ft.Dataset.from_rows([{{"q": "a", "a": "b"}}], ft.Task("Say it.", input="{{q}}"), target="a")
for attempt in (
    lambda: ft.train(ft.SFT(), data, backend="local:smollm2-135m"),
    lambda: ft.Model("local:smollm2-135m", data.task).predict(q="a"),
):
    try:
        attempt()
    except ft.MissingExtraError as error:
        print(error)
"""
    )
    lines = said.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.endswith('pip install "ftkit[local]"')
        assert f"{missing} is not installed" in line


def _one_of_each() -> list[Any]:
    made: list[Any] = []
    for name in errors.__all__:
        kind = getattr(errors, name)
        if not (inspect.isclass(kind) and issubclass(kind, errors.FtkitError)):
            continue
        if kind is errors.MissingExtraError:
            made.append(kind("local", "training", "torch is not installed"))
        elif issubclass(kind, errors.DataError):
            made.append(kind("is empty", place=errors.Place("rows.jsonl", 3), field="messages[0].content"))
        elif kind is errors.OutputError:
            made.append(kind("missing", problem="missing_field", path="$.age", text="{}"))
        elif kind is errors.BusyError:
            made.append(kind("too many ask", retry_after_s=2.5))
        else:
            made.append(kind("something is wrong"))
    return made


@pytest.mark.parametrize("error", _one_of_each(), ids=lambda error: type(error).__name__)
def test_errors_survive_another_process(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
