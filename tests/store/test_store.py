"""The store of runs: nothing lost between processes, nothing believed that is not so."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ftkit.errors import RunError, RunNotFoundError
from ftkit.store import OPEN_STATES, RunRecord, Store


def record(run_id: str = "20260101-000000-aaaa", **changes: object) -> RunRecord:
    given = {
        "id": run_id,
        "backend": "local",
        "model": "m",
        "created_at": 1.0,
        "recipe": {"kind": "sft"},
        "task": {},
        "rows": 3,
        "data_fingerprint": "sha256:0",
    }
    return RunRecord.model_validate(given | changes)


def test_a_run_comes_back_as_it_was(ftkit_home: Path) -> None:
    Store().create(record())
    assert Store().get("20260101-000000-aaaa") == record()
    assert [event.data for event in Store().events(record().id)] == [{"state": "queued"}]


def test_the_beginning_of_an_id_is_enough_when_only_one_begins_so() -> None:
    store = Store()
    store.create(record("20260101-000000-aaaa"))
    store.create(record("20260101-000000-bbbb"))
    assert store.get("20260101-000000-b").id.endswith("bbbb")
    with pytest.raises(RunNotFoundError, match="2 runs begin with '20260101'"):
        store.get("20260101")
    with pytest.raises(RunNotFoundError, match=r"no run '%'"):
        store.get("%")


def test_an_id_is_taken_once() -> None:
    Store().create(record())
    with pytest.raises(RunError, match="already"):
        Store().create(record())


def test_of_two_who_end_a_run_the_first_is_believed() -> None:
    store = Store()
    store.create(record())
    store.update(record().id, expect=OPEN_STATES, state="succeeded")
    assert store.update(record().id, expect=OPEN_STATES, state="failed", error="late").state == "succeeded"
    states = [event.data["state"] for event in store.events(record().id)]
    assert states == ["queued", "succeeded"]


def test_newest_first_and_forgotten_for_good() -> None:
    store = Store()
    store.create(record("old", created_at=1.0))
    store.create(record("new", created_at=2.0))
    assert [run.id for run in store.all()] == ["new", "old"]
    store.delete("old")
    assert [run.id for run in store.all()] == ["new"]
    assert store.events("old") == []


def test_events_of_many_processes_are_all_there(ftkit_home: Path) -> None:
    store = Store()
    store.create(record())
    code = (
        "from ftkit.store import Store; import sys\n"
        "for i in range(50): Store().append('20260101-000000-aaaa', 'log', {'message': sys.argv[1], 'i': i})"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, name]) for name in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    events = store.events(record().id)
    assert len(events) == 1 + 150
    assert [event.seq for event in events] == sorted({event.seq for event in events})
    for name in "abc":
        assert [e.data["i"] for e in events if e.data.get("message") == name] == list(range(50))
    assert store.events(record().id, after=events[-2].seq) == events[-1:]


def test_a_newer_store_is_left_alone(ftkit_home: Path) -> None:
    Store()
    with sqlite3.connect(ftkit_home / "runs.sqlite3") as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(RunError, match="newer ftkit"):
        Store()


def test_a_broken_store_is_named(ftkit_home: Path) -> None:
    (ftkit_home / "runs.sqlite3").write_bytes(b"this is no database" * 100)
    with pytest.raises(RunError, match=r"runs\.sqlite3 cannot be used"):
        Store()


def test_a_transaction_is_committed_whole_or_not_at_all() -> None:
    store = Store()
    store.create(record())

    def fail() -> None:
        with store.transaction(record().id) as run:
            run.update(handle={"job": "1"})
            run.append("log", {"message": "lost"})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert store.get(record().id).handle == {}
    assert len(store.events(record().id)) == 1
    with store.transaction(record().id) as run:
        run.update(state="running", reason="why")
        assert [event.data for event in run.events()][-1] == {"state": "running", "reason": "why"}
    assert store.get(record().id).state == "running"


def test_an_event_of_a_host_is_stored_once() -> None:
    store = Store()
    store.create(record())
    store.create(record("another"))
    for _ in range(2):
        with store.transaction(record().id) as run:
            run.append("log", {"message": "told"}, source_id="event-1")
            run.append("log", {"message": "ours"})
    with store.transaction("another") as run:
        assert run.append("log", {"message": "told"}, source_id="event-1")
    assert store.source_ids(record().id) == {"event-1"}
    said = [event.data.get("message") for event in store.events(record().id)]
    assert said == [None, "told", "ours", "ours"]


def test_of_many_processes_that_change_a_record_none_overwrites_another(ftkit_home: Path) -> None:
    store = Store()
    store.create(record())
    code = (
        "from ftkit.store import Store; import sys\n"
        "for i in range(30):\n"
        "    with Store().transaction('20260101-000000-aaaa') as run:\n"
        "        run.update(handle=run.record.handle | {f'{sys.argv[1]}{i}': i})\n"
        "        run.append('log', {'i': i}, source_id=str(i))\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, name]) for name in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert len(store.get(record().id).handle) == 90
    assert [event.data["i"] for event in store.events(record().id)[1:]] == list(range(30))


def test_a_store_of_version_1_is_migrated(ftkit_home: Path) -> None:
    ftkit_home.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(ftkit_home / "runs.sqlite3") as old:
        old.executescript(
            "CREATE TABLE runs (id TEXT PRIMARY KEY, created_at REAL NOT NULL, state TEXT NOT NULL, "
            "record TEXT NOT NULL);"
            "CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL REFERENCES runs(id) ON "
            "DELETE CASCADE, at REAL NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL);"
            "CREATE INDEX events_of_run ON events (run_id, seq); PRAGMA user_version = 1;"
        )
        old.execute("INSERT INTO runs VALUES (?, 1.0, 'queued', ?)", (record().id, record().model_dump_json()))
        old.execute(
            "INSERT INTO events (run_id, at, kind, data) VALUES (?, 1.0, 'log', '{\"message\": \"old\"}')",
            (record().id,),
        )
    store = Store()
    assert store.get(record().id) == record()
    with store.transaction(record().id) as run:
        run.append("log", {"message": "new"}, source_id="event-1")
    assert [event.data["message"] for event in Store().events(record().id)] == ["old", "new"]


def test_a_password_that_version_0_1_stored_is_not_shown() -> None:
    old = record(model="http://ann:pw-12345@host.example/v1?key=pw-12345#m")
    assert old.model == "http://host.example/v1#m"
    assert "pw-12345" not in repr(old) + old.model_dump_json()
    assert record(model="smollm2-135m?chat_template=/a/b.jinja").model == "smollm2-135m?chat_template=/a/b.jinja"
