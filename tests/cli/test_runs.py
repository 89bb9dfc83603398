from __future__ import annotations

import json
import time

import pytest

import ftkit as ft
from ftkit.store import RunRecord, Store


def create(run_id: str, **fields) -> Store:
    store = Store()
    known = {
        "backend": "toy",
        "model": "base",
        "created_at": time.time(),
        "recipe": ft.SFT(epochs=2, adapter=ft.QLoRA(rank=4)).model_dump(mode="json"),
        "task": ft.Task("Count the words.", input="{text}").model_dump(mode="json"),
        "rows": 1200,
        "data_fingerprint": "sha256:" + "0" * 64,
    }
    store.create(RunRecord.model_validate({**known, **fields, "id": run_id}))
    return store


@pytest.fixture
def three():
    """A run that failed yesterday, one that goes on, and one that succeeded, with steps and a log."""
    at = time.time() - 90_000
    create("20260101-000000-aaaa", state="failed", error="out of luck", created_at=at, finished_at=at + 4000)
    create("20260102-000000-bbbb", state="running", created_at=at + 10)
    store = create("20260102-111111-cccc", state="succeeded", created_at=at + 20, finished_at=at + 120)
    for step in (1, 2):
        data = {"step": step, "steps": 2, "loss": 1 / step, "seconds": 0.123456, "tokens_per_second": 1000.0 + step}
        store.append("20260102-111111-cccc", "step", {**data, "mfu": 0.25 * step, "peak_memory_bytes": 2_345_000_000})
    store.append("20260102-111111-cccc", "validation", {"step": 2, "loss": 0.75, "token_accuracy": 0.875})
    store.append("20260102-111111-cccc", "log", {"message": "loading", "recipe": {"kind": "sft"}})
    folder = store.run_folder("20260102-111111-cccc")
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text("line 1\nline 2\n")
    return store


def test_without_runs_the_list_says_how_to_start_one(ftkit):
    done = ftkit("runs")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "start one with `ftkit train`" in done.stderr
    assert json.loads(ftkit("runs", "list", "--json").stdout) == []


@pytest.mark.parametrize("command", [["runs"], ["runs", "list"]])
def test_the_list_has_the_newest_first(ftkit, three, command):
    head, *lines = ftkit(*command).stdout.splitlines()
    columns = ["ID", "STATE", "MODEL", "ADAPTER", "ROWS", "RANK", "LR", "LOSS", "VALIDATION", "STARTED", "TOOK"]
    assert head.split() == columns
    assert [line.split()[:5] for line in lines] == [
        ["20260102-111111-cccc", "succeeded", "toy:base", "qlora", "1,200"],
        ["20260102-000000-bbbb", "running", "toy:base", "qlora", "1,200"],
        ["20260101-000000-aaaa", "failed", "toy:base", "qlora", "1,200"],
    ]
    assert lines[0].endswith("1 min 40 s")
    assert lines[2].endswith("1 h 6 min")


def test_the_list_is_there_for_programs(ftkit, three):
    listed = json.loads(ftkit("runs", "list", "--json").stdout)
    assert [record["state"] for record in listed] == ["succeeded", "running", "failed"]
    assert RunRecord.model_validate(listed[0]) == three.get("20260102-111111-cccc")


def test_a_run_is_shown_by_the_beginning_of_its_id(ftkit, three):
    shown = dict(line.split(":", 1) for line in ftkit("runs", "show", "20260102-1").stdout.splitlines())
    shown = {name: text.strip() for name, text in shown.items()}
    assert shown["run"] == "20260102-111111-cccc"
    assert shown["state"] == "succeeded (1 min 40 s)"
    assert shown["tuned model"] == "toy:20260102-111111-cccc"
    assert shown["progress"] == "step 2 of 2"
    assert shown["loss"] == "1.0000 → 0.5000"
    assert shown["validation loss"] == "0.7500, token accuracy 87.5%"
    assert shown["speed"] == "1,002 tokens/s, MFU 38%, peak memory 2.35 GB"
    assert shown["task"] == "Count the words."
    assert json.loads(shown["recipe"]) == {"kind": "sft", "epochs": 2, "adapter": {"kind": "qlora", "rank": 4}}
    failed = ftkit("runs", "show", "20260101").stdout
    assert "out of luck" in failed
    assert "tuned model" not in failed


def test_a_run_is_shown_to_programs(ftkit, three):
    shown = json.loads(ftkit("runs", "show", "20260102-1", "--json").stdout)
    assert shown["id"] == "20260102-111111-cccc"
    assert shown["last_step"]["loss"] == 0.5
    assert shown["folder"] == str(three.run_folder(shown["id"]))


def test_waiting_for_runs_that_have_ended(ftkit, three):
    done = ftkit("runs", "wait", "20260102-1")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "succeeded in 1 min 40 s, loss 1.000 → 0.500 over 2 steps" in done.stderr
    failed = ftkit("runs", "wait", "20260101")
    assert failed.exit_code == 1
    assert failed.stderr == "run 20260101-000000-aaaa\nerror: run 20260101-000000-aaaa failed: out of luck\n"


def test_cancelling(ftkit, three):
    assert ftkit("runs", "cancel", "20260102-0").stderr == "run 20260102-000000-bbbb is cancelled\n"
    assert three.get("20260102-000000-bbbb").state == "cancelled"
    again = ftkit("runs", "cancel", "20260102-0")
    assert again.exit_code == 0
    assert again.stderr == "run 20260102-000000-bbbb has already ended: cancelled\n"


def test_the_log(ftkit, three):
    assert ftkit("runs", "log", "20260102-1").stdout == "line 1\nline 2\n"
    empty = ftkit("runs", "log", "20260101")
    assert (empty.exit_code, empty.stdout, empty.stderr) == (0, "", "the log is empty\n")


def test_events_for_people_and_for_programs(ftkit, three):
    lines = ftkit("runs", "events", "20260102-1").stdout.splitlines()
    figures = "seconds=0.1235 tokens_per_second=1001 mfu=0.25 peak_memory_bytes=2345000000"
    assert lines[1].endswith(f"step        step=1 steps=2 loss=1 {figures}")
    assert lines[-1].endswith('log         message=loading recipe={"kind": "sft"}')
    events = [json.loads(line) for line in ftkit("runs", "events", "20260102-1", "--json").stdout.splitlines()]
    assert [event["kind"] for event in events] == ["state", "step", "step", "validation", "log"]
    assert events[2]["data"]["seconds"] == 0.123456
    followed = ftkit("runs", "events", "20260102-1", "--json", "--follow").stdout.splitlines()
    assert [json.loads(line) for line in followed] == events


def test_deleting_takes_the_whole_id_and_the_files(ftkit, three):
    folder = three.run_folder("20260102-111111-cccc")
    failed = ftkit("runs", "delete", "20260102-1")
    assert failed.exit_code == 2
    assert "give its complete id: 20260102-111111-cccc" in failed.stderr
    assert folder.exists()
    done = ftkit("runs", "delete", "20260102-111111-cccc")
    assert done.stderr == "deleted run 20260102-111111-cccc\n"
    assert not folder.exists()
    assert len(ft.runs.all()) == 2


def test_a_run_that_goes_on_is_not_deleted(ftkit, three):
    failed = ftkit("runs", "delete", "20260102-000000-bbbb")
    assert failed.exit_code == 1
    assert "is running; cancel it first" in failed.stderr


@pytest.mark.parametrize("command", ["show", "wait", "cancel", "log", "events", "delete"])
def test_a_run_that_is_not_there(ftkit, three, command):
    failed = ftkit("runs", command, "1999")
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert failed.stderr.startswith("error: no run '1999' in ")
    ambiguous = ftkit("runs", command, "20260102")
    assert "2 runs begin with '20260102'" in ambiguous.stderr


def test_a_result_that_was_moved_back_says_what_it_keeps(ftkit):
    summary = {"preserve_interpolation": 0.71875, "preserve_kl": 0.0971}
    recipe = ft.SFT(preserve=True).model_dump(mode="json")
    store = create("20260103-000000-dddd", state="succeeded", recipe=recipe, summary=summary)
    for step, harm in ((0, 0.0), (4, 0.5), (8, 0.25)):
        store.append("20260103-000000-dddd", "validation", {"step": step, "preserve_kl": harm})
    shown = ftkit("runs", "show", "20260103-000000-dddd").stdout
    assert (
        "0.2500 nats per token on rehearsal rows, at most 0.5000 (budget 0.1); the result keeps 72% of its update: "
        "0.0971" in " ".join(shown.split())
    )
