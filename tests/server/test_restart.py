"""What a server that is killed leaves, and what the next one makes of it."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest

from ftkit.store import Store

from .conftest import Running, ended, messages, new_home, rows, until, uploaded

LONG = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 30, "batch_size": 1}}}


def steps(client: openai.OpenAI, job_id: str) -> int:
    return sum(message.startswith("Step ") for message in messages(client, job_id))


@pytest.mark.slow
def test_a_job_goes_on_when_the_server_and_then_its_worker_are_killed(
    tiny_model: str, shared_models: Path, tmp_path: Path
) -> None:
    home = new_home(tmp_path / "killed", shared_models)
    server = Running(home, "--model", f"tiny={tiny_model}")
    client = server.client()
    file = uploaded(client, rows(10))
    job = client.fine_tuning.jobs.create(model="tiny", training_file=file, method=LONG)
    waiting = client.fine_tuning.jobs.create(model="tiny", training_file=file, metadata={"second": "yes"})
    until(lambda: steps(client, job.id), lambda count: count > 2, seconds=180)  # torch is loaded twice until then
    assert client.fine_tuning.jobs.retrieve(waiting.id).status == "queued"  # one at a time
    checkpoints = home / "runs" / job.id / "model-checkpoints"
    until(lambda: list(checkpoints.glob("step-*")), bool)
    server.kill()
    psutil.Process(Store(home).get(job.id).handle["pid"]).send_signal(signal.SIGKILL)

    again = Running(home, "--model", f"tiny={tiny_model}")
    client = again.client()
    client.fine_tuning.jobs.cancel(waiting.id)
    done = ended(client, job.id)
    assert done.status == "succeeded", done.error
    assert client.models.retrieve(done.fine_tuned_model).id == done.fine_tuned_model
    events = [event for event in client.fine_tuning.jobs.list_events(job.id, limit=100) if event.type == "metrics"]
    assert {event.data["step"] for event in events} == set(range(1, 301))
    said = messages(client, job.id)
    assert any("resumes from its newest checkpoint" in message for message in said)
    assert len(client.fine_tuning.jobs.checkpoints.list(job.id).data) == 3

    # A stream that is open when the server is told to end is answered to its end.
    asked: Any = {"messages": [{"role": "user", "content": "say 3"}], "max_tokens": 300}
    stream = client.chat.completions.create(model="tiny", stream=True, **asked)
    pieces = [next(stream)]
    again.process.terminate()
    pieces += stream
    assert pieces[-1].choices[0].finish_reason in ("length", "stop")
    assert again.process.wait(60) == 0


@pytest.mark.slow
def test_jobs_start_in_the_order_of_creation_however_long_the_rows_take_to_check(rewarding: Running) -> None:
    client = rewarding.client()
    long = client.fine_tuning.jobs.create(model="decided", training_file=uploaded(client, rows(8000)))
    short = client.fine_tuning.jobs.create(model="decided", training_file=uploaded(client, rows(4)))
    until(lambda: client.fine_tuning.jobs.retrieve(long.id).status, "running".__eq__)
    assert client.fine_tuning.jobs.retrieve(short.id).status == "queued"
    for job in (short, long):
        client.fine_tuning.jobs.cancel(job.id)


@pytest.mark.slow
def test_what_was_queued_is_started_by_the_next_server(tiny_model: str, shared_models: Path, tmp_path: Path) -> None:
    home = new_home(tmp_path / "queued", shared_models)
    server = Running(home, "--model", f"tiny={tiny_model}")
    client = server.client()
    job = client.fine_tuning.jobs.create(model="tiny", training_file=uploaded(client, rows(4)))
    server.kill()  # at whatever moment of its beginning
    again = Running(home, "--model", f"tiny={tiny_model}")
    done = ended(again.client(), job.id)
    assert done.status == "succeeded", done.error
    assert [record.id for record in Store(home).all()] == [job.id]
    again.stop()


def test_two_servers_do_not_share_a_home(server: Running, tiny_model: str) -> None:
    with pytest.raises(pytest.fail.Exception, match="another server uses"):
        Running(server.home, "--model", f"tiny={tiny_model}")
