"""A server is taken down however the process that has started it ends, and its end is explained."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

import ftkit as ft
from ftkit.errors import ModelError
from ftkit.inference.vllm.server_process import ServerProcess
from tests.inference.vllm.conftest import Calls

TASK = ft.Task("Say yes.", input="{text}")

PARENT = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
from ftkit.inference.vllm.server_process import ServerProcess
server = ServerProcess(["sh", "-c", "sleep 600 & echo $$ $!; wait"], dict(os.environ), name="it", secret="")
while not server.last_lines:
    time.sleep(0.01)
print(server.last_lines, flush=True)
if sys.argv[1] == "fork" and os.fork() == 0:  # a child holds the pipes of its parent open
    print(os.getpid(), flush=True)
    time.sleep(60)
if sys.argv[1] == "error":
    raise ValueError
if sys.argv[1] != "end":
    time.sleep(600)
"""


def runs(pid: int) -> bool:
    try:
        process = psutil.Process(pid)
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for_end(*pids: int) -> None:
    deadline = time.monotonic() + 15
    while any(map(runs, pids)):
        assert time.monotonic() < deadline, "the server is left behind"
        time.sleep(0.05)


@pytest.mark.parametrize("end", ["end", "error", "SIGTERM", "SIGKILL", "SIGINT", "fork"])
def test_the_server_ends_with_its_parent(end: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, end], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        if end.startswith("SIG"):
            parent.send_signal(signal.Signals[end])
        child = int(parent.stdout.readline()) if end == "fork" else None
        if child is not None:
            parent.kill()
        wait_for_end(*pids)
        if child is not None:
            assert runs(child)
            os.kill(child, signal.SIGKILL)


def test_the_end_of_a_server_is_explained_without_its_key(tiny_model: str, calls: Calls) -> None:
    calls.misbehave("refuse_start")
    with pytest.raises(ModelError, match=r"vLLM ended with status 1(.|\n)*key \*\*\*\n.*no room for the key-value"):
        ft.Model(f"local:{tiny_model}", TASK, engine="vllm").load()
    [start] = calls.starts
    wait_for_end(start["pid"])


def test_a_server_that_never_answers_is_stopped(tiny_model: str, calls: Calls) -> None:
    calls.misbehave("never_ready")
    with pytest.raises(ModelError, match=r"did not answer within 5 s(.|\n)*API server version"):
        ft.Model(f"local:{tiny_model}", TASK, engine=ft.VLLM(start_timeout_s=5)).load()
    wait_for_end(*(start["pid"] for start in calls.starts))


def test_lines_are_bounded() -> None:
    server = ServerProcess(
        ["sh", "-c", "yes x | tr -d '\\n' | head -c 3000000; for i in $(seq 999); do echo $i; done"],
        {"PATH": os.environ["PATH"]},
        name="it",
        secret="",
    )
    with pytest.raises(ModelError, match="it ended with status 0"):
        server.wait_until(lambda: False, 30)
    assert server.last_lines.endswith("999")
    assert len(server.last_lines) < 40_000
