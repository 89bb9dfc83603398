"""Jobs by reinforcement: imported with their grader, and compared by it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import openai
import pytest

from ftkit.migration import Certificate
from ftkit.recipe import load_recipe

from .conftest import BASE, WORDS, Account
from .test_migrate import LUNA, migrate


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "migration"


def reinforced(account: Account, **more: Any) -> str:
    """A job by reinforcement, of rows without answers, made through the official client; its id."""
    client = openai.OpenAI(base_url=f"{account.fake.url}/v1", api_key=account.fake.key)

    def upload(numbers: range) -> str:
        rows = [
            {"messages": [{"role": "user", "content": f"case {number}"}], "team": WORDS[number % 2]}
            for number in numbers
        ]
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        return client.files.create(file=("rows.jsonl", content), purpose="fine-tune").id

    grader = {
        "type": "string_check",
        "name": "right",
        "operation": "eq",
        "input": "{{sample.output_text}}",
        "reference": "{{item.team}}",
    }
    numbers = {"n_epochs": 2, "batch_size": 4, "eval_interval": 5, "compute_multiplier": 1.5}
    job = client.fine_tuning.jobs.create(
        model=BASE,
        training_file=upload(range(100, 116)),
        validation_file=upload(range(40)),
        method={"type": "reinforcement", "reinforcement": {"grader": grader, "hyperparameters": numbers, **more}},  # type: ignore[typeddict-item]
    )
    deadline = time.monotonic() + 30
    while job.status != "succeeded":
        assert time.monotonic() < deadline
        job = client.fine_tuning.jobs.retrieve(job.id)
    account.wrong[str(job.fine_tuned_model)] = {0, 10}
    return job.id


def test_a_job_by_reinforcement_is_compared_by_its_grader(account: Account, folder: Path) -> None:
    job = reinforced(account)
    account.wrong["gpt-6-luna"] = {3}
    done = migrate(job, "--to", LUNA, "--margin", "0.2", "--yes", folder=folder)
    assert done.exit_code == 0, done.output
    recipe = load_recipe(folder / "job" / "recipe.yaml")
    assert recipe.kind == "rft"
    assert (recipe.epochs, recipe.batch_size, recipe.eval_steps, recipe.compute_multiplier) == (2, 4, 5, 1.5)
    certificate = Certificate.load(folder / "certificate.json")
    assert certificate.replaced.method == "reinforcement"
    assert certificate.primary == "right"
    assert certificate.replaced.value == 0.95
    (luna,) = certificate.candidates
    assert luna.value == 0.975
    assert luna.status == "CERTIFIED"


def test_what_a_job_by_reinforcement_held_answers_to_is_the_task(account: Account, folder: Path) -> None:
    schema = {"type": "object", "properties": {"team": {"type": "string"}}, "required": ["team"]}
    held = {"type": "json_schema", "json_schema": {"name": "team", "schema": schema, "strict": True}}
    job = reinforced(account, response_format=held)
    done = migrate(job, "--to", LUNA, "--margin", "0.2", "--yes", folder=folder)
    assert done.exit_code in (0, 1), done.output  # the fake answers in words, so nothing is right
    certificate = Certificate.load(folder / "certificate.json")
    assert certificate.task["output"]["kind"] == "json"
    assert certificate.task["output"]["name"] == "team"


def test_rows_without_an_answer_are_left_out_of_a_migration_led_by_a_grader(account: Account, folder: Path) -> None:
    job = reinforced(account)
    account.failing = {5}
    done = migrate(job, "--to", LUNA, "--margin", "0.2", "--yes", "--leave-out-failed", folder=folder)
    assert done.exit_code == 0, done.output
    certificate = Certificate.load(folder / "certificate.json")
    assert certificate.primary == "right"
    assert certificate.replaced.value == pytest.approx(37 / 39)
