"""What the jobs API of a cluster may answer, or not."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

import ftkit as ft
from ftkit.backends.ray import jobs_api
from ftkit.backends.ray.jobs_api import RunHandle

pytest.importorskip("ray.job_submission", reason='needs pip install "ftkit[ray]"')

JOB = (
    '{"type": "SUBMISSION", "submission_id": "r", "job_id": null, "driver_info": null, "status": "FAILED", '
    '"entrypoint": "x", "message": "killed\\nby hand, last available logs (truncated): x", '
    '"metadata": {"ftkit_key": "mine"}}'
)


class _Head(BaseHTTPRequestHandler):
    """Answers by what is in ``answers``, first to last; the version always."""

    answers: list[tuple[int, str]] = []  # noqa: RUF012
    drips = False

    def do_GET(self) -> None:
        if self.path == "/api/version":
            self._say(200, '{"version": "4", "ray_version": "2.60.0", "ray_commit": "x"}')
        else:
            self._say(*self.answers.pop(0))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._say(*self.answers.pop(0))

    def do_DELETE(self) -> None:
        self.do_GET()

    def _say(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        for piece in [text.encode()] if not self.drips or text.startswith('{"version"') else [b" "] * 30:
            with contextlib.suppress(OSError):
                self.wfile.write(piece)
            time.sleep(0.05 if self.drips and piece == b" " else 0)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def handle(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunHandle]:
    monkeypatch.setattr(jobs_api, "_PAUSES_S", (0.0, 0.0))
    server = HTTPServer(("127.0.0.1", 0), _Head)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield RunHandle(url=f"http://127.0.0.1:{server.server_port}", storage="/s", key="mine")
    server.shutdown()
    server.server_close()


def test_a_job_is_lost_only_when_the_cluster_says_so(handle: RunHandle) -> None:
    _Head.answers = [(404, "no"), (500, "boom"), (503, "starting"), (200, JOB)]
    lost, failing, behind_a_proxy, ended = (jobs_api.job_status("r", handle) for _ in range(4))
    assert (lost.state, failing.state, behind_a_proxy.state, ended.state) == ("ended", "unknown", "unknown", "ended")
    assert "no such job" in lost.message
    assert "boom" in failing.message
    assert ended.message == "the job ended with status FAILED: killed by hand"


def test_a_job_whose_submission_had_no_answer_is_not_submitted_twice(handle: RunHandle) -> None:
    _Head.answers = [(503, "starting"), (400, "the id exists already"), (200, JOB)]
    jobs_api.submit_job("r", handle, "x", {})
    assert _Head.answers == []
    _Head.answers = [(400, "the id exists already"), (200, JOB)]
    with pytest.raises(ft.RunError, match="of another run"):
        jobs_api.submit_job("r", handle.model_copy(update={"key": "other"}), "x", {})
    _Head.answers = [(400, "no such runtime"), (404, "no")]
    with pytest.raises(ft.RunError, match=r"refuses the job.*no such runtime"):
        jobs_api.submit_job("r", handle, "x", {})


def test_a_head_that_was_just_started_is_waited_for(handle: RunHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_api, "_STARTING_PAUSE_S", 0.0)
    starting = (500, "No available agent to submit job, please try again later.")
    _Head.answers = [*[starting, (404, "no")] * 4, (200, '{"submission_id": "r", "job_id": "r"}')]
    jobs_api.submit_job("r", handle, "x", {})
    assert _Head.answers == []
    monkeypatch.setattr(jobs_api, "_STARTING_S", 0.0)
    _Head.answers = [starting, (404, "no")] * 3
    with pytest.raises(ft.HostError, match="takes no jobs yet"):
        jobs_api.submit_job("r", handle, "x", {})


@pytest.mark.parametrize("said", ["{}", "[]", "5", "null", "<html>", '{"status": "WEIRD"}'])
def test_an_answer_that_is_not_rays_is_an_error_and_loses_no_job(handle: RunHandle, said: str) -> None:
    _Head.answers = [(200, said)] * 5
    assert jobs_api.job_status("r", handle).state == "unknown"
    for call in (jobs_api.stop_job, jobs_api.delete_job):
        with pytest.raises(ft.HostError, match="not the jobs API"):
            call("r", handle)
    _Head.answers = [(200, said)] * 9
    with pytest.raises(ft.HostError, match="not the jobs API"):
        jobs_api.submit_job("r", handle, "x", {})


def test_a_job_that_the_head_does_not_stop_is_not_said_to_be_stopped(handle: RunHandle) -> None:
    _Head.answers = [(500, "boom")]
    with pytest.raises(ft.HostError, match=r"does not stop the job, which may go on.*boom"):
        jobs_api.stop_job("r", handle)
    _Head.answers = [(404, "no")]
    jobs_api.stop_job("r", handle)


def test_answers_are_bounded_in_size_and_time(handle: RunHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_api, "_MAX_BODY_BYTES", 200_000)
    _Head.answers = [(200, " " * 300_000)]
    assert "more than 200,000 bytes" in jobs_api.job_status("r", handle).message
    monkeypatch.setattr(jobs_api, "_CALL_S", 0.2)
    monkeypatch.setattr(_Head, "drips", True)
    _Head.answers = [(200, JOB)]
    assert "has not answered in time" in jobs_api.job_status("r", handle).message


def test_what_is_no_head_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_api, "_CALL_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ft.HostError, match="cannot be reached") as hanging, jobs_api.jobs_api(url):
            pass
    assert hanging.value.passing
    with pytest.raises(ft.HostError, match="cannot be reached"), jobs_api.jobs_api(url):
        pass
