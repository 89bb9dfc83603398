"""Reinforcement jobs through OpenAI's own client: its grader JSON, a model that really learns from rewards."""

from __future__ import annotations

import base64
import csv
import io
import json
from typing import Any

import openai
import pytest

import ftkit as ft

from .conftest import LIKES_E, PYTHON, Running, ended, messages, rows, uploaded
from .specification import validate_as


def prompts(count: int, *, start: int = 0) -> bytes:
    """OpenAI's form of reinforcement: no answer, and a column that the grader reads."""
    lines = (
        {"messages": [{"role": "user", "content": f"bed {number % 5}, {number} years"}], "letter": "e"}
        for number in range(start, start + count)
    )
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def reinforcement(grader: Any = LIKES_E, **hyperparameters: Any) -> Any:
    return {"type": "reinforcement", "reinforcement": {"grader": grader, "hyperparameters": hyperparameters}}


@pytest.fixture(scope="module")
def trained(rewarding: Running) -> Any:
    """A job that has succeeded: 12 steps, two looks at the validation rows; graded by Python and by a check."""
    client = rewarding.client()
    both = {"share": PYTHON, "has": LIKES_E}
    job = client.fine_tuning.jobs.create(
        model="decided",
        training_file=uploaded(client, prompts(6)),
        validation_file=uploaded(client, prompts(3, start=50)),
        suffix="e",
        seed=1,
        method=reinforcement(
            {"type": "multi", "name": "both", "graders": both, "calculate_output": "0.9*share + 0.1*has"},
            n_epochs=12,
            batch_size=6,
            compute_multiplier=1.0,
            eval_interval=6,
            eval_samples=1,
        ),
    )
    assert job.status == "validating_files"
    assert job.method.reinforcement.hyperparameters.eval_interval == 6
    done = ended(client, job.id)
    assert done.status == "succeeded", done.error
    return done


@pytest.mark.slow
def test_a_model_learns_what_the_grader_rewards(rewarding: Running, trained: Any) -> None:
    client = rewarding.client()
    assert trained.fine_tuned_model.startswith("ft:decided:acme:e:")
    numbers = trained.method.reinforcement.hyperparameters
    assert (numbers.n_epochs, numbers.batch_size, numbers.learning_rate_multiplier) == (12, 6, 1.0)
    assert (numbers.compute_multiplier, numbers.eval_interval, numbers.eval_samples) == (1.0, 6, 1)
    assert trained.method.reinforcement.grader.calculate_output == "0.9*share + 0.1*has"
    events = list(client.fine_tuning.jobs.list_events(trained.id, limit=100))[::-1]
    figures = [event.data for event in events if event.type == "metrics"]
    assert [one["step"] for one in figures] == list(range(1, 13))
    first, last = (sum(one["train_mean_reward"] for one in part) / 3 for part in (figures[:3], figures[-3:]))
    assert last > 1.5 * first
    answer = client.chat.completions.create(
        model=trained.fine_tuned_model,
        messages=[{"role": "user", "content": "bed 1, 51 years"}],
        max_tokens=2,
        temperature=0,
    )
    assert "e" in (answer.choices[0].message.content or "").lower()


@pytest.mark.slow
def test_figures_have_openais_names(rewarding: Running, trained: Any) -> None:
    client = rewarding.client()
    events = list(client.fine_tuning.jobs.list_events(trained.id, limit=100))[::-1]
    looked = next(event for event in events if event.type == "metrics" and event.data["step"] == 6)
    data = looked.data
    assert looked.message == (
        f"Step 6/12 , train mean reward={data['train_mean_reward']:.2f}, full validation mean reward="
        f"{data['full_valid_mean_reward']:.2f}, full validation mean parse error=0.00"
    )
    share, has = data["scores"]["graders"]
    assert (share["name"], share["type"], has["type"]) == ("share", "python", "string_check")
    for role, whole in (("train", "train_mean_reward"), ("valid", "full_valid_mean_reward")):
        made = 0.9 * share[f"{role}_reward_mean"] + 0.1 * has[f"{role}_reward_mean"]
        assert data["scores"][f"{role}_reward_mean"] == data[whole] == pytest.approx(made)
        assert data["errors"]["graders"][0][f"{role}_other_error_mean"] == 0.0
    assert 0 < data["completion_tokens_mean"] <= 2
    assert data["timing"]["step"]["full_iteration"] >= data["timing"]["step"]["sampling"] > 0
    [newest, *_] = client.fine_tuning.jobs.checkpoints.list(trained.id).data
    assert newest.step_number == 12
    assert newest.metrics.model_dump()["train_mean_reward"] > 0
    raw = client.files.content(trained.result_files[0]).content
    found = list(csv.DictReader(io.StringIO(base64.b64decode(raw).decode())))
    assert list(found[0])[:4] == ["step", "train_mean_reward", "full_valid_mean_reward", "completion_tokens_mean"]
    assert [row["step"] for row in found if row["full_valid_mean_reward"]] == ["6", "12"]
    assert float(found[5]["train_mean_reward"]) == data["train_mean_reward"]


@pytest.mark.slow
def test_a_model_of_the_server_is_the_judge_and_its_rewards_teach_nothing(rewarding: Running) -> None:
    client = rewarding.client()
    judge = {
        "type": "score_model",
        "name": "judge",
        "model": "decided",
        "input": [{"role": "user", "content": "Score {{sample.output_text}} of {{item.letter}}."}],
        "sampling_params": {"max_completions_tokens": 8},
    }
    file = uploaded(client, prompts(2))
    job = client.fine_tuning.jobs.create(model="decided", training_file=file, method=reinforcement(judge))
    done = ended(client, job.id)
    # A random model's nonsense is no grade, which the look at the rewards before the first step finds out.
    assert (done.status, done.error.code) == ("failed", "training_failed")
    assert "could not be graded" in done.error.message
    assert "gave no grade" in done.error.message


def test_rows_with_answers_are_refused_by_line(rewarding: Running) -> None:
    client = rewarding.client()
    file = uploaded(client, prompts(1) + rows(1))
    done = ended(client, client.fine_tuning.jobs.create(model="decided", training_file=file, method=reinforcement()).id)
    assert (done.status, done.error.code) == ("failed", "invalid_training_file")
    assert "Line 2: " in done.error.message
    assert "leave the answer out" in done.error.message
    assert messages(client, done.id)[-1] == done.error.message


GRADER = "method.reinforcement.grader"
NUMBERS = "method.reinforcement.hyperparameters"


@pytest.mark.parametrize(
    ("method", "param", "code"),
    [
        ({"type": "reinforcement"}, GRADER, "missing_required_parameter"),
        ({"type": "reinforcement", "reinforcement": {}}, GRADER, "missing_required_parameter"),
        (reinforcement(reasoning_effort="high"), f"{NUMBERS}.reasoning_effort", "unsupported_parameter"),
        (reinforcement(eval_interval=2), f"{NUMBERS}.eval_interval", "invalid_value"),
        (reinforcement(eval_samples=2), f"{NUMBERS}.eval_samples", "invalid_value"),
        (reinforcement(compute_multiplier=11), f"{NUMBERS}.compute_multiplier", "invalid_value"),
        (reinforcement(compute_multiplier=0.1), f"{NUMBERS}.compute_multiplier", "invalid_value"),
        (reinforcement(beta=0.1), f"{NUMBERS}.beta", "unknown_parameter"),
        (
            {
                "type": "reinforcement",
                "reinforcement": {"grader": LIKES_E, "response_format": {"type": "json_schema", "json_schema": {}}},
            },
            "method.reinforcement.response_format",
            "unsupported_parameter",
        ),
        (reinforcement(PYTHON), GRADER, "unsupported_grader"),
        (reinforcement({**LIKES_E, "operation": "neq"}), GRADER, "invalid_value"),
        (reinforcement({**LIKES_E, "input": "{{sample.text}}"}), GRADER, "invalid_value"),
        (reinforcement({"type": "function", "function": "os:getcwd"}), f"{GRADER}.type", "invalid_value"),
        (reinforcement({"type": "reward_model", "model": "local:/etc"}), f"{GRADER}.type", "invalid_value"),
        (
            reinforcement(
                {
                    "type": "multi",
                    "graders": {"a": {"type": "function", "function": "os:getcwd"}},
                    "calculate_output": "a",
                }
            ),
            f"{GRADER}.graders.a.type",
            "invalid_value",
        ),
        (reinforcement({"type": "label_model"}), f"{GRADER}.type", "invalid_value"),
        (
            reinforcement(
                {"type": "score_model", "model": "openai:gpt-4.1", "input": [{"role": "user", "content": "x"}]}
            ),
            f"{GRADER}.model",
            "model_not_found",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(client: openai.OpenAI, method: Any, param: str, code: str) -> None:
    file = uploaded(client, prompts(2))
    with pytest.raises(openai.BadRequestError) as refused:
        client.fine_tuning.jobs.create(model="tiny", training_file=file, method=method)
    assert (refused.value.param, refused.value.code) == (param, code)
    validate_as("Error", refused.value.body)


@pytest.mark.slow
def test_ftkit_is_a_client_of_it_too(rewarding: Running) -> None:
    data = ft.Dataset.from_rows([{"q": f"bed {n}", "letter": "e"} for n in range(20)], ft.Task(input="{q}"))
    recipe = ft.RFT(grader=ft.graders.PythonGrader(source=PYTHON["source"]), epochs=1, batch_size=5, seed=1)
    there = ft.OpenAI("decided", base_url=f"{rewarding.url}/v1", api_key="none")
    run = ft.train(recipe, data[:10], backend=there, validation=data[10:]).wait(progress=False)
    assert run.record.summary["tuned_model"].startswith("ft:decided:acme:")
    rewards = [one["reward"] for one in run.metrics]
    assert len(rewards) == 2
    assert all(0 < reward < 1 for reward in rewards)
