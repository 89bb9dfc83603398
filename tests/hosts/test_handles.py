"""The record of a hosted run: typed, written by several processes at once, and readable from earlier versions."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

import ftkit as ft
from ftkit.backends.hosted.job_handle import JobHandle, update_handle
from ftkit.backends.openai_jobs import OpenAIJobs
from ftkit.store import RunRecord, Store
from ftkit.store.run_lock import starting

from .conftest import QUICK
from .openai_host import OpenAIFake

OLD_HANDLE = {
    "key": "ftkit-old-1",
    "phase": "created",
    "url": "http://127.0.0.1/v1",
    "max_cost": None,
    "extra": {},
    "files": {"training": {"id": "file-1", "mine": True, "name": "ftkit-ab.jsonl", "size": 12}},
    "asked_at": 5.0,
    "job": "ftjob-1",
    "seen": ["ftevent-1", "ftevent-1-validation"],
    "paused": False,
}
"""As version 0.1 wrote it."""


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("ftkit.runs.run._POLL_S", 0.0)


def record(**changes: object) -> RunRecord:
    given = {
        "id": "20260101-000000-aaaa", "backend": "openai", "model": "m", "created_at": 1.0,
        "recipe": {"kind": "sft"}, "task": {}, "rows": 3, "data_fingerprint": "sha256:0",
    }  # fmt: skip
    return RunRecord.model_validate({**given, **changes})


def test_a_handle_of_an_earlier_version_loads_and_keeps_its_fields(home: Path) -> None:
    handle = JobHandle.of(record(handle=OLD_HANDLE))
    assert handle is not None
    assert (handle.job, handle.phase, handle.files["training"].mine) == ("ftjob-1", "created", True)
    assert handle.model_dump(mode="json") == OLD_HANDLE
    assert JobHandle.of(record(handle={"key": "k", "phase": "uploading"})) == JobHandle(key="k")
    assert JobHandle.of(record(handle={"pid": 7})) is None
    store = Store()
    store.create(record(handle=OLD_HANDLE))
    update_handle(store, record().id, paused=True)
    assert store.get(record().id).handle == OLD_HANDLE | {"paused": True}
    with pytest.raises(ValidationError):
        update_handle(store, record().id, phase="lost")


def test_events_of_an_earlier_version_are_not_stored_again(openai_fake, openai_jobs, notes) -> None:
    run = ft.train(ft.SFT(epochs=1), notes, backend=openai_jobs)
    (job,) = openai_fake.jobs.values()
    (created,) = openai_fake.events[job["id"]]
    update_handle(Store(), run.id, seen=(created["id"],))
    run.wait(progress=False)
    said = [event.data.get("message", "") for event in run.events()]
    assert not any(message.startswith("Created fine-tuning job") for message in said)


def test_many_who_poll_store_each_event_and_each_change_once(openai_fake: OpenAIFake, notes: ft.Dataset) -> None:
    def backend() -> OpenAIJobs:
        return OpenAIJobs("gpt-4.1-mini", base_url=f"{openai_fake.url}/v1", api_key=openai_fake.key, retry_policy=QUICK)

    started = ft.train(ft.SFT(epochs=1), notes, backend=backend())

    def poll() -> None:
        place, store = backend(), Store()
        while store.get(started.id).state in ("queued", "running"):
            place.refresh(store.get(started.id), store)

    threads = [threading.Thread(target=poll) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = Store().events(started.id)
    steps = [event.data["step"] for event in events if event.kind == "step"]
    assert steps == sorted(set(steps))
    assert [event.data["state"] for event in events if event.kind == "state"][-1] == "succeeded"
    assert len([event for event in events if event.kind == "state"]) <= 3
    messages = [event.data["message"] for event in events if event.kind == "log"]
    assert len(messages) == len(set(messages))
    assert len([event for event in events if event.kind == "validation"]) == 1


def test_many_who_cancel_end_a_run_once(openai_fake: OpenAIFake, openai_jobs: OpenAIJobs, notes: ft.Dataset) -> None:
    run = ft.train(ft.SFT(epochs=1), notes, backend=openai_jobs)
    record, store = Store().get(run.id), Store()
    threads = [threading.Thread(target=openai_jobs.cancel, args=(record, store)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    states = [event.data["state"] for event in store.events(run.id) if event.kind == "state"]
    assert states.count("cancelled") == 1


@pytest.mark.parametrize("step_s", [-86_400.0, 0.0, 86_400.0])
def test_a_run_that_was_never_sent_fails_whatever_the_clock_says(
    openai_jobs: OpenAIJobs, home: Path, step_s: float
) -> None:
    store = Store()
    record = RunRecord(
        id="20260101-000000-aaaa", backend="openai", model="gpt-4.1-mini", created_at=time.time() + step_s, rows=1,
        recipe={"kind": "sft"}, task={}, data_fingerprint="sha256:x",
    )  # fmt: skip
    store.create(record)
    run = ft.runs.get(record.id)
    run._backend = openai_jobs
    with starting(store.run_folder(record.id)):
        assert run.state == "queued"
    openai_jobs.poll_schedule.reset()
    assert run.state == "failed"
    assert "cut off before anything was sent" in str(run.record.error)
