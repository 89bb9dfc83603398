"""Workers and those who start them, killed at the worst moments, on full disks, and with clocks that jump."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import ftkit as ft
from ftkit.backends.local import worker
from ftkit.store import Store
from ftkit.store.run_lock import STARTING, RunLock, is_locked
from tests.disks import filled, small_disk
from tests.runs.test_runs import SCRIPT, data, until

__all__ = ["data"]

KILLED = """
import os, signal, subprocess, sys, threading, time
from types import SimpleNamespace
from ftkit.backends.local import LocalBackend, worker_process
from ftkit.store import Store

def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

def started_then_die(*arguments, **options):
    subprocess.Popen(*arguments, **options)
    die()

def start_with(function):
    worker_process.subprocess = SimpleNamespace(Popen=function, DEVNULL=subprocess.DEVNULL, STDOUT=subprocess.STDOUT)

moment = sys.argv.pop()
if moment == "stored":
    LocalBackend.submit = die
elif moment == "saved":
    start_with(die)
elif moment == "unnamed":
    start_with(started_then_die)
else:
    create = Store.create
    def create_then_die(*arguments, **options):
        create(*arguments, **options)
        threading.Timer(float(moment), die).start()
    Store.create = create_then_die
"""


def killed(model: str, moment: str, epochs: int = 1) -> str:
    """Start a run in a script that is killed at a moment of the start; returns the run's id."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED + SCRIPT, model, str(epochs), moment], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    (record,) = Store().all()
    return record.id


@pytest.mark.parametrize("moment", ["stored", pytest.param("saved", marks=pytest.mark.slow)])
def test_a_run_whose_starter_was_killed_is_not_queued_for_ever(moment: str, tiny_model: str) -> None:
    run = ft.runs.get(killed(tiny_model, moment))
    assert run.state == "failed"
    again = "start it again" if moment == "stored" else f"`ftkit runs resume {run.id}` starts it"
    assert (
        run.record.error
        == f"the process that started the run ended before training began, and nothing was trained; {again}"
    )
    if moment == "saved":
        assert run.resume().wait(timeout_s=200).state == "succeeded"


@pytest.mark.slow
@pytest.mark.parametrize("moment", [f"{number / 1000:.3f}" for number in range(0, 100, 5)])
def test_a_starter_killed_at_any_moment_leaves_no_open_run(moment: str, tiny_model: str) -> None:
    run = ft.runs.get(killed(tiny_model, moment))
    until(lambda: run.state not in ("queued", "running"))
    assert run.state == "succeeded" or "nothing was trained" in str(run.record.error)


@pytest.mark.slow
def test_a_worker_that_nobody_named_names_itself_and_no_clock_kills_it(
    tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ft.runs.get(killed(tiny_model, "unnamed", epochs=5000))
    assert run.state in ("queued", "running")
    until(lambda: run.metrics)
    process = psutil.Process(run.record.handle["pid"])
    assert run.id in process.cmdline()

    real, made = time.time, psutil.Process.create_time
    for jump in (1.0, -1.0, 86_400.0, -86_400.0):
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda jump=jump: real() + jump)
            patch.setattr(psutil.Process, "create_time", lambda process, jump=jump: made(process) + jump)
            assert run.state == "running"
            assert ft.runs.get(run.id).record.handle["pid"] == process.pid

    second = subprocess.run(
        [sys.executable, "-m", "ftkit.backends.local.worker", run.id], capture_output=True, text=True, check=False
    )
    assert (second.returncode, second.stderr.strip()) == (1, f"another process trains run {run.id}")
    assert run.state == "running"
    assert run.cancel().state == "cancelled"
    until(lambda: not is_locked(run.folder), 20)


@pytest.mark.slow
def test_a_worker_that_ends_without_a_word_after_saving_has_succeeded(data: ft.Dataset, tiny_model: str) -> None:
    run = ft.train(ft.SFT(epochs=1, adapter=ft.LoRA(rank=4)), data, backend=f"local:{tiny_model}").wait(timeout_s=200)
    summary = run.record.summary
    until(lambda: not is_locked(run.folder), 20)
    Store().update(run.id, state="running", summary={}, finished_at=None)  # as if it had been killed before this
    assert ft.runs.get(run.id).state == "succeeded"
    assert run.record.summary == summary

    # What a worker left half-written goes when another one starts, and a model that is there is not trained again.
    for name in (".model.abc.unfinished", ".job.json.abc.part"):
        (run.folder / name).mkdir()
    steps = len(run.metrics)
    Store().update(run.id, state="queued", summary={})
    assert worker.main(run.id) == 0
    assert (run.state, run.record.summary, len(run.metrics)) == ("succeeded", summary, steps)
    assert not list(run.folder.glob(".*"))


@pytest.mark.slow
def test_a_full_disk_delays_events_and_does_not_end_the_run(
    tiny_model: str, shared_models: Path, tmp_path: Path, data: ft.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", 24) as home:
        (home / "models").symlink_to(shared_models)
        monkeypatch.setenv("FTKIT_HOME", str(home))
        recipe = ft.SFT(epochs=5000, batch_size=24, adapter=ft.LoRA(rank=4), save_steps=5, save_total_limit=1)
        run = ft.train(recipe, data, backend=f"local:{tiny_model}")
        until(lambda: len(run.metrics) > 3)
        with filled(home):
            seen = len(run.metrics)
            time.sleep(1.0)
            assert run.state == "running"
            assert len(run.metrics) < seen + 40
            shown = subprocess.run([sys.executable, "-m", "ftkit", "runs"], capture_output=True, text=True, check=True)
            assert run.id in shown.stdout
            with pytest.raises(ft.FtkitError, match="the disk is full"):
                ft.train(recipe, data, backend=f"local:{tiny_model}")
        until(lambda: len(run.metrics) > seen + 3)
        assert run.cancel().state == "cancelled"
        assert [step["step"] for step in run.metrics] == list(range(1, len(run.metrics) + 1))
        warnings = [event.data["message"] for event in run.events() if event.kind == "warning"]
        assert any("the disk is full" in message for message in warnings)
        assert {each.state for each in ft.runs.all()} <= {"cancelled", "failed"}


def test_a_lock_belongs_to_one_process_and_ends_with_it(tmp_path: Path) -> None:
    assert is_locked(tmp_path) is False
    lock = RunLock.acquire(tmp_path)
    assert lock is not None
    assert is_locked(tmp_path)
    assert is_locked(tmp_path, STARTING) is False
    assert RunLock.acquire(tmp_path) is None
    # A child that is started with it keeps it when this process gives it up, and when the child forks.
    code = (
        "import os, sys, time\n"
        "from ftkit.store.run_lock import RunLock\n"
        "RunLock.adopt(int(sys.argv[1]))\n"
        "if not os.fork(): time.sleep(60)\n"
        "print('has it', flush=True)\n"
        "time.sleep(60)\n"
    )
    assert lock.handle is not None
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(lock.handle)],
        pass_fds=[lock.handle],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    lock.close()
    assert is_locked(tmp_path)
    assert child.stdout is not None
    assert child.stdout.readline() == "has it\n"
    assert is_locked(tmp_path)
    child.kill()  # the process that it forked lives on
    child.wait()
    for _ in range(100):  # the forked process closes its copy once it runs
        if not is_locked(tmp_path):
            break
        time.sleep(0.1)
    assert is_locked(tmp_path) is False
    os.killpg(child.pid, signal.SIGKILL)


def test_a_worker_of_another_machine_is_not_killed_here(data: ft.Dataset, tiny_model: str) -> None:
    """Its process id names another process here."""
    store = Store()
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    from tests.store.test_store import record

    store.create(record("elsewhere", model=tiny_model, state="running", handle={"pid": other.pid}))
    lock = RunLock.acquire(store.run_folder("elsewhere"))
    run = ft.runs.get("elsewhere")
    with pytest.raises(ft.RunError, match="on another machine or in another container"):
        run.cancel()
    assert other.poll() is None
    other.kill()
    assert lock is not None
    lock.close()
    assert run.state == "cancelled" or "ended without a message" in str(run.record.error)
    assert json.dumps(run.record.handle)
