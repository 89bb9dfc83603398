"""Recipes, adapters and graders that a script registers without a package reach the training process."""

from __future__ import annotations

import json

import pytest

from tests.plugin.tiny_runs import rated_rows, task_file

MODULE = """
from typing import ClassVar, Literal

from ftkit.data.formats import FORMATS, Conversation, Format, read_text
from ftkit.evaluation import metric
from ftkit.graders import GRADERS, SingleGrader
from ftkit.recipe import ADAPTERS, LOSSES, Recipe
from ftkit.recipe.adapters import LoRA
from ftkit.training.losses.sft import SFTLoss


class HalvedLoss(SFTLoss):
    def compute(self, forward, pack, examples):
        output = super().compute(forward, pack, examples)
        return output._replace(total=output.total / 2)


@LOSSES.register("halved")
class Halved(Recipe):
    loss_class: ClassVar = HalvedLoss
    kind: Literal["halved"] = "halved"


@metric("brevity")
def brevity(row):
    return 1 / (1 + len(row.text))


@GRADERS.register("length")
class Length(SingleGrader):
    type: Literal["length"] = "length"
    name: str = "length"

    @property
    def bounds(self):
        return 0.0, 1.0

    def reads(self):
        return frozenset()

    def score(self, item, sample):
        return min(1.0, len(sample.text) / 100)


@ADAPTERS.register("thin")
class Thin(LoRA):
    kind: Literal["thin"] = "thin"
    rank: int = 2


@FORMATS.register("talk")
class Talk(Format):
    name = "talk"
    columns = ("said", "reply")
    required = "said and reply"
    answer_field = "reply"

    def matches(self, columns):
        return "said" in columns and "reply" in columns

    def read(self, row):
        return Conversation(
            [
                {"role": "user", "content": read_text(row, "said")},
                {"role": "assistant", "content": read_text(row, "reply")},
            ]
        )
"""
SCRIPT = """
import sys
import ftkit as ft
sys.path.insert(0, "lib")
from halved import Halved, Thin

task = ft.Task.from_yaml("task.yaml")
rows = ft.Dataset.load("rows.jsonl", task, target="gold")
where = f"local:{sys.argv[1]}"
plain = dict(epochs=1, learning_rate=1e-2, batch_size=4, precision="fp32")
losses = []
talk = ft.Dataset.load("talk.jsonl")
assert talk.format == "talk"
measured = {"eval_metric": "brevity", "eval_max_output_tokens": 4}
for recipe in (Halved(adapter=Thin(), **plain), ft.SFT(adapter=ft.LoRA(rank=2), **measured, **plain)):
    run = ft.train(recipe, talk, backend=where, lint=False, validation=talk.take(2)).wait()
    losses.append(next(event.data["loss"] for event in run.events() if event.kind == "step"))
    looks = [event.data for event in run.events() if event.kind == "validation"]
    assert all(0 < look["brevity"] <= 1 for look in looks) if recipe.eval_metric else "brevity" not in looks[0]
print(losses[0] == losses[1] / 2, run.state, run.id)
from typing import Literal
from ftkit.recipe import LOSSES

@LOSSES.register("mine")
class Mine(ft.SFT):
    kind: Literal["mine"] = "mine"

try:
    ft.train(Mine(), rows, backend=where, lint=False)
except ft.RefusedError as error:
    print(error)
from ftkit.recipe import plugin_modules
from halved import Length

part = ft.StringCheckGrader(reference="x")
both = ft.MultiGrader(graders={"length": Length(), "part": part}, calculate_output="length + part")
print([module["name"] for module in plugin_modules(ft.RFT(grader=both))])
"""


@pytest.mark.slow
def test_classes_that_a_script_registers_reach_the_training_process_or_are_refused(installed, tiny_model):
    (installed.home / "lib").mkdir()
    (installed.home / "lib" / "halved.py").write_text(MODULE)
    (installed.home / "task.yaml").write_text(task_file())
    (installed.home / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rated_rows()))
    (installed.home / "talk.jsonl").write_text('{"said": "Bed?", "reply": "Four."}\n' * 8)
    halved, refused, graders = installed.python(SCRIPT, str(tiny_model)).splitlines()
    scaled, state, run_id = halved.split()
    assert (scaled, state) == ("True", "succeeded")
    assert run_id in installed.ftkit("runs", "show", run_id)
    assert refused.startswith("the loss 'mine' is defined in a script or notebook")
    assert "put the class into a module of its own" in refused
    assert graders == "['halved']"
