"""Reinforcement fine-tuning elsewhere: the same recipe, each host's request, and rewards that come home as events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import ftkit as ft
from ftkit.backends.fireworks import Fireworks
from ftkit.backends.openai_jobs import OpenAIJobs
from ftkit.backends.openai_jobs.events import parse_result_file
from ftkit.backends.together import Together
from ftkit.errors import ConfigError, DataError, HostError, RefusedError
from ftkit.training.recipe_check import check_recipe

from .conftest import QUICK
from .fireworks_host import FireworksFake
from .openai_host import OpenAIFake, rows
from .serving import serving

RIGHT = ft.StringCheckGrader(name="right", reference="{{item.team}}")
ARN = "arn:aws:lambda:us-east-1:123456789012:function:grade"


def judge(model: str) -> ft.ScoreModelGrader:
    return ft.ScoreModelGrader(model=model, input=[{"role": "user", "content": "Rate {{sample.output_text}}"}])


@pytest.fixture
def split(notes: ft.Dataset) -> tuple[ft.Dataset, ft.Dataset]:
    return notes[:10], notes[10:]


@pytest.fixture
def azure(openai_fake: OpenAIFake) -> OpenAIJobs:
    base = f"{openai_fake.url}/v1"
    return OpenAIJobs("a-model", profile="azure", base_url=base, api_key=openai_fake.key, retry_policy=QUICK)


def test_a_run_by_reward_has_the_life_of_a_run_here(
    openai_fake: OpenAIFake, azure: OpenAIJobs, split: tuple[ft.Dataset, ft.Dataset]
) -> None:
    train, validation = split
    recipe = ft.RFT(grader=RIGHT, epochs=2, batch_size=4, eval_steps=5, eval_generations=2)
    run = ft.train(recipe, train, backend=azure, validation=validation).wait()
    assert run.state == "succeeded"
    (job,) = openai_fake.jobs.values()
    assert job["method"] == {
        "type": "reinforcement",
        "reinforcement": {
            "grader": RIGHT.model_dump(),
            "hyperparameters": {"n_epochs": 2, "batch_size": 4, "eval_interval": 5, "eval_samples": 2},
        },
    }
    sent = rows(openai_fake.contents[job["training_file"]])
    assert sent[1]["team"] == "blue"
    assert [message["role"] for message in sent[0]["messages"]] == ["system", "user"]
    steps = [event.data for event in run.events() if event.kind == "step"]
    assert [(step["step"], step["steps"], step["reward"]) for step in steps] == [(1, 2, 0.25), (2, 2, 0.5)]
    assert steps[0]["reward_parts"] == {"right": 0.25}
    assert steps[0]["grader_errors"] == {"invalid_variable_error": 3}
    assert steps[0]["completion_length"] == 40.0
    (look,) = [event.data for event in run.events() if event.kind == "validation"]
    assert look == {"step": 2, "reward": 0.5, "parse_error_share": 0.125}


def test_rewards_in_a_result_file_are_steps_too() -> None:
    table = "step,train_mean_reward,full_valid_mean_reward,completion_tokens_mean,total_loss_sum\n"
    found = list(parse_result_file(f"{table}1,0.25,,40,0.5\n2,0.5,0.75,50,0.25\n".encode()))
    assert [(event.kind, event.data) for event in found] == [
        ("step", {"step": 1, "reward": 0.25, "completion_length": 40.0, "loss": 0.5}),
        ("step", {"step": 2, "reward": 0.5, "completion_length": 50.0, "loss": 0.25, "full_valid_mean_reward": 0.75}),
        ("validation", {"step": 2, "reward": 0.75}),
    ]


def test_what_an_answer_must_look_like_goes_along(openai_fake: OpenAIFake, azure: OpenAIJobs, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"team": {"type": "string"}}, "required": ["team"]}
    task = ft.Task("Say which team.", input="{text}", output=ft.JsonOutput(name="team", json_schema=schema))
    data = ft.Dataset.from_rows([{"text": f"case {number}", "team": "red"} for number in range(12)], task)
    field = ft.StringCheckGrader(input="{{sample.output_json.team}}", reference="{{item.team}}")
    ft.train(ft.RFT(grader=field), data[:10], backend=azure, validation=data[10:]).wait()
    (job,) = openai_fake.jobs.values()
    held = job["method"]["reinforcement"]["response_format"]
    assert (held["type"], held["json_schema"]["name"]) == ("json_schema", "team")


@pytest.mark.parametrize(
    ("grader", "why"),
    [
        (ft.RewardModelGrader(model="local:r1"), "no grader of type reward_model"),
        (ft.LambdaGrader(function=ARN), "no grader of type lambda"),
        (judge("local:smollm2-135m"), "asks its own models alone, not local:smollm2-135m"),
        (
            ft.MultiGrader(graders={"a": RIGHT, "b": judge("together:m")}, calculate_output="a+b"),
            "asks its own models alone, not together:m",
        ),
        (
            ft.LabelModelGrader(model="m", input=[{"content": "x"}], labels=("a", "b"), passing_labels=("a",)),
            "label_model as a part of multi alone",
        ),
    ],
)
def test_graders_that_a_host_does_not_take_are_refused_before_any_call(
    openai_fake: OpenAIFake, azure: OpenAIJobs, split: tuple[ft.Dataset, ft.Dataset], grader: ft.Grader, why: str
) -> None:
    with pytest.raises(RefusedError, match=why) as caught:
        ft.train(ft.RFT(grader=grader), split[0], backend=azure, validation=split[1])
    assert caught.value.fields == ("grader",)
    assert openai_fake.calls == []


def test_names_of_models_are_the_hosts_own(azure: OpenAIJobs) -> None:
    sent = azure.request_body(ft.RFT(grader=judge("azure:gpt-4.1")), 10, {"training": "f"}, "key")
    assert sent["method"]["reinforcement"]["grader"]["model"] == "gpt-4.1"
    tuned = azure.request_body(ft.RFT(grader=judge("ft:gpt-4.1:acme::x")), 10, {"training": "f"}, "key")
    assert tuned["method"]["reinforcement"]["grader"]["model"] == "ft:gpt-4.1:acme::x"


def test_validation_rows_are_asked_for_where_the_host_wants_them(azure: OpenAIJobs, notes: ft.Dataset) -> None:
    with pytest.raises(DataError, match="no rft without validation rows"):
        azure.check(ft.RFT(grader=RIGHT), notes, None)


def test_bedrock_rewards_by_a_function_of_the_users(
    openai_fake: OpenAIFake, split: tuple[ft.Dataset, ft.Dataset]
) -> None:
    base = f"{openai_fake.url}/v1"
    bedrock = OpenAIJobs("qwen", profile="bedrock-mantle", base_url=base, api_key=openai_fake.key, retry_policy=QUICK)
    with pytest.raises(RefusedError, match="Lambda function"):
        bedrock.check(ft.RFT(grader=RIGHT), split[0], None)
    with pytest.raises(RefusedError, match="takes rft, not sft"):
        bedrock.check(ft.SFT(), split[0], None)
    sent = bedrock.request_body(ft.RFT(grader=ft.LambdaGrader(function=ARN)), 10, {"training": "f"}, "key")
    assert sent["method"]["reinforcement"]["grader"] == {"type": "lambda", "lambda": {"function": ARN}}
    assert "suffix" not in sent
    with pytest.raises(ConfigError, match="function"):
        ft.LambdaGrader(function="grade")


@pytest.fixture
def fireworks(home: Path) -> Iterator[tuple[FireworksFake, Fireworks]]:
    with serving(FireworksFake()) as fake:
        assert isinstance(fake, FireworksFake)
        yield fake, Fireworks("qwen3-8b", account="acme", api_key=fake.key, base_url=fake.url, retry_policy=QUICK)


def test_fireworks_rewards_by_an_evaluator_of_the_users(
    fireworks: tuple[FireworksFake, Fireworks], split: tuple[ft.Dataset, ft.Dataset]
) -> None:
    fake, backend = fireworks
    with pytest.raises(RefusedError, match="evaluator of yours"):
        backend.check(ft.RFT(grader=RIGHT), split[0], None)
    grader = ft.EvaluatorGrader(evaluator="accounts/acme/evaluators/team")
    recipe = ft.RFT(grader=grader, num_generations=4, temperature=0.7, beta=0.01, loss_type="grpo")
    run = ft.train(recipe, split[0], backend=backend, validation=split[1]).wait()
    assert run.state == "succeeded"
    ((name, job),) = fake.jobs.items()
    assert "/reinforcementFineTuningJobs/" in name
    assert job["evaluator"] == grader.evaluator
    assert job["inferenceParameters"] == {
        "responseCandidatesCount": 4, "maxOutputTokens": 256, "temperature": 0.7, "topP": 1.0
    }  # fmt: skip
    assert job["lossConfig"] == {"method": "GRPO", "klBeta": 0.01}
    lines = fake.contents[job["dataset"].rpartition("/")[2]].decode().splitlines()
    assert json.loads(lines[0])["team"] == "red"


def test_other_hosts_say_that_they_take_none(notes: ft.Dataset) -> None:
    for backend in (
        Together("m", api_key="k"),
        *(OpenAIJobs("m", profile=name, base_url="http://x", api_key="k") for name in ("nebius", "crusoe", "litellm")),
    ):
        with pytest.raises(RefusedError, match="not rft") as caught:
            backend.check(ft.RFT(grader=RIGHT), notes, None)
        assert caught.value.fields == ("kind",)


def test_graders_of_hosts_run_nowhere_else() -> None:
    for grader in (ft.LambdaGrader(function=ARN), ft.EvaluatorGrader(evaluator="accounts/a/evaluators/e")):
        with pytest.raises(ConfigError, match="can run it; use a grader that runs here"):
            ft.grade(grader, [{}], ["x"])


def test_a_grader_is_tried_at_the_host(openai_fake: OpenAIFake, openai_jobs: OpenAIJobs) -> None:
    openai_jobs.validate_grader(RIGHT)
    right, wrong = (openai_jobs.run_grader(RIGHT, {"team": "red"}, answer) for answer in ("red", "blue"))
    assert (right.reward, right.error, wrong.reward) == (1.0, None, 0.0)
    failed = openai_jobs.run_grader(judge("openai:gpt-4.1"), {"team": "red"}, "red")
    assert (failed.reward, failed.error) == (0.0, "model_grader_server_error")
    assert "overloaded" in str(failed.detail)
    with pytest.raises(RefusedError, match="names no column"):
        openai_jobs.validate_grader(ft.StringCheckGrader(name="refused", reference="x"))
    with pytest.raises(RefusedError, match="reward_model"):
        openai_jobs.run_grader(ft.RewardModelGrader(model="local:r"), {}, "x")
    nebius = OpenAIJobs("m", profile="nebius", base_url=openai_fake.url, api_key="k" * 12, retry_policy=QUICK)
    with pytest.raises(RefusedError, match="runs no grader"):
        nebius.validate_grader(RIGHT)
    openai_fake.key = "another"
    with pytest.raises(HostError):
        openai_jobs.validate_grader(RIGHT)


def test_what_hosts_alone_do_is_sent_there_and_refused_by_name_here(azure: OpenAIJobs, notes: ft.Dataset) -> None:
    recipe = ft.RFT(grader=RIGHT, compute_multiplier=0.5, reasoning_effort="low")
    sent = azure.request_body(recipe, 10, {"training": "f"}, "key")["method"]["reinforcement"]["hyperparameters"]
    assert (sent["compute_multiplier"], sent["reasoning_effort"]) == (0.5, "low")
    with pytest.raises(RefusedError, match=r"compute_multiplier=0\.5: num_generations sets") as caught:
        check_recipe(recipe, "smollm2-135m", notes)
    assert caught.value.fields == ("compute_multiplier", "reasoning_effort")
    evaluator = ft.EvaluatorGrader(evaluator="accounts/acme/evaluators/team")
    fireworks = Fireworks("m", account="a", api_key="k")
    thinking = fireworks.request_body(ft.RFT(grader=evaluator, reasoning_effort="low"), 10, {"training": "f"}, "key")
    assert json.loads(thinking["inferenceParameters"]["extraBody"]) == {"reasoning_effort": "low"}
    with pytest.raises(RefusedError, match=r"compute_multiplier=2\.0: use num_generations there"):
        fireworks.check(ft.RFT(grader=evaluator, compute_multiplier=2.0), notes, None)
