"""vLLM itself serves SmolLM2, and answers as ftkit's own engine does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.backends import Request, Sampling
from ftkit.graders import FunctionGrader
from ftkit.training.job import Job, train
from tests.tiny import save_adapter
from tests.training import worth

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        not (os.environ.get("FTKIT_VLLM") or shutil.which("vllm")),
        reason="vLLM is not installed: make vllm-env, and set FTKIT_VLLM=.vllm/bin/vllm",
    ),
]

CHOICE = ft.Task("Is the text about water or fire?", input="{text}", output=ft.ChoiceOutput(choices=("water", "fire")))
TEXT = ft.Task("Continue the text.", input="{text}")
ROWS = [
    {"text": text, "label": label}
    for text, label in (
        ("A river flows to the sea.", "water"),
        ("The log burns in the stove.", "fire"),
        ("It rains all day, and the lake rises above its banks.", "water"),
        ("Sparks fly.", "fire"),
    )
]


@pytest.fixture(scope="module")
def engine() -> ft.VLLM:
    return ft.VLLM(options=("--enforce-eager",), max_model_len=512, max_num_seqs=8)


@pytest.fixture(scope="module")
def adapters(shared_models: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    base, folder = str(shared_models / "smollm2-135m-instruct"), tmp_path_factory.mktemp("adapters")
    options = {"target_modules": ["q_proj", "v_proj"], "r": 4}
    return {
        "one": save_adapter(folder / "one", base, seed=1, **options),
        "two": save_adapter(folder / "two", base, seed=2, use_rslora=True, **options),
        "dora": save_adapter(folder / "dora", base, seed=3, use_dora=True, **options),
    }


@pytest.fixture(autouse=True, scope="module")
def small_cache() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
        from ftkit.inference.vllm import pool

        pool.close_pools()


def compared(name: str, task: ft.Task, sampling: Sampling, engine: ft.VLLM) -> list[str]:
    """Answers of both engines, whose texts, lengths and log-probabilities are the same; returns the texts."""
    requests = [Request(task.prompt(row)) for row in ROWS]
    own = ft.Model(f"local:{name}", task).answer_many(requests, sampling)
    other = ft.Model(f"local:{name}", task, engine=engine).answer_many(requests, sampling)
    for one, two in zip(own, other, strict=True):
        assert two.text == one.text
        assert (two.finish_reason, two.input_tokens, two.output_tokens) == (
            one.finish_reason,
            one.input_tokens,
            one.output_tokens,
        )
        assert two.logprob == pytest.approx(one.logprob, abs=5e-3)
    return [one.text for one in own]


def test_the_base_and_two_adapters_answer_as_by_the_own_engine(adapters: dict[str, str], engine: ft.VLLM) -> None:
    free = Sampling(max_output_tokens=12)
    texts = [compared(name, TEXT, free, engine) for name in ("smollm2-135m", adapters["one"], adapters["two"])]
    assert len({tuple(one) for one in texts}) == 3
    compared("smollm2-135m", CHOICE, Sampling(max_output_tokens=12, constrained=True), engine)
    schema = {
        "type": "object",
        "properties": {"element": {"enum": ["water", "fire"]}, "seen": {"type": "integer", "minimum": 0}},
        "required": ["element", "seen"],
        "additionalProperties": False,
    }
    task = ft.Task("What is it about, and how many words has it?", input="{text}", output=schema)
    compared("smollm2-135m", task, Sampling(max_output_tokens=40, constrained=True), engine)


def test_the_report_is_that_of_the_own_engine(adapters: dict[str, str], engine: ft.VLLM) -> None:
    data = ft.Dataset.from_rows(ROWS, CHOICE, target="label")
    for name in ("smollm2-135m", adapters["one"]):
        own = ft.evaluate(ft.Model(f"local:{name}", CHOICE, sampling=Sampling(constrained=True)), data, probes=False)
        model = ft.Model(f"local:{name}", CHOICE, sampling=Sampling(constrained=True), engine=engine)
        other = ft.evaluate(model, data, probes=False)
        assert [row.text for row in own.rows] == [row.text for row in other.rows]
        assert [one.name for one in own.metrics] == [one.name for one in other.metrics]
        for one, two in zip(own.metrics, other.metrics, strict=True):
            assert two.value == pytest.approx(one.value, abs=1e-3), one.name
            assert (two.low, two.high) == pytest.approx((one.low, one.high), abs=1e-3), one.name
        assert other.about["engine"]["name"] == "vllm"


def test_sampled_answers_repeat_with_their_seed(engine: ft.VLLM) -> None:
    model = ft.Model("local:smollm2-135m", TEXT, engine=engine)
    requests = [Request(TEXT.prompt(row)) for row in ROWS[:2]] * 2

    def texts(seed: int) -> list[str]:
        sampling = Sampling(max_output_tokens=8, temperature=1.5, seed=seed)
        return [answer.text for answer in model.answer_many(requests, sampling)]

    first = texts(3)
    assert first == texts(3) != texts(4)
    assert first[0] != first[2]  # rows with the same prompt have random numbers of their own


def test_reinforcement_learns_from_rollouts_by_vllm(shared_models: Path, engine: ft.VLLM, tmp_path: Path) -> None:
    """The server samples from the weights of each step: they move away from the base, and both agree at each step."""
    task = ft.Task("Continue the text.", input="{text}")
    data = ft.Dataset.from_rows([{"text": row["text"]} for row in ROWS], task)
    recipe = ft.RFT(
        grader=FunctionGrader(function=worth.worth), rollouts=ft.VLLM(options=("--enforce-eager",), max_num_seqs=16),
        epochs=6, batch_size=4, num_generations=4, max_output_tokens=12, adapter=ft.LoRA(rank=8), precision="fp32",
        learning_rate=1e-3, lr_scheduler_type="constant", probe_prompts=0, temperature=0.9, beta=1e-4,
    )  # fmt: skip
    events: list[tuple[str, dict[str, Any]]] = []
    base = str(shared_models / "smollm2-135m-instruct")
    train(Job(recipe, data, None, base, tmp_path / "model"), lambda *event: events.append(event))
    steps = [step for kind, step in events if kind == "step"]
    assert len(steps) == 6
    for step in steps:
        assert step["sampler_difference"] < 1e-3
        assert step["sampler_difference_max"] < 1e-2
        assert step["correction_weight"] == pytest.approx(1, abs=1e-3)
        assert step["correction_limited_share"] == 0
    assert steps[0]["kl"] < 1e-6
    assert steps[-1]["kl"] > 1e-3  # about 0.04 nats between the probabilities of a token


def test_an_adapter_that_vllm_does_not_know_answers_merged(adapters: dict[str, str], engine: ft.VLLM) -> None:
    compared(adapters["dora"], TEXT, Sampling(max_output_tokens=12), engine)
