"""Models in memory: loaded once, within limits, unloaded, and loaded again when their files were replaced."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ftkit as ft
from ftkit.backends.local.answerer import LocalAnswerer
from ftkit.inference import limits
from ftkit.inference import shared_pool as shared_pool_module
from ftkit.inference.limits import loaded_model_limits, set_loaded_model_limits
from ftkit.inference.loaded_model import ModelLease
from ftkit.inference.model_pool import ModelPool
from ftkit.inference.offline import PendingGenerations, generate
from ftkit.inference.pool_settings import PoolSettings
from ftkit.inference.shared_pool import shared_pool
from ftkit.modeling.load_for_inference import load_served
from tests.tiny import save_adapter, save_tiny

TASK = ft.Task("Say it.", input="{q}")
SHORT = ft.Sampling(max_output_tokens=6)
PROMPT = np.arange(100, 140, dtype=np.int32)


@pytest.fixture
def fresh_pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A shared pool of its own for one test."""
    monkeypatch.setattr(shared_pool_module, "_shared", None)
    monkeypatch.setattr(limits, "_set", None)
    yield
    if shared_pool_module._shared is not None:
        shared_pool_module._shared.close()


@pytest.fixture
def tuned(tiny_model: str, tmp_path: Path) -> list[str]:
    return [save_adapter(tmp_path / f"tuned{n}", tiny_model, seed=n) for n in range(6)]


def ids(lease: ModelLease) -> tuple[int, ...]:
    pending = PendingGenerations(lease.engine, [PROMPT], max_new_tokens=8, adapter=lease.adapter)
    return pending.futures[0].result().ids


def expected(name: str) -> tuple[int, ...]:
    return generate(load_served(name), [PROMPT], max_new_tokens=8)[0].ids


def test_models_asked_for_at_once_are_loaded_whole(tiny_model: str, tokenizer: Any, tmp_path: Path) -> None:
    names = [tiny_model, save_tiny(tmp_path / "other", "qwen3", tokenizer, seed=3)]
    answers = {name: expected(name) for name in names}
    for _ in range(3):
        pool = ModelPool(PoolSettings())

        def ask(name: str, pool: ModelPool = pool) -> bool:
            with pool.lease(name) as lease:
                return ids(lease) == answers[name]

        with ThreadPoolExecutor(4) as threads:
            assert all(threads.map(ask, names * 3))
        assert len(pool.stats()) == 2
        pool.close()


def test_the_memory_limit_holds_while_models_take_turns(tiny_model: str, tokenizer: Any, tmp_path: Path) -> None:
    names = [tiny_model, save_tiny(tmp_path / "other", "qwen3", tokenizer, seed=3)]
    limit = 20 * 2**20  # for one of them
    pool = ModelPool(PoolSettings(limit, cache_bytes=2**20))
    most: list[int] = []

    def ask(name: str) -> None:
        with pool.lease(name) as lease:
            ids(lease)
            most.append(sum(model.held_bytes for model in pool.stats()))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(ask, names * 4))
    assert max(most) <= limit
    pool.close()


@pytest.mark.slow
def test_six_tuned_models_do_not_grow_memory(fresh_pool: None, tuned: list[str]) -> None:
    set_loaded_model_limits(max_models=2)
    models: list[weakref.ref[Any]] = []
    for name in tuned:
        ft.Model(f"local:{name}", TASK, sampling=SHORT).predict(q="one")
        with shared_pool().lease(name) as lease:
            models.append(weakref.ref(lease.pretrained.model))
        assert len(shared_pool().stats()) <= 2
    for thread in threading.enumerate():
        if thread.name.startswith("ftkit-") and "tuned" in thread.name:
            thread.join(0.1)
    gc.collect()
    assert sum(model() is not None for model in models) <= 2
    assert models[-1]() is not None


def test_a_model_in_use_is_not_unloaded(fresh_pool: None, tuned: list[str]) -> None:
    set_loaded_model_limits(max_models=1)
    pool = shared_pool()
    with pool.lease(tuned[0]) as first:
        with pool.lease(tuned[1]) as second:  # the limit is exceeded rather than waiting for ever
            assert ids(second) == expected(tuned[1])
            assert len(pool.stats()) == 2
        assert ids(first) == expected(tuned[0])
    assert len(pool.stats()) == 1


def test_closing_unloads(fresh_pool: None, tiny_model: str) -> None:
    with ft.Model(f"local:{tiny_model}", TASK, sampling=SHORT) as model:
        first = model.predict(q="one")
        with shared_pool().lease(tiny_model) as lease:
            weights = weakref.ref(lease.pretrained.model)
        del lease
        assert len(shared_pool().stats()) == 1
    gc.collect()
    assert shared_pool().stats() == []
    assert weights() is None
    assert model.predict(q="one") == first  # loaded again

    async def asynchronously() -> Any:
        async with ft.Model(f"local:{tiny_model}", TASK, sampling=SHORT) as other:
            return await other.apredict(q="one")

    assert asyncio.run(asynchronously()) == first
    assert shared_pool().stats() == []


def test_closing_while_it_answers_waits_for_the_answer(fresh_pool: None, tiny_model: str) -> None:
    pool = shared_pool()
    with pool.lease(tiny_model) as lease:
        LocalAnswerer(tiny_model).close()
        assert ids(lease) == expected(tiny_model)
        assert pool.stats() == []  # nobody else gets it
        with pool.lease(tiny_model) as other:
            assert ids(other) == expected(tiny_model)


def test_a_replaced_folder_is_noticed(fresh_pool: None, tiny_model: str, tuned: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tuned[0], folder)
    model = ft.Model(f"local:{folder}", TASK, sampling=SHORT)
    others = [ft.Model(f"local:{name}", TASK, sampling=SHORT).predict(q="one") for name in tuned[:2]]
    assert others[0] != others[1]
    assert model.predict(q="one") == others[0]
    # Replaced as a whole, as a finished run replaces it, with the same sizes and the same times.
    aside = tmp_path / "aside"
    shutil.copytree(tuned[1], aside)
    for file in aside.iterdir():
        stat = (folder / file.name).stat()
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    shutil.rmtree(folder)
    aside.rename(folder)
    assert model.predict(q="one") == others[1]
    assert asyncio.run(model.apredict(q="one")) == others[1]
    assert sum(one.model == tiny_model for one in shared_pool().stats()) <= 3


def test_a_replaced_adapter_beside_a_base_is_noticed(tuned: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tuned[0], folder)
    pool = ModelPool(PoolSettings())
    with pool.lease(str(folder)) as lease:
        assert ids(lease) == expected(tuned[0])
        shutil.copytree(tuned[1], folder, dirs_exist_ok=True)
        with pool.lease(str(folder)) as other:
            assert ids(other) == expected(tuned[1])
        assert ids(lease) == expected(tuned[0])  # what is in use stays
    assert len(pool.stats()) == 1
    pool.close()


def test_calls_in_flight_share_batches(fresh_pool: None, tiny_model: str) -> None:
    model = ft.Model(f"local:{tiny_model}", TASK, sampling=ft.Sampling(max_output_tokens=40))
    rows = [{"q": f"{number}"} for number in range(20)]
    together = model.predict_many(rows)
    LocalAnswerer(tiny_model).close()

    async def one_by_one() -> list[Any]:
        return await asyncio.gather(*(model.apredict(**row) for row in rows))

    assert asyncio.run(one_by_one()) == together
    stats = LocalAnswerer(tiny_model).stats()
    assert stats.max_running > 10
    assert stats.steps < 3 * 40  # alone, each of the 20 answers takes up to 40
    LocalAnswerer(tiny_model).close()
    with ThreadPoolExecutor(20) as threads:
        assert list(threads.map(lambda row: model.predict(**row), rows)) == together
    assert LocalAnswerer(tiny_model).stats().max_running > 10


def test_a_call_that_is_given_up_stops_its_answers(fresh_pool: None, tiny_model: str) -> None:
    model = ft.Model(f"local:{tiny_model}", TASK, sampling=ft.Sampling(max_output_tokens=400))
    model.predict_many([{"q": "1"}, {"q": "2"}])

    async def give_up() -> None:
        task = asyncio.create_task(model.apredict(q="three"))
        while not LocalAnswerer(tiny_model).stats().running:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())
    # The cancellation reaches the engine between two of its steps; a call that nobody stops takes 400 of them.
    with shared_pool().lease(tiny_model) as lease:
        deadline = time.monotonic() + 60
        while lease.engine.stats().running and time.monotonic() < deadline:
            time.sleep(0.001)
        assert lease.engine.stats().steps < 800


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_set", None)
    assert loaded_model_limits().max_models == 4
    monkeypatch.setenv("FTKIT_MAX_LOADED_MODELS", "2")
    monkeypatch.setenv("FTKIT_MAX_LOADED_BYTES", "1000000")
    assert loaded_model_limits() == limits.LoadedModelLimits(2, 1_000_000)
    set_loaded_model_limits(max_models=3)
    assert loaded_model_limits() == limits.LoadedModelLimits(3, 1_000_000)
    monkeypatch.setattr(limits, "_set", None)
    monkeypatch.setenv("FTKIT_MAX_LOADED_MODELS", "none")
    with pytest.raises(ft.ConfigError, match="FTKIT_MAX_LOADED_MODELS"):
        loaded_model_limits()
    with pytest.raises(ft.ConfigError, match="max_models must be at least 1"):
        set_loaded_model_limits(max_models=0)
