"""vLLM itself answers a user's script in the server as ftkit's own engine does."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.server.app import create_app
from ftkit.server.settings import Settings
from tests.server.chat.conftest import client_of, running
from tests.server.vllm.script import NOTE, chats, everything
from tests.tiny import save_adapter

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        not (os.environ.get("FTKIT_VLLM") or shutil.which("vllm")),
        reason="vLLM is not installed: make vllm-env, and set FTKIT_VLLM=.vllm/bin/vllm",
    ),
]
ROWS = 4
"""Answers that vLLM generates together."""


@pytest.fixture(scope="module")
def models(shared_models: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    base, folder = str(shared_models / "smollm2-135m-instruct"), tmp_path_factory.mktemp("adapters")
    options = {"target_modules": ["q_proj", "v_proj"], "r": 4}
    one, two = (save_adapter(folder / f"tuned{seed}", base, seed=seed, **options) for seed in (1, 2))
    return {"smol": base, "one": one, "two": two}


@pytest.fixture(scope="module")
def url(models: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    engine = ft.VLLM(options=("--enforce-eager",), max_model_len=1024, max_num_seqs=ROWS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTKIT_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        patch.setenv("OMP_NUM_THREADS", "1")
        with running(create_app(Settings(models=models, engine=engine))) as address:
            yield address


def rounded(answer: Any) -> Any:
    """An answer in which log-probabilities that differ by rounding are equal."""
    if isinstance(answer, dict):
        return {name: rounded(value) for name, value in answer.items()}
    if isinstance(answer, list):
        return [rounded(value) for value in answer]
    return pytest.approx(answer, abs=5e-3) if isinstance(answer, float) else answer


def test_a_script_gets_the_same_answers_from_both_engines(url: str, models: dict[str, str]) -> None:
    with ThreadPoolExecutor(len(models)) as pool:  # the adapters side by side
        client = client_of(url).with_options(timeout=900)
        asked = [
            pool.submit(ask, client, name) for ask, name in zip((everything, everything, chats), models, strict=True)
        ]
        other = {name: answer for one in asked for name, answer in one.result().items()}
    with running(create_app(Settings(models=models))) as address:
        client = client_of(address)
        own = everything(client, "smol") | everything(client, "one") | chats(client, "two")
    assert own["smol: chat"] != own["one: chat"] != own["two: chat"]
    for name, answer in own.items():
        assert other[name] == rounded(answer), name


def test_answers_end_when_their_clients_leave(url: str) -> None:
    client = client_of(url).with_options(timeout=900)
    ask: dict[str, Any] = {"model": "smol", "messages": NOTE, "temperature": 0}
    client.chat.completions.create(**ask, max_tokens=1)
    began = time.monotonic()
    client.chat.completions.create(**ask, max_tokens=20)
    each = (time.monotonic() - began) / 20
    long = {**ask, "max_tokens": 600, "logit_bias": {"2": -100, "0": -100}, "stream": True}
    for stream in [client.chat.completions.create(**long) for _ in range(ROWS)]:
        next(iter(stream))
        stream.close()
    began = time.monotonic()
    client.chat.completions.create(**ask, max_tokens=1)
    assert time.monotonic() - began < 200 * each  # and not after 600 tokens
