"""Runs on this machine train in their order, as many at once as may; a waiting one is queued and can be cancelled."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

import ftkit as ft
from ftkit.backends.local.device_queue import default_max_parallel, wait_for_device
from ftkit.store import RunRecord, Store
from ftkit.store.run_lock import RunLock


def queued(store: Store, *numbers: int) -> dict[str, RunLock]:
    locks = {}
    for number in numbers:
        record = RunRecord(
            id=f"run-{number}", backend="local", model="m", created_at=1e9 + number, recipe={}, task={}, rows=1,
            data_fingerprint="sha256:0",
        )  # fmt: skip
        store.create(record)
        lock = RunLock.acquire(store.run_folder(record.id))  # as its worker holds it
        assert lock is not None
        locks[record.id] = lock
    return locks


def ask(store: Store, run_id: str, said: list[str], places: int = 1) -> RunLock | None:
    return wait_for_device(store, run_id, places, stopped=lambda: False, on_wait=said.append)


def test_the_oldest_run_trains_first_and_the_next_when_it_ends(ftkit_home: Path) -> None:
    store, said, order = Store(), list[str](), list[str]()
    locks = queued(store, 1, 2)

    def work(run_id: str) -> None:
        place = ask(store, run_id, said)
        assert place is not None
        order.append(run_id)
        store.update(run_id, state="running")
        time.sleep(0.1)
        locks[run_id].close()
        place.close()

    later = threading.Thread(target=work, args=("run-2",))
    later.start()
    time.sleep(0.2)
    assert order == []
    work("run-1")
    later.join(30)
    assert order == ["run-1", "run-2"]
    assert said == ["waiting for its turn: 1 run at once on a device (FTKIT_MAX_PARALLEL); queued before it: run-1"]


def test_two_at_once_and_a_cancelled_one_stops_waiting(ftkit_home: Path) -> None:
    store, said = Store(), list[str]()
    queued(store, 1, 2, 3)
    first = ask(store, "run-1", said, places=2)
    store.update("run-1", state="running")
    second = ask(store, "run-2", said, places=2)
    store.update("run-2", state="running")
    assert first is not None
    assert second is not None
    found: list[RunLock | None] = []
    third = threading.Thread(target=lambda: found.append(ask(store, "run-3", said, places=2)))
    third.start()
    time.sleep(0.2)
    assert found == []
    store.update("run-3", state="cancelled")
    third.join(30)
    assert found == [None]


def test_the_number_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_max_parallel() == 1
    monkeypatch.setenv("FTKIT_MAX_PARALLEL", "3")
    assert default_max_parallel() == 3
    for wrong in ("0", "many", "-1", "99999"):
        monkeypatch.setenv("FTKIT_MAX_PARALLEL", wrong)
        with pytest.raises(ft.ConfigError, match="whole number above 0"):
            default_max_parallel()


@pytest.mark.slow
def test_real_runs_wait_for_each_other(tiny_model: str) -> None:
    rows = [{"q": f"What is {n} plus one?", "a": str(n + 1)} for n in range(24)]
    data = ft.Dataset.from_rows(rows, ft.Task("Answer.", input="{q}"), target="a")
    recipe = ft.SFT(epochs=20, batch_size=8, adapter=ft.LoRA(rank=4))
    first, second, third = (ft.train(recipe, data, backend=f"local:{tiny_model}") for _ in range(3))
    assert third.cancel().state == "cancelled"
    states = set()
    while second.state in ("queued", "running"):
        states.add((first.state, second.state))
        time.sleep(0.1)
    assert second.state == "succeeded"
    assert ("running", "running") not in states
    assert ("running", "queued") in states
    assert any("waiting for its turn" in str(event.data.get("message")) for event in second.events())
