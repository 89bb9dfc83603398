"""A server that runs already, told by its address; and which adapters are loaded beside a base."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import ftkit as ft
from ftkit.backends import Request, Sampling
from ftkit.errors import ConfigError, ModelError
from ftkit.inference.vllm.adapters import why_merged
from ftkit.inference.vllm.server_process import free_port
from ftkit.modeling.model_source import find_source
from ftkit.server.app import create_app
from ftkit.server.settings import Settings
from ftkit.training.job import Job, train
from tests.inference.vllm.conftest import Calls
from tests.server.chat.conftest import running
from tests.tiny import save_adapter, save_tiny

TASK = ft.Task("Say yes.", input="{text}")
SHORT = Sampling(max_output_tokens=6)
KEY = "key-of-the-server"


@pytest.fixture
def url(program: str, tiny_model: str, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    port = str(free_port())
    command = [program, "serve", tiny_model, "--host", "127.0.0.1", "--port", port, "--served-model-name", "mine"]
    with subprocess.Popen(command, env={**os.environ, "VLLM_API_KEY": KEY}, stdout=subprocess.DEVNULL) as process:
        address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 20
        while True:
            try:
                httpx.get(f"{address}/health", trust_env=False)
                break
            except httpx.HTTPError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield address
        process.kill()


def test_a_told_server_is_asked_and_left_running(
    url: str, tiny_model: str, tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ft.VLLM(url=url)
    # Its own template is compared, so it needs one; the program in its place renders what it is sent.
    model = ft.Model(f"local:{tiny_model}", TASK, engine=engine)
    with pytest.raises(ModelError, match="refuses the API key"):
        model.predict(text="a")
    monkeypatch.setenv("FTKIT_VLLM_API_KEY", KEY)
    monkeypatch.setattr("ftkit.inference.vllm.server.check_tokens", lambda *given, **options: None)
    [answer] = model.answer_many([Request(TASK.prompt({"text": "a"}))], SHORT)
    about = model.about()
    assert answer.text.startswith("0")
    assert calls.to("/v1/completions")[0]["model"] == "mine"
    assert about["engine"] == {"name": "vllm", "version": "0.32.0", "url": url, "base": tiny_model}
    assert KEY not in repr(engine)
    assert KEY not in str(about)
    dora = save_adapter(tmp_path / "dora", tiny_model, use_dora=True)
    with pytest.raises(ModelError, match=r"cannot be served at http.*DoRA.*Export it merged"):
        ft.Model(f"local:{dora}", TASK, engine=engine).predict(text="a")
    model.close()
    assert httpx.get(f"{url}/health", trust_env=False).status_code == 200
    with pytest.raises(ModelError, match="serves no base model 'other'; it has mine"):
        ft.Model(f"local:{tiny_model}", TASK, engine=ft.VLLM(url=url, served_name="other")).predict(text="a")


def test_rollouts_leave_a_told_server_without_their_adapters(
    url: str, tiny_model: str, tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTKIT_VLLM_API_KEY", KEY)
    monkeypatch.setattr("ftkit.inference.vllm.server.check_tokens", lambda *given, **options: None)
    recipe = ft.RFT(
        grader=ft.StringCheckGrader(reference="x"), rollouts=ft.VLLM(url=url), epochs=1, batch_size=1, probe_prompts=0,
        num_generations=2, max_output_tokens=4, adapter=ft.LoRA(rank=2), precision="fp32",
    )  # fmt: skip
    data = ft.Dataset.from_rows([{"text": "a"}, {"text": "b"}], TASK)
    events: list[Any] = []
    train(Job(recipe, data, None, tiny_model, tmp_path / "model"), lambda *event: events.append(event))
    [about] = [data for _, data in events if data.get("message") == "vLLM samples the rollouts"]
    assert (about["url"], about["version"]) == (url, "0.32.0")
    assert len(calls.to("/v1/completions")) == 4
    listed = httpx.get(f"{url}/v1/models", headers={"authorization": f"Bearer {KEY}"}).json()["data"]
    assert [one["id"] for one in listed] == ["mine"]
    recipe = recipe.model_copy(update={"temperature": 0.7})
    with pytest.raises(ModelError, match="start it with --logprobs-mode processed_logprobs"):
        train(Job(recipe, data, None, tiny_model, tmp_path / "model"), lambda *event: None)


def test_a_server_answers_with_a_told_one_and_tells_clients_nothing_of_it(
    url: str, tiny_model: str, tokenizer: Any, tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = {"tiny": tiny_model, "other": save_tiny(tmp_path / "other", "qwen3", tokenizer, seed=3)}
    monkeypatch.setenv("FTKIT_VLLM_API_KEY", KEY)
    monkeypatch.setattr("ftkit.inference.vllm.server.check_tokens", lambda *given, **options: None)
    engine = ft.VLLM(url=url)
    ask: dict[str, Any] = {"messages": [{"role": "user", "content": "a"}], "max_tokens": 3, "temperature": 0}
    with running(create_app(Settings(models=models, engine=engine))) as address:

        def answered(model: str) -> tuple[int, str]:
            reply = httpx.post(f"{address}/v1/chat/completions", json={"model": model, **ask}, timeout=60)
            assert url.removeprefix("http://") not in reply.text
            assert KEY not in reply.text
            return reply.status_code, str((reply.json().get("error") or {}).get("message"))

        assert answered("tiny")[0] == 200
        # Both have the same tokens, so nothing else would tell that other weights answer.
        said = "The model 'other' cannot be used: the server of the model serves another base model."
        assert answered("other") == (503, said)
        monkeypatch.setenv("FTKIT_VLLM_API_KEY", "another")
        assert answered("tiny")[0] == 200  # by the connection that is there
        os.kill(calls.starts[0]["pid"], signal.SIGKILL)
        found = [answered("tiny") for _ in range(2)]
        assert [status for status, _ in found] == [503, 503]
        assert all("cannot be reached" in said for _, said in found)


def test_what_is_no_server_is_explained(tiny_model: str) -> None:
    engine = ft.VLLM(url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ModelError, match=r"vLLM cannot be reached at http://127.0.0.1:\d+/v1/models"):
        ft.Model(f"local:{tiny_model}", TASK, engine=engine).predict(text="a")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"url": "127.0.0.1:8000"}, "like http://127.0.0.1:8000"),
        ({"url": "http://me:secret@host"}, "give no key in the address"),
        ({"url": "http://host", "dtype": "float16"}, "dtype: how a server is started"),
        ({"options": ("--port", "1")}, "ftkit sets --port itself"),
        ({"options": ("--enable_lora",)}, "ftkit sets --enable-lora itself"),
        ({"served_name": "x"}, "give url, too"),
        ({"max_lora_rank": 12}, "max_lora_rank"),
        ({"options": ("--dty", "float16")}, "ftkit sets --dtype itself"),
        ({"options": ("--structured-outputs-config.backend=xgrammar",)}, "ftkit sets --structured-outputs-config"),
        ({"options": ("-q", "awq")}, "ftkit sets -q itself"),
        ({"options": ("another-model",)}, "value of no option"),
        ({"options": ("--hf-token", "secret")}, "leave out --hf-token"),
        ({"options": ("--ssl-keyfile=key.pem",)}, "leave out --ssl-keyfile"),
        ({"url": "http://host/v1"}, "leave out /v1"),
        ({"url": "http://host/?api_key=secret"}, "without"),
        ({"url": "http://host/\n"}, "like http"),
        ({"url": "http://host", "api_key_env": "sk-secret"}, "name of an environment variable"),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        ft.VLLM(**fields)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, None),
        ({"use_rslora": True}, None),
        ({"r": 128}, "its rank is 128"),
        ({"use_dora": True}, "DoRA"),
        ({"bias": "all"}, "LoRA adapters alone"),
        ({"modules_to_save": ["lm_head"]}, "LoRA adapters alone"),
        ({"alpha_pattern": {"q_proj": 3}}, "alpha_pattern"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
    ],
)
def test_adapters_that_vllm_would_serve_otherwise_are_merged(
    settings: dict[str, Any], why: str | None, tiny_model: str, tmp_path: Path
) -> None:
    from peft import LoraConfig

    options: dict[str, Any] = {"r": 4, "target_modules": "all-linear", **settings}
    LoraConfig(base_model_name_or_path=tiny_model, **options).save_pretrained(tmp_path)
    found = why_merged(find_source(str(tmp_path)), max_rank=64)
    assert found is None if why is None else why in str(found)
