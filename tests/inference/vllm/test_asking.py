"""What vLLM is asked, and what is read from its answers."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.backends import Request, Sampling
from ftkit.backends.engines import ENGINES
from ftkit.backends.local import LocalBackend
from ftkit.errors import ConfigError, ModelError, RefusedError
from tests.inference.vllm.conftest import Calls
from tests.tiny import save_adapter

TASK = ft.Task("Say yes or no.", input="{text}", output=ft.ChoiceOutput(choices=("yes", "no", 'ma"ybe', "é🙂")))
SHORT = Sampling(max_output_tokens=4)


def test_a_prompt_is_asked_by_its_token_ids_with_every_option(
    tiny_model: str, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-host")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    with ft.Model(f"local:{tiny_model}", TASK, engine="vllm") as model:
        [answer] = model.answer_many([Request(TASK.prompt({"text": "a"}))], Sampling(max_output_tokens=4))
        [sampled] = model.answer_many(
            [Request(TASK.prompt({"text": "a"}))],
            Sampling(max_output_tokens=99, temperature=0.5, top_p=0.9, seed=3, constrained=True),
        )
        about = model.about()
    first, second, *scored = calls.to("/v1/completions")
    scored.sort(key=lambda body: len(body["prompt"]))
    assert answer.text.startswith("0")
    assert answer.finish_reason == "length"
    assert (answer.input_tokens, answer.output_tokens, answer.cached_tokens) == (len(first["prompt"]), 4, 3)
    assert answer.logprob == pytest.approx(-2.0)
    assert sampled.finish_reason == "stop"
    # Under a grammar vLLM's log-probabilities are those of the allowed tokens, so each token is asked for without.
    assert sampled.logprob == pytest.approx(-0.5 * sampled.output_tokens)
    answered = [token for body in scored for token in body["allowed_token_ids"]]
    assert [body["prompt"] for body in scored] == [
        [*second["prompt"], *answered[:at]] for at in range(sampled.output_tokens)
    ]
    assert not any("structured_outputs" in body or body["max_tokens"] != 1 for body in scored)
    assert (first["temperature"], first["max_tokens"], first["logprobs"]) == (0.0, 4, 0)
    assert "seed" not in first
    assert (second["temperature"], second["top_p"]) == (0.5, 0.9)
    assert 0 <= second["seed"] < 2**63
    # Nothing is left to a default of the server or of the model's generation config.
    assert (first["top_k"], first["min_p"], first["repetition_penalty"]) == (0, 0.0, 1.0)
    assert first["stop_token_ids"] == [2]
    assert second["structured_outputs"] == {"grammar": r'start: "yes" | "no" | "ma\"ybe" | "\u00e9\ud83d\ude42"'}
    assert about["engine"] == {"name": "vllm", "version": "0.32.0"}
    [start] = calls.starts
    assert {"VLLM_API_KEY", "VLLM_ALLOW_RUNTIME_LORA_UPDATING"} <= set(start["environment"])
    assert not {"OPENAI_API_KEY", "PYTHONPATH"} & set(start["environment"])
    assert not any("key" in argument for argument in start["started"])
    assert about["precision"] == "float32"


def test_an_adapter_answers_beside_its_base_and_is_loaded_again_when_its_files_are_replaced(
    tiny_model: str, tmp_path: Path, calls: Calls
) -> None:
    folder = save_adapter(tmp_path / "adapter", tiny_model, seed=1)
    models = [ft.Model(f"local:{name}", TASK, engine="vllm") for name in (tiny_model, folder)]
    question = [Request(TASK.prompt({"text": "a"}))]

    async def ask() -> list[str]:
        answerers: list[Any] = [one._backend.answerer() for one in models]
        rows = await asyncio.gather(*(one.answer_many_async(question, SHORT) for one in answerers))
        return [answer.text[0] for [answer] in rows]

    assert asyncio.run(ask()) == ["0", "1"]
    save_adapter(tmp_path / "adapter", tiny_model, seed=5)
    assert asyncio.run(ask()) == ["0", "2"]
    [start] = calls.starts
    assert start["started"][:2] == ["serve", tiny_model]
    assert "--enable-lora" in start["started"]
    one, other = calls.to("/v1/load_lora_adapter")
    assert one["lora_path"] == other["lora_path"] == folder
    assert one["lora_name"] != other["lora_name"]


@pytest.mark.slow
def test_an_adapter_that_vllm_cannot_serve_is_merged(tiny_model: str, tmp_path: Path, calls: Calls) -> None:
    folder = save_adapter(tmp_path / "dora", tiny_model, use_dora=True)
    with ft.Model(f"local:{folder}", TASK, engine="vllm") as model:
        [answer] = model.answer_many([Request(TASK.prompt({"text": "a"}))], SHORT)
        about = model.about()
        [start] = calls.starts
        served = Path(start["started"][1])
        assert (served / "model.safetensors").is_file()
        assert not (served / "adapter_config.json").exists()
    assert answer.text.startswith("0")
    assert "--enable-lora" not in start["started"]
    assert "DoRA" in about["engine"]["merged"]
    assert not served.exists()


def test_a_pickle_keeps_the_engine(tiny_model: str, calls: Calls) -> None:
    model = ft.Model(f"local:{tiny_model}", TASK, engine=ft.VLLM(max_num_seqs=3))
    again = pickle.loads(pickle.dumps(model))
    assert again._engine == ft.VLLM(max_num_seqs=3)
    assert type(again._backend.answerer()).__name__ == "VLLMAnswerer"


def test_engines_are_found_by_name_and_others_are_refused(tiny_model: str) -> None:
    assert ENGINES.names() == ("torch", "vllm")
    with pytest.raises(ConfigError, match=r"no engine 'vlm'; known are torch, vllm"):
        ft.Model(f"local:{tiny_model}", TASK, engine="vlm")
    with pytest.raises(RefusedError, match="openai runs its models itself"):
        ft.Model("openai:gpt-4.1-mini", TASK, engine="vllm")


def test_what_needs_the_weights_is_refused(tiny_model: str, calls: Calls) -> None:
    backend = LocalBackend(tiny_model, engine="vllm")
    with pytest.raises(RefusedError, match="leave engine out"):
        backend.embeddings(["a"])
    with pytest.raises(RefusedError, match="leave engine out"):
        backend.scores([[{"role": "user", "content": "a"}]])


def test_a_missing_program_is_explained(tiny_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FTKIT_VLLM", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    model = ft.Model(f"local:{tiny_model}", TASK, engine="vllm")
    with pytest.raises(ConfigError, match=r"vLLM was not found.*FTKIT_VLLM=.*ft.VLLM\(url=…\)"):
        model.predict(text="a")
    monkeypatch.setenv("FTKIT_VLLM", "/nowhere/vllm")
    with pytest.raises(ConfigError, match="FTKIT_VLLM: there is no program '/nowhere/vllm'"):
        model.predict(text="a")


def test_what_goes_wrong_while_it_answers_is_an_error(tiny_model: str, calls: Calls) -> None:
    model, question = ft.Model(f"local:{tiny_model}", TASK, engine="vllm"), [Request(TASK.prompt({"text": "a"}))]
    wrong = {
        "nan": "computes no numbers",
        "break": "cannot be reached|broke off",
        "no_grammar": "Grammar error: not today",
        "die": r"vLLM ended with status 137(.|\n)*out of everything",
    }
    for way, said in wrong.items():
        calls.misbehave("endless")
        [late] = model.answer_many(question, Sampling(max_output_tokens=400), timeout=0.3)
        assert late.timed_out
        calls.misbehave(way)
        with pytest.raises(ModelError, match=said):
            model.answer_many(question, Sampling(max_output_tokens=9, constrained=True))
    calls.misbehave("")
    [answer] = model.answer_many(question, SHORT)  # by another server
    assert answer.text.startswith("0")
    assert len(calls.starts) == 2


def test_other_tokens_are_refused_with_both(tiny_model: str, calls: Calls) -> None:
    calls.misbehave("other_tokens")
    model = ft.Model(f"local:{tiny_model}", TASK, engine="vllm")
    with pytest.raises(ModelError, match=r"other tokens than ftkit for the same text(.|\n)*vLLM:  \[(.|\n)*ftkit: \["):
        model.load()
