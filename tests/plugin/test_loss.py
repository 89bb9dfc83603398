"""A loss of the example package (unpaired preferences) trains a model from Python, from a recipe file and from the
command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.plugin.tiny_runs import RECIPE, rated_rows, task_file

PYTHON = """
import sys
import ftkit as ft
from ftkit.recipe import LOSSES, RecipeFacts

model = sys.argv[1]
ask = lambda run: ft.Model(run.model.name, task, sampling=ft.Sampling(max_output_tokens=8))
assert LOSSES.origin("thumbs") == "ftkit-clinic"
Thumbs = LOSSES.get("thumbs")
assert "torch" not in sys.modules
task = ft.Task.from_yaml("task.yaml")
rows = ft.Dataset.load("rows.jsonl", task, target="gold")
loaded = ft.load_recipe("thumbs.yaml")
recipe = Thumbs(epochs=6, learning_rate=1e-2, batch_size=4, precision="fp32", adapter=ft.LoRA(rank=4))
assert loaded == recipe and ft.load_recipe("thumbs.yaml").to_yaml() == recipe.to_yaml()
run = ft.train(recipe, rows, backend=f"local:{model}", lint=False).wait()
steps = [event.data for event in run.events() if event.kind == "step"]
print(steps[0]["loss"], steps[-1]["loss"], steps[-1]["rewards_accuracy"])
print(type(run.recipe).__name__, isinstance(ask(run).predict(note="bed 1, 31 years"), str))
plan = ft.plan(recipe, rows, [f"local:{model}"])
print(plan[f"local:{model}"].steps)
try:
    ft.train(recipe, rows.with_task(task), backend="openai:gpt-4.1-mini")
except ft.RefusedError as error:
    print(error.backend.partition(":")[0], error.fields)
try:
    bad = ft.Dataset.from_rows([{"note": "x", "gold": "y", "thumb": "sideways"}], task, target="gold")
    ft.train(recipe, bad, backend=f"local:{model}", lint=False).wait()
except ft.RunFailedError as error:
    print(error)
"""


def write(home: Path) -> None:
    (home / "thumbs.yaml").write_text("kind: thumbs\n" + RECIPE.replace("epochs: 2", "epochs: 6"))
    (home / "task.yaml").write_text(task_file())
    (home / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rated_rows()))


def test_a_loss_of_an_installed_package(installed, tiny_model):
    write(installed.home)
    losses, trained, steps, refused, failed = installed.python(PYTHON, str(tiny_model)).splitlines()
    first, last, accuracy = map(float, losses.split())
    assert first == 0.5  # the model is its own reference before the first step
    assert last < 0.4
    assert accuracy >= 0.75
    assert trained == "Thumbs True"
    assert steps == "18"
    assert refused == "openai ('kind',)"
    assert "column 'thumb' must say up or down, true or false, not 'sideways'" in failed


@pytest.mark.slow
def test_from_the_command_line(installed, tiny_model):
    write(installed.home)
    words = ["--data", "rows.jsonl", "--task", "task.yaml", "--target", "gold", "--backend", f"local:{tiny_model}"]
    run = installed.ftkit("train", "thumbs.yaml", *words, "--set", "epochs=1", "--set", "beta=0.5", "--no-lint").strip()
    shown = installed.ftkit("runs", "show", run)
    assert "thumbs" in shown
    assert "succeeded" in shown
