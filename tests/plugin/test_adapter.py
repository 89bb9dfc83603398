"""An adapter of the example package (VeRA) trains a model from Python, from a recipe file and from the command line."""

from __future__ import annotations

import json

import pytest

from tests.plugin.tiny_runs import RECIPE, rated_rows, task_file

PYTHON = """
import sys
import ftkit as ft
from ftkit.recipe import ADAPTERS

model = sys.argv[1]
ask = lambda run: ft.Model(run.model.name, task, sampling=ft.Sampling(max_output_tokens=8))
VeRA = ADAPTERS.get("vera")
task = ft.Task.from_yaml("task.yaml")
rows = ft.Dataset.load("rows.jsonl", task, target="gold")
recipe = ft.SFT(epochs=2, learning_rate=1e-2, batch_size=4, precision="fp32", adapter=VeRA(rank=8))
assert ft.load_recipe("vera.yaml") == recipe and ft.load_recipe("vera.yaml").fingerprint == recipe.fingerprint
try:
    ft.SFT(adapter={"kind": "vera", "rnk": 8})
except ft.ConfigError as error:
    print(error)
run = ft.train(recipe, rows, backend=f"local:{model}", lint=False).wait()
steps = [event.data for event in run.events() if event.kind == "step"]
print(steps[0]["loss"] > steps[-1]["loss"], isinstance(ask(run).predict(note="bed 1, 31 years"), str))
trainable = next(e.data["trainable_parameters"] for e in run.events() if "trainable_parameters" in e.data)
print(ft.plan(recipe, rows, [f"local:{model}"])[f"local:{model}"].trainable_parameters == trainable)
merged = ft.export(run.model, "merged", replay=rows, replay_rows=2, dtype="fp32", max_output_tokens=8)
print(merged.adapter, merged.form, bool(merged.servers))
adapter = ft.export(run.model, "adapter", form="adapter", replay=rows, replay_rows=2, dtype="fp32", max_output_tokens=8)
print([(server.name, server.takes) for server in adapter.servers])
try:
    ft.train(ft.SFT(adapter=VeRA()), rows, backend="openai:gpt-4.1-mini")
except ft.RefusedError as error:
    print(error.backend.partition(":")[0], error.fields)
"""


@pytest.mark.slow
def test_an_adapter_of_an_installed_package(installed, tiny_model):
    recipe = RECIPE.replace("{kind: lora, rank: 4}", "{kind: vera, rank: 8}")
    (installed.home / "vera.yaml").write_text("kind: sft\n" + recipe)
    (installed.home / "task.yaml").write_text(task_file())
    (installed.home / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rated_rows()))
    unknown, learned, counted, merged, servers, refused = installed.python(PYTHON, str(tiny_model)).splitlines()
    assert unknown == "SFT: adapter.rnk: there is no such field in VeRA; did you mean rank?"
    assert learned == "True True"
    assert counted == "True"
    assert merged == "vera merged True"
    assert servers == "[('vLLM', 'no')]"
    assert refused == "openai ('adapter.kind',)"
    words = ["--data", "rows.jsonl", "--task", "task.yaml", "--target", "gold", "--backend", f"local:{tiny_model}"]
    done = installed.ftkit(
        "train", *words, "--adapter", "vera", "--set", "epochs=1", "--set", "adapter.rank=4", "--no-lint"
    )
    assert "vera" in installed.ftkit("runs", "show", done.strip())
