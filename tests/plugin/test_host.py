"""A host of the example package: trains and answers from Python, from a recipe's grader, and from the command line."""

from __future__ import annotations

import json

import pytest

from tests.hosts.openai_host import OpenAIFake
from tests.hosts.serving import serving

PYTHON = """
import sys
import ftkit as ft
from ftkit.backends import backend_of
from ftkit.backends.grading import grading_setting
from ftkit.graders import Sample

run = ft.runs.get(sys.argv[1])
run.wait(progress=False)
print(run.state, run.record.backend, [step["loss"] for step in run.metrics])
print(run.model.predict(text="case 1"))
data = ft.Dataset.load("rows.jsonl", ft.Task.from_yaml("task.yaml"), target="team")
try:
    ft.train(ft.DPO(), data, backend="clinic-host:m")
except ft.RefusedError as refusal:
    print(refusal.backend, refusal.fields)
try:
    ft.train(ft.SFT(warmup_ratio=0.5), data, backend="clinic-host:m", lint=False)
except ft.RefusedError as refusal:
    print(refusal.backend, refusal.fields)
recipe = ft.load_recipe("rft.yaml")
(grade,) = recipe.grader.grade_many([({"team": "red"}, Sample("red"))], grading_setting())
print(grade.reward)
"""


@pytest.fixture
def host(installed, monkeypatch):
    fake = OpenAIFake()
    fake.spec, fake.provider = None, None
    fake.answers = lambda text: '{"steps": [], "result": 0.5}' if "Rate" in text else "red"
    with serving(fake):
        monkeypatch.setenv("CLINIC_HOST_URL", f"{fake.url}/v1")
        monkeypatch.setenv("CLINIC_HOST_KEY", fake.key)
        yield fake


def test_a_host_of_an_installed_package(installed, host):
    rows = [{"text": f"case {number}", "team": ("red", "blue")[number % 2]} for number in range(12)]
    (installed.home / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (installed.home / "task.yaml").write_text("instructions: Say which team.\ninput: '{text}'\n")
    (installed.home / "sft.yaml").write_text("kind: sft\nepochs: 1\nlearning_rate: 0.0003\n")
    (installed.home / "rft.yaml").write_text(
        "kind: rft\n"
        "grader:\n"
        "  type: score_model\n"
        "  model: clinic-host:judge\n"
        "  input: [{role: user, content: 'Rate {{sample.output_text}} beside {{item.team}}.'}]\n"
    )
    options = ["--data", "rows.jsonl", "--task", "task.yaml", "--target", "team", "--detach"]
    run_id = installed.ftkit("train", "sft.yaml", *options, "--backend", "clinic-host:base").strip()
    (job,) = host.jobs.values()
    assert job["method"]["supervised"]["hyperparameters"] == {
        "n_epochs": 1,
        "batch_size": "auto",
        "learning_rate": 0.0003,
    }
    said = installed.python(PYTHON, run_id).splitlines()
    assert said == [
        "succeeded clinic-host [1.0, 0.5]",
        "red",
        "clinic-host ('kind',)",
        "clinic-host ('warmup_ratio',)",
        "0.5",
    ]
    assert "base" in installed.ftkit("import", "clinic-host")
