"""What is damaged in a record or an event is named, and hides neither the rest of it nor the other runs."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ftkit.cli.app import app
from ftkit.store import RunRecord, Store

LOCAL, HOSTED, GOOD = "20260101-000000-aaa1", "20260102-000000-aaa2", "20260103-000000-aaa3"


@pytest.fixture(autouse=True)
def store(ftkit_home: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Three runs: a local one that succeeded, one at a host that cannot be reached, and one that stays whole."""
    monkeypatch.setenv("OPENAI_API_KEY", "k" * 12)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    made = Store()
    for run_id, backend, state in (
        (LOCAL, "local", "succeeded"),
        (HOSTED, "openai", "running"),
        (GOOD, "local", "failed"),
    ):
        handle = {"key": "ftkit-x", "phase": "created", "job": "ftjob-1", "url": "http://127.0.0.1:1/v1"}
        record: dict[str, Any] = {"recipe": {"kind": "sft", "adapter": {"kind": "lora"}}, "task": {}, "rows": 3}
        record |= {"data_fingerprint": "sha256:x", "handle": handle if backend == "openai" else {}}
        made.create(RunRecord(id=run_id, backend=backend, model="m", state=state, created_at=1.7e9, **record))
        made.append(run_id, "step", {"step": 1, "loss": 0.5})
    return made


def ftkit(*words: str) -> str:
    shown = CliRunner().invoke(app, ["runs", *words])
    assert shown.exception is None or isinstance(shown.exception, SystemExit), repr(shown.exception)
    assert "unexpected" not in shown.output
    assert "bug in ftkit" not in shown.output
    return shown.output


def change(store: Store, statement: str, *values: object) -> None:
    with sqlite3.connect(store.path) as connection:
        connection.execute(statement, values)


FIELDS = {
    "handle": {"key": 5, "job": [1], "files": 7, "requests": "many"},
    "created_at": 1e300,
    "finished_at": -1e200,
    "summary": {"tuned_model": 5, "checkpoints": 7, "cost_usd": "free", "seconds": []},
    "task": {"output": {"kind": "nope"}},
    "recipe": {"kind": "nope", "adapter": 5},
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_damaged_field_of_a_record_hides_no_other_run(store: Store, field: str) -> None:
    damaged = json.dumps(FIELDS[field])
    change(store, f"UPDATE runs SET record = json_set(record, '$.{field}', json(?)) WHERE id != ?", damaged, GOOD)
    assert GOOD in ftkit("list")
    assert GOOD in ftkit("list", "--json")
    for run_id in (LOCAL, HOSTED, GOOD):
        assert run_id in ftkit("show", run_id)
        ftkit("events", run_id)


@pytest.mark.parametrize(
    "data", [{"step": "x", "loss": [], "steps": {}}, {"step": [1], "loss": "x"}, {"estimated_usd": "x"}, {}]
)
def test_a_damaged_event_hides_no_run(store: Store, data: dict[str, Any]) -> None:
    change(store, "UPDATE events SET data = ?, at = 1e300", json.dumps(data))
    for run_id in (LOCAL, HOSTED, GOOD):
        assert run_id in ftkit("show", run_id)
        ftkit("events", run_id)
    assert GOOD in ftkit("list")


def test_a_pipe_in_place_of_a_log_is_not_waited_for(store: Store) -> None:
    store.run_folder(LOCAL).mkdir(parents=True)
    os.mkfifo(store.run_folder(LOCAL) / "log.txt")
    ftkit("log", LOCAL)
