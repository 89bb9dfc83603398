"""Too many questions, too little memory."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from ftkit.server.app import create_app
from ftkit.server.settings import Settings
from tests.server.chat.conftest import client_of, running
from tests.server.chat.test_completions import ask, local, text, wait_for

ROOM = 20 * 2**20
"""For one tiny model, of about 13 MiB, with its caches and some adapters."""


def test_more_than_may_wait_are_told_when_to_come_back(settings):
    app = create_app(settings.model_copy(update={"max_answers": 8, "batch_answers": 2}))
    with running(app) as url, ThreadPoolExecutor(100) as pool:
        client = client_of(url)
        ask(client)
        gate = threading.Barrier(100)

        def one(number: int) -> Any:
            gate.wait()
            try:
                return text(ask(client, max_completion_tokens=8))
            except openai.RateLimitError as error:
                return error

        found = list(pool.map(one, range(100)))
        answered = [one for one in found if isinstance(one, str)]
        refused = [one for one in found if not isinstance(one, str)]
        assert len(answered) >= 8
        assert set(answered) == {answered[0]}
        assert refused
        assert all(1 <= int(one.response.headers["retry-after"]) <= 60 for one in refused)
        assert {one.code for one in refused} == {"rate_limit_exceeded"}
        with pytest.raises(openai.RateLimitError):
            ask(client, n=9)
        # The official client comes back by itself.
        patient = client.with_options(max_retries=8)
        assert {text(ask(patient)) for _ in range(3)} == {text(ask(client))}


def test_models_make_room_for_each_other(settings, tiny_model, other_model):
    app = create_app(settings.model_copy(update={"memory_bytes": ROOM, "cache_bytes": 2**20}))
    with running(app) as url, ThreadPoolExecutor(12) as pool:
        client = client_of(url)
        expected = {"tiny": local(tiny_model), "other": local(other_model)}
        for name in ("tiny", "other", "tiny"):
            assert text(ask(client, name)) == expected[name]
            [load] = app.state.serving.stats()
            assert load.held_bytes <= ROOM
        # Both asked at once: each waits for its turn, and none waits for ever.
        names = ["tiny", "other"] * 2
        asked = [pool.submit(ask, client, name) for name in names]
        assert [text(one.result()) for one in asked] == [expected[name] for name in names]


def test_adapters_make_room_for_each_other(settings, adapters):
    from ftkit.modeling.memory_footprint import adapter_bytes
    from ftkit.modeling.model_source import find_source

    size = adapter_bytes(find_source(adapters[0]).adapter)
    app = create_app(settings.model_copy(update={"memory_bytes": ROOM, "cache_bytes": 2**20}))
    with running(app) as url:
        client = client_of(url)
        ask(client)
        base = app.state.serving.stats()[0].held_bytes
    app = create_app(settings.model_copy(update={"memory_bytes": base + 2 * size + size // 2, "cache_bytes": 2**20}))
    with running(app) as url:
        client = client_of(url)
        for number in (0, 1, 2, 0):
            assert text(ask(client, f"tuned{number}")) == local(adapters[number])
            assert app.state.serving.stats()[0].adapters <= 2


def test_a_model_that_never_fits_is_refused(settings):
    app = create_app(settings.model_copy(update={"memory_bytes": 2**20, "cache_bytes": 2**18}))
    with running(app) as url, pytest.raises(openai.InternalServerError, match="raise the memory limit"):
        ask(client_of(url))


def test_a_model_that_cannot_be_loaded_is_told_and_tried_again(settings, tiny_model, tmp_path):
    import shutil

    folder = tmp_path / "broken"
    shutil.copytree(tiny_model, folder)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    app = create_app(Settings(models={"broken": str(folder)}))
    with running(app) as url:
        client = client_of(url)
        for _ in range(2):
            with pytest.raises(openai.InternalServerError, match="cannot be used"):
                ask(client, "broken")
        assert app.state.serving.stats() == []
        weights.write_bytes(whole)
        assert text(ask(client, "broken"))
        wait_for(lambda: app.state.serving.in_progress == 0)
