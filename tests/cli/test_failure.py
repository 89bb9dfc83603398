from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest


def test_an_error_is_one_sentence_and_status_1(ftkit):
    failed = ftkit("report", "nowhere.json")
    assert failed.exit_code == 1
    assert failed.stderr == "error: nowhere.json: cannot be read: No such file or directory\n"
    assert failed.stdout == ""


def test_what_makes_no_sense_is_status_2(ftkit, texts):
    failed = ftkit("evaluate", "nobody:base", "--data", texts)
    assert failed.exit_code == 2
    assert "there is no backend 'nobody'; known are azure, " in failed.stderr


def test_wrong_usage_is_status_2(ftkit):
    failed = ftkit("train")
    assert failed.exit_code == 2
    assert "Missing option '--data'" in failed.stderr


def test_a_file_that_the_system_refuses_is_named(ftkit):
    failed = ftkit("task", "--schema", "nowhere.json")
    assert failed.exit_code == 1
    assert failed.stderr == "error: nowhere.json: No such file or directory\n"


def test_a_fault_of_ftkit_is_called_one(ftkit, texts, task):
    failed = ftkit("evaluate", "toy:broken", "--task", task, "--data", texts, "--target", "gold")
    assert failed.exit_code == 1
    assert failed.stderr.startswith("error: unexpected KeyError: 'a bug'\n")
    assert "Please report it" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_traceback_is_there_for_those_who_ask(start, monkeypatch):
    monkeypatch.setenv("FTKIT_DEBUG", "1")
    process = start("report", "nowhere.json")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.startswith("Traceback")
    assert "ReportError: nowhere.json" in errors


def test_ctrl_c_ends_the_waiting_and_not_the_run(start, ftkit, texts, task):
    words = ("train", "--data", texts, "--task", task, "--target", "gold", "--backend", "toy:slow", "--detach")
    run_id = ftkit(*words).stdout.strip()
    asked = Path(os.environ["FTKIT_HOME"]) / "asked"
    asked.unlink(missing_ok=True)  # the command before may have asked too
    # Whoever runs the tests in the background may have had Ctrl-C ignored, which children inherit.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = start("runs", "wait", run_id)
    signal.signal(signal.SIGINT, before)
    while not asked.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output == ""
    assert errors == (
        f"run {run_id}\nrun {run_id} continues; find it with ft.runs.get({run_id!r}) or `ftkit runs wait {run_id}`\n"
    )
    assert "running" in ftkit("runs", "show", run_id).stdout


@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="no such pipes here")
def test_a_reader_that_has_seen_enough_is_no_error(start, trained):
    from ftkit.store import Store

    Store().append(trained, "log", {"message": "." * 2_000_000})  # more than a pipe holds
    process = start("runs", "events", trained)
    assert process.stdout is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr is not None
    assert process.stderr.read() == ""
