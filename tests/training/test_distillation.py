"""Learning from a teacher: its likeliest tokens, in rows or from a local model, and its judgement of own answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ftkit as ft
from ftkit.data.token_logprobs import read_token_logprobs
from ftkit.errors import DataError, Place
from ftkit.modeling.model_source import find_source
from ftkit.modeling.tokenizer import load_chat_template
from ftkit.recipe import RecipeFacts
from ftkit.training.job import Job
from ftkit.training.losses import loss_of
from ftkit.training.losses.jensen_shannon import generalized_jsd
from tests.tiny import save_tiny
from tests.training.test_checkpoints import Runner
from tests.training.test_pairs import Trained
from tests.training.test_training import ADAPTERS, rows

PLACE = Place("rows", 1)


@pytest.fixture(scope="module")
def teacher(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    return "local:" + save_tiny(tmp_path_factory.mktemp("teacher"), "llama", tokenizer, seed=5, intermediate_size=96)


def distillation(**changes: Any) -> ft.Distillation:
    plain = {"epochs": 3, "batch_size": 4, "learning_rate": 1e-2, "precision": "fp32", "adapter": ADAPTERS["lora"]}
    return ft.Distillation(**(plain | changes))


def gkd(teacher: str, **changes: Any) -> ft.GKD:
    plain = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-2, "precision": "fp32", "adapter": ADAPTERS["lora"]}
    return ft.GKD(teacher=teacher, **({"max_output_tokens": 6} | plain | changes))


def said(model: str, row: ft.Row, count: int) -> list[dict[str, Any]]:
    """What a server that serves ``model`` returns as logprobs of the row's answer, computed by transformers."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, loaded = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model)
    template = load_chat_template(find_source(model))
    prompt = template.encode_prompt(row.prompt).tolist()
    answer = tokenizer(row.require_answer()["content"], add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logprobs = loaded(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)

    def token(number: int, logprob: float) -> dict[str, Any]:
        written = tokenizer.backend_tokenizer.decoder.decode([tokenizer.convert_ids_to_tokens(number)])
        raw = list(written.encode()) if "\N{REPLACEMENT CHARACTER}" not in written else None
        return {"token": written, "logprob": logprob, "bytes": raw}

    positions = []
    for at, number in enumerate(answer):
        values, tokens = logprobs[at].topk(count)
        top = [token(int(one), float(value)) for one, value in zip(tokens, values, strict=True)]
        positions.append({**token(number, float(logprobs[at, number])), "top_logprobs": top})
    return positions


def with_logprobs(model: str, count: int = 4) -> ft.Dataset:
    """Conversations with the log-probabilities of their answers."""
    return ft.Dataset.from_rows(
        [{"messages": row.messages, "logprobs": {"content": said(model, row, 5)}} for row in rows(count)]
    )


def test_the_divergence_has_its_known_values():
    p, q = torch.tensor([[0.5, 0.25, 0.25]]), torch.tensor([[0.2, 0.2, 0.6]])
    assert float(generalized_jsd(p.log(), p.log(), 0.5)) == pytest.approx(0, abs=1e-6)
    half = (p + q) / 2
    wanted = 0.5 * (p * (p / half).log()).sum() + 0.5 * (q * (q / half).log()).sum()
    assert float(generalized_jsd(q.log(), p.log(), 0.5)) == pytest.approx(float(wanted), rel=1e-5)
    assert float(generalized_jsd(q.log(), p.log(), 0.0)) == pytest.approx(float((p * (p / q).log()).sum()), rel=1e-5)
    certain = torch.tensor([[0.0, -torch.inf, -torch.inf]])
    valid = torch.isfinite(certain)
    q = q.log().requires_grad_()
    generalized_jsd(q, certain, 0.0, valid).backward()
    assert q.grad is not None
    assert bool(torch.isfinite(q.grad).all())


def test_what_rows_carry_is_what_the_local_teacher_says(tiny_model: str):
    recipe = distillation().resolve(RecipeFacts(rows=2))
    template = load_chat_template(find_source(tiny_model))
    for row in with_logprobs(tiny_model, 2):
        [example] = loss_of(recipe).render(row, template)
        found = example.teacher
        assert found is not None
        asked = int(example.sequences[0].supervised.sum())
        assert found.tokens.shape[0] == found.logprobs.shape[0] == len(found.rest) == asked
        total = np.exp(found.logprobs).sum(axis=1) + np.exp(found.rest)
        assert total == pytest.approx(1, abs=1e-5)
        positions = row.columns["logprobs"]["content"]
        own = [position["logprob"] for position in positions]
        assert found.logprobs[: len(own), 0] == pytest.approx(own, abs=1e-5)
        assert found.logprobs[len(own) :, 0] == pytest.approx(0, abs=1e-5)  # the end of the turn is certain
        assert found.tokens[:, 0].tolist() == example.sequences[0].ids[example.sequences[0].supervised].tolist()


@pytest.mark.parametrize("kind", ["lora", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("full", "dora"))])
def test_a_student_becomes_like_its_teacher(kind: str, teacher: str, tiny_model: str, tmp_path: Path):
    rate = 2e-3 if kind == "full" else 1e-2
    chosen = distillation(teacher=teacher, top_k=8, adapter=ADAPTERS[kind], learning_rate=rate, nll_weight=0.1)
    done = Trained(chosen, tiny_model, tmp_path / "m", rows(), rows(3, first=40))
    assert done.summary["validation_loss"] < 0.9 * done.summary["validation_loss_before"]
    assert done.steps[-1]["divergence"] < done.steps[0]["divergence"]
    assert [data["message"] for kind, data in done.events if kind == "log"].count(
        "asked the teacher about the rows"
    ) == 1


def test_rows_with_logprobs_train_without_a_teacher(tiny_model: str, tmp_path: Path):
    data = with_logprobs(tiny_model)
    done = Trained(distillation(epochs=1, batch_size=2), tiny_model, tmp_path / "m", data)
    # The student is its own teacher; only the end of the turn, which counts as certain, is new to it.
    assert done.steps[0]["teacher_agreement"] > 0.6
    assert done.steps[-1]["loss"] < done.steps[0]["loss"]


@pytest.mark.parametrize("beta", [0.5, pytest.param(1.0, marks=pytest.mark.slow)])
def test_own_answers_become_likelier_to_the_teacher(beta: float, teacher: str, tiny_model: str, tmp_path: Path):
    prompts = ft.Dataset.from_rows([{"prompt": row.prompt} for row in rows(8)])
    assert prompts.kind == "prompts"
    chosen = gkd(teacher, lmbda=1, beta=beta, epochs=3)
    done = Trained(chosen, tiny_model, tmp_path / "m", prompts, prompts.take(3))
    assert {step["on_policy"] for step in done.steps} == {1.0}
    assert all(0 < step["output_tokens"] <= 6 for step in done.steps)
    assert done.summary["validation_loss"] < done.summary["validation_loss_before"]


@pytest.mark.slow
def test_killed_runs_go_on_with_the_same_bits(teacher: str, tiny_model: str, tmp_path: Path):
    for name, chosen in (
        ("gkd", gkd(teacher, save_steps=1, epochs=1, batch_size=2, seed=0)),
        ("distillation", distillation(teacher=teacher, top_k=4, save_steps=1, epochs=1, batch_size=2)),
    ):
        whole, broken = (Runner(tiny_model, tmp_path / f"{name}-{which}", chosen) for which in ("whole", "broken"))
        for one in (whole, broken):
            one.job = Job(chosen, rows(6), None, tiny_model, one.job.output)
        whole.go()
        if name == "gkd":  # both kinds of steps
            assert {data["on_policy"] for kind, data in whole.events if kind == "step"} == {0.0, 1.0}
        with pytest.raises(KeyboardInterrupt):
            broken.go(until=lambda kind, data: kind == "step" and data["step"] == 2)
        broken.go()
        assert broken.weights == whole.weights
    assert broken.messages("log").count("asked the teacher about the rows") == 1


@pytest.mark.parametrize(
    ("value", "field", "problem"),
    [
        ({"content": []}, "logprobs.content", "a list of the answer's tokens"),
        ({"content": [{"token": "a"}]}, "logprobs.content[0].logprob", "must be the logarithm"),
        ([{"token": "a", "logprob": 0.5}], "logprobs[0].logprob", "at most 0"),
        ([{"token": "a", "logprob": float("nan")}], "logprobs[0].logprob", "at most 0"),
        ([{"token": "a", "logprob": -(10**400)}], "logprobs[0].logprob", "at most 0"),
        ([{"token": 3, "logprob": -1}], "logprobs[0]", "a token"),
        ([{"token": "a", "logprob": -1, "bytes": 10**12}], "logprobs[0].bytes", "list of bytes"),
        ([{"token": "a", "logprob": -1, "bytes": [300]}], "logprobs[0].bytes", "list of bytes"),
        (
            [{"token": "a", "logprob": -0.1, "top_logprobs": [{"token": "b", "logprob": -0.1}]}],
            "logprobs[0]", "more than 1",
        ),
        ({"tokens": ["a"], "token_logprobs": []}, "logprobs", "one length"),
        ("{", "logprobs", "JSON"),
    ],
)  # fmt: skip
def test_what_is_no_log_probability_is_named(value: Any, field: str, problem: str):
    with pytest.raises(DataError, match=problem) as caught:
        read_token_logprobs(value, PLACE)
    assert caught.value.field == field


def test_every_server_s_form_is_read():
    chat = {"content": [{"token": "4", "logprob": -0.5, "top_logprobs": [{"token": "5", "logprob": -1.5}]}]}
    legacy = {"tokens": ["4"], "token_logprobs": [-0.5], "top_logprobs": [{"4": -0.5, "5": -1.5}]}
    wanted = [{b"4": -0.5, b"5": -1.5}]
    for value in (chat, chat["content"], legacy, '{"content": [{"token": "4", "logprob": -0.5}]}'):
        found = read_token_logprobs(value, PLACE)
        assert found == wanted or found == [{b"4": -0.5}]


def test_refusals(teacher: str, tiny_model: str, tmp_path: Path):
    with pytest.raises(DataError, match="missing: the log-probabilities") as caught:
        Trained(distillation(), tiny_model, tmp_path / "m", rows())
    assert caught.value.field == "logprobs"
    other = [{"token": "Nothing", "logprob": -0.1}]
    data = ft.Dataset.from_rows([{"messages": row.messages, "logprobs": other} for row in rows(2)])
    with pytest.raises(DataError, match=r"tokens are not the model's: token 1 of the answer is 'Nothing'"):
        Trained(distillation(), tiny_model, tmp_path / "m", data)
    prompts = ft.Dataset.from_rows([{"prompt": row.prompt} for row in rows(2)])
    with pytest.raises(DataError, match="lmbda=1"):
        Trained(gkd(teacher), tiny_model, tmp_path / "m", prompts)
    with pytest.raises(ft.ModelError):
        Trained(gkd("local:no-such-model-anywhere", lmbda=1), tiny_model, tmp_path / "m", prompts)
    with pytest.raises(ft.ConfigError, match="teacher"):
        ft.GKD(teacher="openai:gpt-4.1")
