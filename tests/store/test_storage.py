"""The store on a full disk, on a read-only one, and beside what is no store: what can be read is read."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ftkit as ft
from ftkit.backends.local.event_log import EventLog, keep_trying
from ftkit.errors import ConfigError, RunError, RunNotFoundError, StorageError
from ftkit.store import Store, StoreWarning, UnreadableRunError
from tests.disks import filled, read_only, small_disk
from tests.store.test_store import record

RUN = record().id


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 1) as folder:
        yield folder


def test_reading_creates_nothing(ftkit_home: Path) -> None:
    assert Store().all() == []
    assert Store().events("any") == []
    with pytest.raises(RunNotFoundError):
        Store().get("any")
    assert not (ftkit_home / "runs.sqlite3").exists()
    assert not (ftkit_home / "runs").exists()


def test_a_full_disk_is_called_so_and_can_be_read(disk: Path) -> None:
    store = Store(disk)
    store.create(record())
    with filled(disk):
        assert Store(disk).all() == [record()]
        assert len(Store(disk).events(RUN)) == 1
        with pytest.raises(StorageError, match=r"the disk is full.*runs\.sqlite3.*Reading still works") as caught:
            Store(disk).append(RUN, "log", {"message": "x" * 50_000})
        assert caught.value.full
        assert Store(disk).get(RUN) == record()
    Store(disk).append(RUN, "log", {"message": "again"})
    assert Store(disk).events(RUN)[-1].data == {"message": "again"}


def test_events_wait_for_room_in_their_order(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(disk)
    store.create(record())
    events = EventLog(store, RUN)
    with filled(disk):
        for number in range(200):
            events.append("log", {"message": "x" * 500, "number": number})
        with pytest.raises(StorageError):
            keep_trying(events.flush, 0.0)
        assert len(store.events(RUN)) < 200
    keep_trying(events.flush, 0.0)
    stored = store.events(RUN)
    assert [event.data["number"] for event in stored if "number" in event.data] == list(range(200))
    assert [event.at for event in stored[1:-1]] == sorted(event.at for event in stored[1:-1])
    assert "stored late: the disk is full" in stored[-1].data["message"]


def test_a_database_that_may_not_grow_is_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """As above, where no file system can be mounted: SQLite itself raises the error of a full disk."""
    store = Store()
    store.create(record())
    real = sqlite3.connect

    def connect(*arguments, **options):
        connection = real(*arguments, **options)
        connection.execute("PRAGMA max_page_count = 1")
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect)
    events = EventLog(store, RUN)
    for number in range(100):
        events.append("log", {"message": "x" * 500, "number": number})
    with pytest.raises(StorageError, match="the disk is full") as caught:
        events.flush()
    assert caught.value.full
    monkeypatch.undo()
    events.flush()
    assert [e.data["number"] for e in store.events(RUN) if "number" in e.data] == list(range(100))


@pytest.mark.parametrize("journal", ["TRUNCATE", "WAL"], ids=["now", "as version 0.1 wrote it"])
def test_a_read_only_home_is_read(disk: Path, monkeypatch: pytest.MonkeyPatch, journal: str) -> None:
    monkeypatch.setenv("FTKIT_HOME", str(disk))
    Store().create(record(state="succeeded"))
    Store().create(record("open", handle={"pid": 1}))
    with sqlite3.connect(disk / "runs.sqlite3") as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
    connection.close()
    with read_only(disk):
        assert {run.id for run in ft.runs.all()} == {RUN, "open"}
        assert ft.runs.get(RUN).events()[0].data == {"state": "succeeded"}
        with pytest.warns(StoreWarning, match="may be old.*read-only"):
            assert ft.runs.get("open").state == "queued"
        with pytest.raises(StorageError, match="read-only"):
            Store().append(RUN, "log", {})
        shown = subprocess.run([sys.executable, "-m", "ftkit", "runs"], capture_output=True, text=True, check=True)
        assert RUN in shown.stdout
    assert ft.runs.get("open").state == "failed"


def test_a_store_with_a_write_ahead_log_is_taken_over(ftkit_home: Path) -> None:
    Store().create(record())
    with sqlite3.connect(ftkit_home / "runs.sqlite3") as connection:
        assert connection.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
    Store().append(RUN, "log", {"message": "beside a connection that is open"})
    connection.close()
    assert len(Store().events(RUN)) == 2
    assert (ftkit_home / "runs.sqlite3").read_bytes()[18:20] == b"\x01\x01"
    assert [file.name for file in ftkit_home.glob("runs.sqlite3?*") if file.stat().st_size] == []


@pytest.mark.parametrize("column", ["{", '{"id": "x"}', "[]", "", "\x00", '{"state": "lost"}'])
def test_one_unreadable_record_leaves_the_others(ftkit_home: Path, column: str) -> None:
    store = Store()
    store.create(record("broken"))
    store.create(record(state="succeeded"))
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE runs SET record = ? WHERE id = 'broken'", (column,))
    connection.close()
    with pytest.warns(StoreWarning, match="record of run broken .* left out"):
        assert [run.id for run in ft.runs.all()] == [RUN]
    assert ft.runs.get(RUN).state == "succeeded"
    with pytest.raises(UnreadableRunError, match=r"run broken in \S+runs\.sqlite3 cannot be read .*runs delete broken"):
        ft.runs.get("brok")
    with pytest.raises(UnreadableRunError):
        store.update("broken", state="failed")
    with pytest.raises(UnreadableRunError):
        ft.runs.delete("brok")
    ft.runs.delete("broken")
    assert [run.id for run in store.all()] == [RUN]


def test_an_unreadable_event_leaves_the_others(ftkit_home: Path) -> None:
    store = Store()
    store.create(record())
    for kind, data in (("log", "{"), ("unheard of", "{}"), ("step", "[]"), ("log", '{"message": "good"}')):
        with sqlite3.connect(store.path) as connection:
            connection.execute("INSERT INTO events (run_id, at, kind, data) VALUES (?, 1.0, ?, ?)", (RUN, kind, data))
        connection.close()
    kinds = [event.kind for event in store.events(RUN)]
    assert kinds == ["state", "warning", "warning", "warning", "log"]
    assert "cannot be read" in store.events(RUN)[1].data["message"]


def test_what_is_no_store_is_named(ftkit_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (ftkit_home / "runs.sqlite3").mkdir()
    with pytest.raises(RunError, match=r"runs\.sqlite3 is a folder, .* move it away"):
        ft.runs.all()
    (ftkit_home / "runs.sqlite3").rmdir()
    os.mkfifo(ftkit_home / "runs.sqlite3")
    with pytest.raises(RunError, match="no regular file"):
        ft.runs.all()
    (tmp_path / "file").write_text("")
    for home in (tmp_path / "file", tmp_path / "file" / "below"):
        monkeypatch.setenv("FTKIT_HOME", str(home))
        with pytest.raises(ConfigError, match="is not a folder: a file is in its place"):
            ft.runs.all()
