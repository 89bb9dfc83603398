"""Submissions with a fault at every call: one job each, no file left behind, no run lost."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import get_args

import pytest

import ftkit as ft
from ftkit.backends.openai_jobs import OpenAIJobs
from ftkit.errors import FtkitError
from ftkit.store import RunTransaction, Store

from .conftest import QUICK
from .openai_host import OpenAIFake
from .serving import Call, Fault

FAULTS = get_args(Fault)


class Crash(BaseException):
    """The process dies here."""


def _submit(where: OpenAIJobs, notes: ft.Dataset, known: set[str]) -> ft.Run | None:
    """What a person does: start; after a crash or an error look, and go on with what was cut off."""
    try:
        return ft.train(ft.SFT(epochs=1), notes, backend=where)
    except (FtkitError, Crash):
        made = [run for run in ft.runs.all() if run.id not in known]
        return made[0] if made else None


def _settled(run: ft.Run, where: OpenAIJobs) -> ft.Run:
    for _ in range(40):
        where.poll_schedule.reset()  # time passes
        again = ft.runs.get(run.id)
        again._backend = where
        if again.record.handle.get("job"):
            return again
        if again.state == "failed":
            try:
                again.resume()
            except FtkitError:
                continue
    raise AssertionError(f"run {run.id} is lost: {Store().get(run.id)}")


def _go(fake: OpenAIFake, notes: ft.Dataset, seed: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    where = OpenAIJobs("gpt-4.1-mini", base_url=f"{fake.url}/v1", api_key=fake.key, retry_policy=QUICK)

    def fault(call: Call) -> Fault | None:
        return chance.choice(FAULTS) if chance.random() < 0.35 else None

    fake.fault = fault
    real = Store.transaction

    @contextlib.contextmanager
    def transaction(store: Store, run_id: str) -> Iterator[RunTransaction]:
        """Crash now and then where the handle changes, before it is committed or after."""
        with real(store, run_id) as run:
            before = run.record.handle
            yield run
            crash = run.record.handle != before and chance.random() < crashing[0]
            if crash and chance.random() < 0.5:
                raise Crash
        if crash:
            raise Crash

    crashing = [0.0]
    monkeypatch.setattr(Store, "transaction", transaction)
    runs = []
    known: set[str] = set()
    for number in range(count):
        rows = [{"text": f"{seed} {number} {row}", "team": "red"} for row in range(10)]
        data = ft.Dataset.from_rows(rows, notes.task, target="team")
        crashing[0] = 0.15
        run = _submit(where, data, known)
        crashing[0] = 0.0
        assert run is not None
        known.add(run.id)
        if Store().get(run.id).handle:  # else it died before it had a key, so nothing was ever sent
            runs.append(run)
    settled = [_settled(run, where) for run in runs]
    keys = [job["metadata"]["ftkit_run"] for job in fake.jobs.values()]
    assert len(keys) == len(set(keys)) == len(runs)
    assert {run.record.handle["job"] for run in settled} == set(fake.jobs)
    named = {job["training_file"] for job in fake.jobs.values()}
    left = {
        file["filename"] for file in fake.files.values() if file["id"] not in named and file["purpose"] == "fine-tune"
    }
    used = {fake.files[file]["filename"] for file in named}
    assert left <= used, "files of no job are left"
    fake.fault = lambda call: None
    assert all(run.wait(progress=False).state == "succeeded" for run in settled[:3])


def test_thirty_submissions_through_faults(openai_fake, notes, monkeypatch):
    monkeypatch.setattr("ftkit.runs.run._POLL_S", 0.0)
    _go(openai_fake, notes, 1, 30, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 8))
def test_three_hundred_submissions_through_faults(openai_fake, notes, monkeypatch, seed):
    monkeypatch.setattr("ftkit.runs.run._POLL_S", 0.0)
    _go(openai_fake, notes, seed, 60, monkeypatch)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", ["list_files", "upload", "create"])
def test_each_fault_at_each_call_once(openai_fake, openai_jobs, notes, monkeypatch, call, fault):
    monkeypatch.setattr("ftkit.runs.run._POLL_S", 0.0)
    place = {
        "list_files": ("GET", "/v1/files"),
        "upload": ("POST", "/v1/files"),
        "create": ("POST", "/v1/fine_tuning/jobs"),
    }
    faults = iter([fault])
    openai_fake.fault = lambda made: next(faults, None) if (made.method, made.path) == place[call] else None
    assert ft.train(ft.SFT(), notes, backend=openai_jobs).wait(progress=False).state == "succeeded"
    assert len(openai_fake.jobs) == 1
    assert len([file for file in openai_fake.files.values() if file["purpose"] == "fine-tune"]) == 1


def test_a_refusal_after_a_lost_answer_finds_the_job(openai_fake, openai_jobs, notes):
    lost = iter(["drop_after"])

    def fault(call: Call) -> Fault | None:
        if call.method == "POST" and call.path.endswith("/jobs"):
            openai_fake.closed = True
            return next(lost, None)  # type: ignore[arg-type]
        return None

    openai_fake.closed = False
    create = openai_fake._create
    openai_fake._create = lambda call: (setattr(openai_fake, "closed", False), create(call))[1]  # type: ignore[method-assign]
    openai_fake.fault = fault
    run = ft.train(ft.SFT(), notes, backend=openai_jobs)
    assert run.record.handle["job"] in openai_fake.jobs
    assert len(openai_fake.jobs) == 1
