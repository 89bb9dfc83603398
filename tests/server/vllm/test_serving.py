"""The server answers with vLLM as it does with ftkit's own engine. A program stands in place of vLLM's."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

import ftkit as ft
from ftkit.errors import ConfigError
from ftkit.inference.engine_thread import EngineThread
from ftkit.inference.protocol import TokenEvent
from ftkit.server.app import create_app
from ftkit.server.settings import Settings, load_settings
from tests.inference.vllm.conftest import Calls
from tests.inference.vllm.test_server_process import runs, wait_for_end
from tests.server.chat.conftest import client_of, running
from tests.server.conftest import Running, ended, new_home, rows, until, uploaded
from tests.server.vllm.script import NOTE, chats, everything, logprobs
from tests.tiny import save_adapter

SHORT: dict[str, Any] = {"messages": NOTE, "temperature": 0, "max_tokens": 6}


@pytest.fixture
def url(tiny_model: str, calls: Calls) -> Iterator[str]:
    with running(create_app(Settings(models={"tiny": tiny_model}, engine=ft.VLLM(max_num_seqs=4)))) as address:
        yield address


def alive(calls: Calls) -> list[int]:
    return [start["pid"] for start in calls.starts if runs(start["pid"])]


def seen(calls: Calls, path: str) -> int:
    """How often the program in place of vLLM's has noted a path."""
    return sum(call.get("path") == path for call in calls.all)


def record(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write what ftkit's own engine answers from now on, as the program in place of vLLM's reads it."""
    add = EngineThread.add

    def recording(self: EngineThread, request: Any, on_event: Any) -> Any:
        tokens: list[Any] = []
        sampling = request.sampling
        bias = sorted((str(token), value) for token, value in sampling.logit_bias)
        grammar = None if request.grammar is None else request.grammar.text
        asked = [grammar, request.max_tokens, sampling.frequency_penalty, bias]

        def receive(event: Any) -> None:
            if isinstance(event, TokenEvent):
                tokens.append((event.token_id, event.logprob, event.top_logprobs))
            else:
                line = {"prompt": request.prompt.tolist(), "base": request.adapter is None, "asked": asked}
                with file.open("a") as out:
                    out.write(json.dumps({**line, "top": request.top_logprobs, "tokens": tokens}) + "\n")
            on_event(event)

        return add(self, request, receive)

    monkeypatch.setattr(EngineThread, "add", recording)


def test_a_script_gets_the_same_answers_from_both_engines(
    tiny_model: str, tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = {"tiny": tiny_model, "tuned": save_adapter(tmp_path / "tuned", tiny_model, seed=1)}
    record(Path(f"{calls.file}.answers"), monkeypatch)
    with running(create_app(Settings(models=models))) as url:
        own = everything(client_of(url), "tiny") | chats(client_of(url), "tuned")
    with running(create_app(load_settings(models=models, engine="vllm"))) as url:
        other = everything(client_of(url), "tiny") | chats(client_of(url), "tuned")
        metrics = httpx.get(f"{url}/metrics").text
        health = httpx.get(f"{url}/health").json()
        [start] = calls.starts
        assert runs(start["pid"])
    for name, answer in own.items():
        assert other[name] == answer, name
    assert own["tiny: chat"] != own["tuned: chat"]
    assert health == {"status": "ok"}
    assert 'ftkit_model_adapters{model="tiny",number="0"} 1.0' in metrics
    assert 'ftkit_batch_answers{model="tiny",number="0"} 0.0' in metrics
    assert "ftkit_model_bytes{" not in metrics  # vLLM's memory is not ftkit's
    asked = calls.to("/v1/completions")
    assert {body["cache_salt"] for body in asked} == {"default"}
    # The tokens of a schema are asked for again only where their log-probabilities are wanted.
    with_logprobs = [own[f"tiny: schema, {what}"] for what in ("logprobs", "stream")]
    tokens = [sum(len(one["content"]) for one in found) for found in map(logprobs, with_logprobs)]
    assert sum("allowed_token_ids" in body for body in asked) >= sum(tokens) > 0
    assert sum("allowed_token_ids" in body for body in asked) <= sum(tokens) + 2  # and those that end the answers
    wait_for_end(start["pid"])


def test_a_client_that_leaves_ends_its_answer(url: str, calls: Calls) -> None:
    client = client_of(url)
    client.chat.completions.create(**SHORT, model="tiny")
    calls.misbehave("endless")
    body = {**SHORT, "max_tokens": 400, "model": "tiny"}
    stream = client.chat.completions.create(**body, stream=True)
    assert next(iter(stream)).choices  # it may come before vLLM is asked
    until(lambda: seen(calls, "/v1/completions"), lambda count: count == 2)
    stream.close()
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as leaving:
        content = json.dumps(body).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(content)}\r\n"
        leaving.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + content)
        until(lambda: seen(calls, "/v1/completions"), lambda count: count == 3)
    until(lambda: seen(calls, "disconnected"), lambda count: count == 2)


def test_errors_are_openais_and_tell_nothing_of_the_inside(
    url: str, calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    body = {**SHORT, "model": "tiny"}
    post = f"{url}/v1/chat/completions"
    assert httpx.post(post, json=body, timeout=60).status_code == 200
    for way, status, said in (
        ("refuse", 400, "vLLM refuses the request: Grammar error: not today."),
        ("die", 503, "the server of the model has ended."),
    ):
        calls.misbehave(way)
        with httpx.stream("POST", post, json={**body, "stream": True}, timeout=60) as stream:
            lines = [line.removeprefix("data: ") for line in stream.iter_lines() if line]
        answer = httpx.post(post, json=body, timeout=60)
        kind = "server_error" if status == 503 else "invalid_request_error"
        error = {"message": f"The model could not answer: {said}", "type": kind, "param": None, "code": None}
        assert (answer.status_code, answer.json()) == (status, {"error": error})
        assert json.loads(lines[-2]) == {"error": error}
        assert lines[-1] == "[DONE]"
    assert "out of everything" in caplog.text  # the owner reads why
    calls.misbehave("")
    assert httpx.post(post, json=body, timeout=60).status_code == 200  # by a new server
    assert len(calls.starts) == 3


def test_a_server_that_does_not_start_fails_all_who_wait_for_it(url: str, calls: Calls) -> None:
    calls.misbehave("refuse_start")
    with ThreadPoolExecutor(6) as pool:
        asked = [
            pool.submit(httpx.post, f"{url}/v1/chat/completions", json={**SHORT, "model": "tiny"}, timeout=60)
            for _ in range(6)
        ]
        answers = [one.result() for one in asked]
    said = "The model 'tiny' cannot be used: the server of the model has ended."
    assert {(answer.status_code, answer.json()["error"]["message"]) for answer in answers} == {(503, said)}
    assert len(calls.starts) <= 2
    calls.misbehave("")
    assert httpx.post(f"{url}/v1/chat/completions", json={**SHORT, "model": "tiny"}, timeout=60).status_code == 200


def test_base_models_take_turns(tiny_model: str, other_model: str, calls: Calls) -> None:
    settings = Settings(models={"tiny": tiny_model, "other": other_model}, engine="vllm")
    with running(create_app(settings)) as url, ThreadPoolExecutor(4) as pool:
        client, most = client_of(url), list[int]()
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.05):
                most.append(len(alive(calls)))

        watcher = threading.Thread(target=watch)
        watcher.start()
        # A request with several prompts asks for its model once, or it would wait for the one that waits for it.
        texts = {"prompt": ["a", "b", "c"], "temperature": 0, "max_tokens": 2}
        asked = [pool.submit(client.completions.create, model=name, **texts) for name in ("tiny", "other", "tiny")]
        for one in asked:
            assert len(one.result().choices) == 3
        done.set()
        watcher.join()
    assert max(most) == 1
    assert not alive(calls)


def test_what_vllm_cannot_do_is_refused_by_name(url: str, calls: Calls) -> None:
    with pytest.raises(openai.BadRequestError, match="gives no embeddings: vLLM has the model's weights in a process"):
        client_of(url).embeddings.create(model="tiny", input="a")
    assert not calls.starts


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"engine": "vlm"}, "engine: there is no engine 'vlm'; known are torch, vllm"),
        ({"engine": {"kind": "vllm", "max_num_seq": 2}}, "there is no such field in VLLM; did you mean max_num_seqs?"),
        ({"engine": {"kind": "torch", "dtype": "float32"}}, "the engine torch has no settings; leave out dtype"),
        ({"engine": {"max_num_seqs": 2}}, "give the engine's kind, one of torch, vllm"),
        ({"engine": "vllm", "memory_bytes": 2**30}, "memory_bytes: vLLM does not keep it"),
        ({"engine": "vllm", "cache_bytes": 2**30}, "cache_bytes: vLLM does not keep it"),
        ({"engine": {"kind": "vllm", "max_num_seqs": 2}, "batch_answers": 3}, "batch_answers is 3, and max_num_seqs"),
        ({"engine": {"kind": "vllm", "executable": "/nowhere"}}, "there is no program '/nowhere'"),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused(settings: dict[str, Any], said: str, calls: Calls) -> None:
    with pytest.raises(ConfigError, match=said):
        create_app(load_settings(**settings))


def test_settings_of_the_file_are_kept_beside_the_name_of_the_command_line(tmp_path: Path, calls: Calls) -> None:
    file = tmp_path / "serve.toml"
    file.write_text('[engine]\nkind = "vllm"\nmax_num_seqs = 2\noptions = ["--enforce-eager"]\n')
    found = load_settings(file, engine={"kind": "vllm"})
    assert found.engine == ft.VLLM(max_num_seqs=2, options=("--enforce-eager",))
    file.write_text('engine = "torch"\n')
    assert load_settings(file, engine={"kind": "vllm"}).engine == ft.VLLM()


@pytest.mark.slow
@pytest.mark.parametrize("end", ["SIGTERM", "SIGKILL", "SIGTERM while it starts"])
def test_vllm_ends_with_the_server(
    end: str, tiny_model: str, shared_models: Path, tmp_path: Path, calls: Calls
) -> None:
    home = new_home(tmp_path / "served", shared_models)
    server = Running(home, "--model", f"tiny={tiny_model}", "--engine", "vllm", settings="shutdown_patience_s = 1\n")
    ask = {**SHORT, "model": "tiny"}
    if end == "SIGTERM while it starts":
        calls.misbehave("never_ready")
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{server.url}/v1/chat/completions", json=ask, timeout=8)
        with ThreadPoolExecutor(1) as pool:
            late = pool.submit(httpx.post, f"{server.url}/v1/chat/completions", json=ask, timeout=60)
            until(lambda: calls.starts, bool, 30)
            assert server.stop() == 0
            assert late.exception() is not None or late.result().status_code == 503
    else:
        assert server.client().chat.completions.create(**ask).choices
        assert alive(calls)
        if end == "SIGTERM":
            assert server.stop() == 0
        else:
            server.kill()
    wait_for_end(*(start["pid"] for start in calls.starts))
    assert "Traceback" not in "".join(server.log)


@pytest.mark.slow
def test_a_job_trains_as_ever_and_its_model_answers_beside_its_base(
    tiny_model: str, shared_models: Path, tmp_path: Path, calls: Calls
) -> None:
    home = new_home(tmp_path / "served", shared_models)
    server = Running(home, "--model", f"tiny={tiny_model}", "--engine", "vllm")
    client = server.client()
    job = client.fine_tuning.jobs.create(model="tiny", training_file=uploaded(client, rows(10)))
    done = ended(client, job.id)
    assert done.status == "succeeded", done.error
    answers = [client.chat.completions.create(**SHORT, model=name) for name in ("tiny", done.fine_tuned_model)]
    assert [str(answer.choices[0].message.content)[0] for answer in answers] == ["0", "1"]
    assert len(calls.starts) == 1
    assert server.stop() == 0
