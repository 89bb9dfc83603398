"""A server that is told to end while it answers and trains, as when its machine is shut down."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest

from ftkit.store import Store

from .conftest import Running, ended, messages, new_home, rows, until, uploaded
from .test_restart import LONG, steps


@pytest.mark.slow
def test_a_stream_is_cut_in_time_and_training_goes_on_next_time(
    tiny_model: str, shared_models: Path, tmp_path: Path
) -> None:
    home = new_home(tmp_path / "shut", shared_models)
    server = Running(home, "--model", f"tiny={tiny_model}", settings="shutdown_patience_s = 1\n")
    client = server.client()
    asked: Any = {"messages": [{"role": "user", "content": "say 3"}], "max_tokens": 400, "n": 128}
    client.chat.completions.create(model="tiny", **asked | {"max_tokens": 1, "n": 1})  # loads the model
    job = client.fine_tuning.jobs.create(model="tiny", training_file=uploaded(client, rows(10)), method=LONG)
    until(lambda: steps(client, job.id), lambda count: count > 2)
    stream = client.chat.completions.create(model="tiny", stream=True, **asked)
    next(stream)
    worker = psutil.Process(Store(home).get(job.id).handle["pid"])
    began = time.monotonic()
    server.process.terminate()
    worker.send_signal(signal.SIGTERM)  # as whoever stops a service does with all its processes
    with pytest.raises(openai.APIError, match="the server is stopping"):
        for _ in stream:
            pass
    assert server.process.wait(60) == 0
    assert time.monotonic() - began < 20
    assert "Traceback" not in "".join(server.log)
    until(worker.is_running, lambda running: not running)
    record = Store(home).get(job.id)
    assert record.state == "cancelled"
    saved = list((home / "runs" / job.id / "model-checkpoints").glob("step-*"))
    assert saved

    again = Running(home, "--model", f"tiny={tiny_model}")
    client = again.client()
    done = ended(client, job.id)
    assert done.status == "succeeded", done.error
    said = messages(client, job.id)
    assert any("resumes where it stopped" in message for message in said)
    assert any(message.startswith("Resuming from step") for message in said)
    events = [event for event in client.fine_tuning.jobs.list_events(job.id, limit=100) if event.type == "metrics"]
    assert {event.data["step"] for event in events} == set(range(1, 301))
    assert again.stop() == 0


@pytest.mark.slow
def test_a_run_that_its_owner_cancels_ends_the_job(tiny_model: str, shared_models: Path, tmp_path: Path) -> None:
    from ftkit.runs import Run

    home = new_home(tmp_path / "cancelled", shared_models)
    server = Running(home, "--model", f"tiny={tiny_model}")
    client = server.client()
    job = client.fine_tuning.jobs.create(model="tiny", training_file=uploaded(client, rows(10)), method=LONG)
    until(lambda: steps(client, job.id), lambda count: count > 2)
    Run(Store(home).get(job.id), Store(home)).cancel()
    assert ended(client, job.id).status == "cancelled"
    assert server.stop() == 0
