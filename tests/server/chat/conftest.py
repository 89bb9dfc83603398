"""A real server on the loopback with tiny models, one for all tests of a file."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from openai import OpenAI

from ftkit.server.app import create_app
from ftkit.server.settings import Settings
from tests.tiny import save_adapter, save_tiny

ADAPTERS = 6


@contextmanager
def running(app: Any) -> Iterator[str]:
    """The application behind a real socket; gives its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def client_of(url: str, **options: Any) -> OpenAI:
    return OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60, **options)


@pytest.fixture(scope="session")
def adapters(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("adapters")
    return [save_adapter(folder / f"tuned{n}", tiny_model, seed=n) for n in range(ADAPTERS)]


@pytest.fixture(scope="session")
def other_model(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny-qwen3", "qwen3", tokenizer, seed=3)


@pytest.fixture(scope="module")
def settings(tiny_model: str, other_model: str, adapters: list[str]) -> Settings:
    models = {"tiny": tiny_model, "other": other_model} | {f"tuned{n}": one for n, one in enumerate(adapters)}
    return Settings(models=models, aliases={"gpt-4.1-mini-2025-04-14": "tiny"}, cache_bytes=64 * 2**20)


@pytest.fixture(scope="module")
def served(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """``url``, ``app`` and an OpenAI ``client``."""
    home = tmp_path_factory.mktemp("server-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTKIT_HOME", str(home))
        app = create_app(settings)
        with running(app) as url:
            yield SimpleNamespace(url=url, app=app, client=client_of(url))
