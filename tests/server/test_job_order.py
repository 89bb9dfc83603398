"""Jobs start in the order of their creation, at whatever moment the scheduler looks."""

from __future__ import annotations

import time
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from ftkit.server.jobs.job_scheduler import JobScheduler


def job(name: str, status: str) -> Any:
    return SimpleNamespace(id=name, status=status, stopping=False, starting=False)


@pytest.mark.parametrize("status", ["validating_files", "queued"])
def test_a_later_job_waits_while_the_task_that_validated_an_earlier_one_ends(status: str) -> None:
    """Between the end of a validation and the end of its task, the job is queued and has a task."""
    scheduler = JobScheduler.__new__(JobScheduler)
    started: list[str] = []
    made: Any = scheduler
    made._settings = SimpleNamespace(concurrent_jobs=1)
    made._draining, made._cleaned_at = False, time.monotonic()
    made._jobs = SimpleNamespace(active=lambda: [job("long", status), job("short", "queued")])
    made._update_if = lambda one, *rest, **changes: True
    made._submit = lambda one, action: started.append(one.id)
    made._tasks = {"long": Future()}
    made._check_jobs()
    assert started == []
    if status == "queued":
        made._tasks["long"].set_result(None)
        made._check_jobs()
        assert started == ["long"]
