"""Trackers see each event of a run once, whoever polls, and one that fails harms nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

import ftkit as ft
from ftkit.runs.run import Run
from ftkit.runs.trackers import TRACKERS, JsonLinesTracker, RunTrackers, TrackerWarning, create_tracker
from ftkit.store import Event, RunRecord, Store

ROWS = [{"q": f"What is {n} plus one?", "a": str(n + 1)} for n in range(16)]


class Recorder:
    def __init__(self) -> None:
        self.seen: list[object] = []

    def on_start(self, run: RunRecord) -> None:
        self.seen.append(("start", run.recipe["kind"], run.backend, run.data_fingerprint))

    def on_event(self, run: RunRecord, event) -> None:
        self.seen.append(event.seq)

    def on_end(self, run: RunRecord) -> None:
        self.seen.append(("end", run.state))


@pytest.fixture
def run_id(ftkit_home: Path) -> str:
    return new_run("20260101-000000-aaaa", ["jsonl"])


def new_run(run_id: str, trackers: list[str]) -> str:
    record = RunRecord(
        id=run_id, backend="local", model="m", created_at=1.0, recipe={"kind": "sft"}, task={}, rows=3,
        data_fingerprint="sha256:0",
    )  # fmt: skip
    Store().create(record, trackers=trackers)
    return run_id


def lines(path: Path) -> list[dict]:
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]


def deliver(run_id: str) -> None:
    store = Store()
    RunTrackers(store, run_id).deliver(store.get(run_id))


@pytest.mark.slow
def test_a_local_run_is_tracked_from_start_to_end(tiny_model: str, ftkit_home: Path) -> None:
    data = ft.Dataset.from_rows(ROWS, ft.Task("Answer.", input="{q}"), target="a")
    recorder = Recorder()
    recipe = ft.SFT(epochs=1, batch_size=8, adapter=ft.LoRA(rank=4))
    run = ft.train(recipe, data, backend=f"local:{tiny_model}", trackers=["jsonl", recorder]).wait(progress=False)
    _ = run.record
    events = run.events()
    assert recorder.seen == [
        ("start", "sft", "local", data.fingerprint),
        *(event.seq for event in events),
        ("end", "succeeded"),
    ]
    written = lines(ftkit_home / "trackers.jsonl")
    assert [line["type"] for line in written] == ["start", *["event"] * len(events), "end"]
    assert [(line["kind"], line["data"]) for line in written[1:-1]] == [(event.kind, event.data) for event in events]
    assert written[0]["recipe"]["batch_size"] == 8
    assert ft.runs.get(run.id).state == "succeeded"
    assert lines(ftkit_home / "trackers.jsonl") == written


def test_another_process_goes_on_where_one_died(run_id: str, ftkit_home: Path) -> None:
    store = Store()
    for number in range(3):
        store.append(run_id, "step", {"step": number})
    script = (
        "import os, sys\n"
        "from ftkit.runs import trackers\n"
        "real = trackers.JsonLinesTracker.on_event\n"
        "def on_event(self, run, event):\n"
        "    real(self, run, event)\n"
        "    if event.data.get('step') == 1: os._exit(9)\n"
        "trackers.JsonLinesTracker.on_event = on_event\n"
        "from ftkit.store import Store\n"
        "trackers.RunTrackers(Store(), sys.argv[1]).deliver(Store().get(sys.argv[1]))\n"
    )
    assert subprocess.run([sys.executable, "-c", script, run_id], check=False).returncode == 9
    store.update(run_id, state="succeeded")
    deliver(run_id)
    deliver(run_id)
    written = lines(ftkit_home / "trackers.jsonl")
    assert [line.get("seq") for line in written[1:-1]] == [event.seq for event in store.events(run_id)]
    assert [line["type"] for line in written].count("start") == 1
    assert written[-1]["type"] == "end"


def test_a_line_that_was_cut_off_is_written_again(run_id: str, ftkit_home: Path) -> None:
    deliver(run_id)
    file = ftkit_home / "trackers.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    store = Store()
    store.set_tracker_position(run_id, "jsonl", 0, None)
    deliver(run_id)
    readable = []
    for text in file.read_text(encoding="utf-8").splitlines():
        try:
            readable.append(json.loads(text))
        except ValueError:
            continue
    assert [line["type"] for line in readable] == ["start", "event"]


def test_many_who_poll_deliver_each_event_once(run_id: str, ftkit_home: Path) -> None:
    store = Store()
    for number in range(20):
        store.append(run_id, "step", {"step": number})
    threads = [threading.Thread(target=deliver, args=(run_id,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deliver(run_id)
    seqs = [line["seq"] for line in lines(ftkit_home / "trackers.jsonl") if line["type"] == "event"]
    assert seqs == [event.seq for event in store.events(run_id)]


def test_a_run_that_is_resumed_ends_again(run_id: str, ftkit_home: Path) -> None:
    store = Store()
    for state in ("cancelled", "queued", "succeeded"):
        store.update(run_id, state=state)
        deliver(run_id)
    types = [line["type"] for line in lines(ftkit_home / "trackers.jsonl")]
    assert types == ["start", "event", "event", "end", "event", "event", "end"]


def test_a_tracker_that_fails_warns_once_and_harms_nothing(ftkit_home: Path) -> None:
    class Broken(Recorder):
        def on_event(self, run: RunRecord, event) -> None:
            raise OSError("no network")

    TRACKERS.register("broken", Broken)
    try:
        run_id = new_run("20260101-000000-bbbb", ["broken", "jsonl"])
        recorder, store = Recorder(), Store()
        store.update(run_id, state="succeeded")
        run = Run(store.get(run_id), store, trackers=[Broken(), recorder])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(3):
                assert run.state == "succeeded"
            assert Run(store.get(run_id), store).state == "succeeded"
        said = [str(warning.message) for warning in caught if warning.category is TrackerWarning]
        assert len(said) == 2  # the object, and the name
        assert all("OSError: no network" in message for message in said)
        assert recorder.seen[-1] == ("end", "succeeded")
        assert lines(ftkit_home / "trackers.jsonl")[-1]["type"] == "end"
        # Another process tries the event again that failed here.
        assert store.tracker_positions(run_id)["broken"] == (0, None)
    finally:
        TRACKERS.unregister("broken")


def test_a_wrong_tracker_is_refused_before_the_run(tiny_model: str, ftkit_home: Path) -> None:
    data = ft.Dataset.from_rows(ROWS, ft.Task("Answer.", input="{q}"), target="a")
    with pytest.raises(ft.ConfigError, match=r"no tracker 'json'\. Did you mean 'jsonl'\?"):
        ft.train(ft.SFT(), data, backend=f"local:{tiny_model}", trackers=["json"])
    TRACKERS.register("incomplete", lambda: object())
    try:
        with pytest.raises(ft.ConfigError, match="has no on_start and no on_event and no on_end"):
            create_tracker("incomplete")
    finally:
        TRACKERS.unregister("incomplete")
    assert ft.runs.all() == []


def test_the_file_is_named_after_the_colon(tmp_path: Path) -> None:
    tracker = create_tracker(f"jsonl:{tmp_path / 'steps.jsonl'}")
    assert isinstance(tracker, JsonLinesTracker)
    assert tracker.path == tmp_path / "steps.jsonl"


class _Linked:
    """A tracker at a server whose address has a password."""

    def on_start(self, run: RunRecord) -> None:
        pass

    def on_event(self, run: RunRecord, event: Event) -> None:
        raise ValueError("no connection to https://ann:pw-secret@host.example/api")

    def on_end(self, run: RunRecord) -> None:
        pass

    def link(self, run: RunRecord) -> str:
        return "https://ann:pw-secret@host.example/runs/7?apiKey=pw-secret#/metrics"


def test_passwords_of_trackers_are_not_stored(run_id: str, ftkit_home: Path) -> None:
    store = Store()
    with pytest.warns(TrackerWarning, match=r"no connection to https://\[key\]@host\.example/api"):
        RunTrackers(store, run_id, [_Linked()]).deliver(store.get(run_id))
    [event] = [event for event in store.events(run_id) if "link" in event.data]
    assert event.data["link"] == "https://host.example/runs/7#/metrics"
    assert not any(b"pw-secret" in file.read_bytes() for file in ftkit_home.rglob("*") if file.is_file())
