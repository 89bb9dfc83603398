"""Rollouts of reinforcement by a program in place of vLLM, which knows nothing: so does the model in training."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import ftkit as ft
from ftkit.backends.local import LocalBackend
from ftkit.errors import ConfigError, ModelError, RefusedError, TrainingError
from ftkit.graders import FunctionGrader
from ftkit.inference.offline import PendingGenerations
from ftkit.inference.vllm.server import VLLMServer, Wanted
from ftkit.modeling.model_source import find_source
from ftkit.training.estimation.local_estimate import estimate_local_run
from ftkit.training.job import Job, train
from ftkit.training.recipe_check import check_recipe
from tests.inference.vllm.conftest import Calls
from tests.tiny import save_tiny
from tests.training import worth

TASK = ft.Task("Read the note.", input="{note}")
ROWS = ft.Dataset.from_rows([{"note": f"bed {n}"} for n in range(4)], TASK)


@pytest.fixture(scope="module")
def ignorant(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model whose answers are all nearly equally likely, whatever its adapter has learned in some steps."""
    return save_tiny(tmp_path_factory.mktemp("ignorant"), "llama", tokenizer, initializer_range=1e-3)


def rft(**changes: Any) -> ft.RFT:
    plain = {
        "grader": FunctionGrader(function=worth.worth), "epochs": 2, "batch_size": 2, "num_generations": 4,
        "max_output_tokens": 8, "learning_rate": 1e-4, "precision": "fp32", "adapter": ft.LoRA(rank=4),
        "probe_prompts": 0, "rollouts": "vllm", "save_steps": 1, "eval_steps": 2,
    }  # fmt: skip
    return ft.RFT(**(plain | changes))


def run(recipe: ft.RFT, model: str, output: Path, **options: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The events of the steps, and the summary."""
    events: list[tuple[str, dict[str, Any]]] = []
    summary = train(Job(recipe, ROWS, ROWS, model, output), lambda *event: events.append(event), **options)
    return [data for kind, data in events if kind == "step"], summary


def uniform(calls: Calls, tokenizer: Any, offset: float) -> float:
    """Let the program say that tokens are likelier by an offset; return what the model says of each token."""
    calls.misbehave(f"uniform {len(tokenizer)} {offset}")
    return -math.log(len(tokenizer))


def test_each_step_samples_from_the_adapter_as_it_is_and_corrects(
    ignorant: str, tokenizer: Any, tmp_path: Path, calls: Calls
) -> None:
    uniform(calls, tokenizer, 0.05)
    steps, summary = run(rft(), ignorant, tmp_path / "whole" / "model")
    assert summary["steps"] == 4
    for step in steps:
        assert step["sampler_difference"] == pytest.approx(0.05, abs=0.02)
        assert step["sampler_difference"] <= step["sampler_difference_max"] < 0.15
        assert step["correction_weight"] == pytest.approx(math.exp(-0.05), abs=0.02)
        assert step["correction_weight"] == pytest.approx(step["sampler_ratio"], abs=1e-6)
        assert step["correction_limited_share"] == 0
    [start] = calls.starts
    given = " ".join(start["started"])
    assert "--logprobs-mode raw_logprobs" in given
    assert "--max-loras 1 --max-lora-rank 8" in given
    longest = max(len(body["prompt"]) for body in calls.to("/v1/completions")) + 8
    assert f"--max-model-len {longest}" in given
    # The server has each state of the weights under a name and a folder of its own, and one at a time.
    loaded, unloaded = (calls.to(f"/v1/{what}_lora_adapter") for what in ("load", "unload"))
    names, folders = ([body[key] for body in loaded] for key in ("lora_name", "lora_path"))
    assert len(set(names)) == len(set(folders)) == len(names) == 5
    assert [body["lora_name"] for body in unloaded] == names[:-1]
    asked = [body for body in calls.to("/v1/completions") if body["temperature"]]
    assert list(dict.fromkeys(body["model"] for body in asked)) == names[:4]
    assert len({body["seed"] for body in asked}) == len(asked) == 4 * 8
    assert all(
        {"adapter_config.json", "adapter_model.safetensors"} <= set(call["adapter"])
        for call in calls.all
        if "adapter" in call
    )
    assert not psutil.pid_exists(start["pid"])
    assert not (tmp_path / "whole" / "rollout-adapters").exists()


def test_a_run_stops_before_it_learns_from_another_policys_answers(
    ignorant: str, tokenizer: Any, tmp_path: Path, calls: Calls
) -> None:
    uniform(calls, tokenizer, 0.5)
    with pytest.raises(TrainingError, match=r"step 1: .* differ by 0\.[45]\d* nats .*max_sampler_difference=0.1"):
        run(rft(), ignorant, tmp_path / "model")
    assert not any(psutil.pid_exists(start["pid"]) for start in calls.starts)


def test_the_end_of_the_server_ends_the_run_with_its_last_lines(ignorant: str, tmp_path: Path, calls: Calls) -> None:
    calls.misbehave("die")
    with pytest.raises(ModelError, match=r"vLLM ended with status 137(.|\n)*out of everything"):
        run(rft(), ignorant, tmp_path / "model")
    calls.misbehave("")
    with pytest.raises(ModelError, match=r"takes 20 tokens, and the longest prompt with its answer has \d\d: raise"):
        run(rft(rollouts=ft.VLLM(max_model_len=20)), ignorant, tmp_path / "model")


def test_other_temperatures_need_other_log_probabilities(ignorant: str, calls: Calls) -> None:
    source = find_source(ignorant)
    server = VLLMServer(ft.VLLM(), Wanted("it", source, (), (), None, (), "fp32", None), processed=True)
    try:
        server.serve(server.wanted).result()
        server.check_logprobs()
        server.processed = False
        with pytest.raises(ModelError, match=r"at temperature 1, .*start it with --logprobs-mode raw_logprobs"):
            server.check_logprobs()
        prompt = [np.arange(3, 9, dtype=np.int32)]
        options = {"max_new_tokens": 4, "temperature": 0.7, "sampling_logprobs": True}
        [answer] = PendingGenerations(server.engine, prompt, **options).futures
        assert answer.result().logprobs == (-0.5,) * 4
        assert math.isnan(answer.result().logprob)  # that at temperature 1 is not known
        [refused] = PendingGenerations(server.engine, prompt, top_p=0.9, **options).futures
        with pytest.raises(ModelError, match="among the tokens that top_p leaves"):
            refused.result()
    finally:
        server.stop()
    assert "--logprobs-mode processed_logprobs" in " ".join(calls.starts[0]["started"])


@pytest.mark.slow
@pytest.mark.parametrize("way", ["cancelled", "killed"])
def test_a_worker_that_ends_takes_the_server_down_and_the_run_goes_on(
    way: str, ignorant: str, tokenizer: Any, calls: Calls
) -> None:
    uniform(calls, tokenizer, 0.05)
    grader = ft.TextSimilarityGrader(
        input="{{sample.output_text}}", reference="the bed in the room", evaluation_metric="fuzzy_match"
    )
    backend = f"local:{ignorant}"
    whole = ft.train(rft(grader=grader, epochs=12), ROWS, backend=backend).wait()
    stopped = ft.train(rft(grader=grader, epochs=12), ROWS, backend=backend)
    deadline = time.monotonic() + 180
    while not any(event.kind == "checkpoint" for event in stopped.stored_events()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    if way == "cancelled":
        stopped.cancel()
    else:
        os.kill(stopped.record.handle["pid"], signal.SIGKILL)
    while stopped.record.state == "running" or any(psutil.pid_exists(start["pid"]) for start in calls.starts):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert stopped.record.state == ("cancelled" if way == "cancelled" else "failed")
    stopped.resume()
    stopped.wait()
    courses = []
    for run in (whole, stopped):
        steps = {event.data["step"]: event.data for event in run.stored_events() if event.kind == "step"}
        courses.append([(steps[step]["loss"], steps[step]["reward"]) for step in range(1, 25)])
    assert courses[0] == courses[1]
    assert not any(psutil.pid_exists(start["pid"]) for start in calls.starts)


WORKER = """
import json, sys
from pathlib import Path
from ftkit.training.worker_group import WorkerGroup
from tests.inference.vllm.test_rollouts import rft, run
rank, strategy, meeting, model, output = sys.argv[1:]
workers = WorkerGroup.meet(int(rank), 2, Path(meeting), strategy)
steps, _ = run(rft(epochs=1), model, Path(output), workers=workers)
if workers.is_first:
    Path(output).with_name("steps.json").write_text(json.dumps(steps))
"""


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_several_workers_share_a_server(
    strategy: str, ignorant: str, tokenizer: Any, tmp_path: Path, calls: Calls
) -> None:
    uniform(calls, tokenizer, 0.05)
    alone, _ = run(rft(epochs=1), ignorant, tmp_path / "alone" / "model")
    output = tmp_path / "both" / "model"
    started = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(rank), strategy, tmp_path / "meeting", ignorant, output])
        for rank in range(2)
    ]
    assert [one.wait(300) for one in started] == [0, 0]
    steps = json.loads(output.with_name("steps.json").read_text())
    for name in ("loss", "reward", "sampler_difference", "correction_weight", "grad_norm"):
        assert [step[name] for step in steps] == pytest.approx([step[name] for step in alone], rel=1e-4)
    assert len(calls.starts) == 2
    names = [body["lora_name"] for body in calls.to("/v1/load_lora_adapter")]
    assert len(names) == 6


def test_a_quantised_base_is_served_with_the_values_of_its_4_bit_weights(
    ignorant: str, tokenizer: Any, tmp_path: Path, calls: Calls
) -> None:
    uniform(calls, tokenizer, 0.0)
    steps, _ = run(rft(epochs=1, adapter=ft.QLoRA(rank=4)), ignorant, tmp_path / "run" / "model")
    assert steps[0]["sampler_difference"] < 0.05
    assert calls.starts[0]["started"][1] == str(tmp_path / "run" / "rollout-adapters" / "base")
    assert sorted(one.name for one in (tmp_path / "run").iterdir()) == ["model", "samples.jsonl"]


@pytest.mark.parametrize(
    ("changes", "said", "fields"),
    [
        ({"adapter": ft.DoRA()}, "this is DoRA. Take ft.LoRA", ("rollouts", "adapter")),
        ({"adapter": ft.AdaLoRA()}, "this is AdaLoRA", ("rollouts", "adapter")),
        ({"adapter": ft.Full()}, "this is Full", ("rollouts", "adapter")),
        ({"adapter": ft.LoRA(rank=600)}, "rank 600 is above vLLM's largest, 512", ("rollouts", "adapter.rank")),
        (
            {"adapter": ft.QLoRA(rank=64), "rollouts": ft.VLLM(max_lora_rank=32)},
            "rank 64 is above max_lora_rank=32",
            ("rollouts", "adapter.rank"),
        ),
        ({"temperature": 0.7, "top_p": 0.9}, "Set one of them to 1", ("rollouts", "top_p", "temperature")),
        # A recipe may be another's file.
        ({"rollouts": ft.VLLM(executable="/bin/sh")}, "names no program to run; set .* FTKIT_VLLM", ("rollouts",)),
        ({"rollouts": ft.VLLM(url="http://a", api_key_env="OPENAI_API_KEY")}, "chooses no key", ("rollouts",)),
        ({"rollouts": ft.VLLM(options=("--middleware=evil",))}, "and not --middleware=evil", ("rollouts",)),
        ({"rollouts": ft.VLLM(options=("--enforce_eager", "--trust-remote-code"))}, "not --trust-rem", ("rollouts",)),
    ],
)
def test_what_vllm_cannot_sample_is_refused_before_training(
    changes: dict[str, Any], said: str, fields: tuple[str, ...], tiny_model: str
) -> None:
    with pytest.raises(RefusedError, match=said) as refused:
        check_recipe(rft(**changes), tiny_model, ROWS, ROWS)
    assert refused.value.fields == fields


def test_a_key_goes_to_no_server_that_only_a_recipe_names(tiny_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTKIT_VLLM_API_KEY", "sk-of-the-user")
    there, here = (rft(rollouts=ft.VLLM(url=url)) for url in ("http://elsewhere:8000", "http://127.0.0.1:8000"))
    check_recipe(here, tiny_model, ROWS, ROWS)
    with pytest.raises(RefusedError, match="would be sent to http://elsewhere:8000") as refused:
        check_recipe(there, tiny_model, ROWS, ROWS)
    assert "sk-of-the-user" not in str(refused.value)
    monkeypatch.setenv("FTKIT_VLLM_URL", "http://elsewhere:8000/")
    check_recipe(there, tiny_model, ROWS, ROWS)


def test_what_is_missing_is_refused_where_the_run_is_started(tiny_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTKIT_VLLM", "/nowhere/vllm")
    recipe = rft(grader=ft.StringCheckGrader(reference="x"))
    with pytest.raises(ConfigError, match="FTKIT_VLLM: there is no program '/nowhere/vllm'"):
        LocalBackend(tiny_model).check(recipe, ROWS, ROWS)
    LocalBackend(tiny_model).check(recipe, ROWS, ROWS, has_cuda=False)  # for another machine


def test_a_plan_counts_the_servers_share(tiny_model: str) -> None:
    recipe = rft(grader=ft.StringCheckGrader(reference="x"))
    recipes = (recipe.model_copy(update={"rollouts": "torch"}), recipe)
    own, vllm = (estimate_local_run(one, tiny_model, ROWS, device="h100-80gb") for one in recipes)
    assert vllm.device_memory == pytest.approx(0.7 * own.device_memory)
    assert any("vLLM takes 30%" in note for note in vllm.notes)
    assert vllm.seconds > own.seconds  # the trainer computes the log-probabilities of the answers, too
