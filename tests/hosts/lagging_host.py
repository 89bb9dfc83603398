"""A fake of OpenAI behind a bad network, on a clock of its own: answers get lost, and lists are late."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

from ftkit.backends.hosted.retry import RetryPolicy

from .openai_host import OpenAIFake
from .serving import Call, Fault, Reply

Trouble = Literal[
    "504_then_done", "500_after", "500_before", "reset_before", "reset_after", "timeout", "429", "503", "kill_after",
    "kill_before", "crash",
]  # fmt: skip
"""What goes wrong with a request to create something. ``504_then_done``: it is done later. ``kill_…``: the process that
asked is killed. ``timeout``: the client gives up, and the host does it later."""

GATEWAY_TIMEOUT: Reply = (504, {"error": {"message": "upstream request timeout"}}, {})


class Clock:
    """A clock that only moves when somebody waits."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class LaggingHost(OpenAIFake):
    """Creates what it is asked for now or later, and lists it later still.

    Attributes:
        trouble: decides what goes wrong with a request that creates a job, batch or file.
        lag_s: longest time in seconds until a list has a new item.
        late_s: longest time in seconds until a request without an answer is carried out.
        drops: fields of jobs and batches that a proxy in between drops.
        faults: how often each trouble occurred.
        submitter: process id of the process that asks, for ``kill_…``.
    """

    def __init__(self, seed: int = 0, lag_s: float = 30.0, late_s: float = 15.0) -> None:
        super().__init__()
        self.spec = None
        self.chance = random.Random(seed)
        self.clock = Clock()
        self.lag_s, self.late_s = lag_s, late_s
        self.trouble: Callable[[Call], Trouble | None] = lambda call: None
        self.drops: tuple[str, ...] = ()
        self.faults: Counter[str] = Counter()
        self.submitter = 0
        self._later: list[tuple[float, Call]] = []
        self._visible: dict[str, float] = {}

    def policy(self, **changes: Any) -> RetryPolicy:
        """Waits on this clock."""
        given = {
            "poll_s": (0.0, 0.0),
            "sleep": self.sleep,
            "clock": lambda: self.clock.now,
            "boot": lambda: ("fake", self.clock.now),
        }
        return RetryPolicy(**given | changes)

    def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    def reply(self, call: Call) -> tuple[Fault | None, Reply]:
        with self.lock:
            self._catch_up()
            if call.path == "/clock":  # of another process
                self.clock.sleep(float(call.query.get("sleep", 0)))
                return None, (200, {"now": self.clock.now}, {})
            creates = call.method == "POST" and call.path in ("/v1/files", "/v1/fine_tuning/jobs", "/v1/batches")
            trouble = self.trouble(call) if creates else None
            if trouble is None:
                return super().reply(call)
            self.faults[trouble] += 1
            return self._trouble(trouble, call)

    def _trouble(self, trouble: Trouble, call: Call) -> tuple[Fault | None, Reply]:
        if trouble in ("504_then_done", "timeout"):
            self._later.append((self.clock.now + self.chance.uniform(0, self.late_s), call))
        elif trouble.endswith("_after"):
            self._carry_out(call)
        if trouble.startswith("kill") and self.submitter:
            os.kill(self.submitter, signal.SIGKILL)
            self.submitter = 0
        if trouble == "504_then_done":
            return None, GATEWAY_TIMEOUT
        if trouble.startswith("500"):
            return None, (500, {"error": {"message": "The server had an error"}}, {})
        if trouble == "429":
            return "429", (429, {}, {})
        if trouble == "503":
            return "503_text", (503, {}, {})
        return "drop_before", (500, {}, {})

    def answer(self, call: Call) -> Reply:
        before = {*self.jobs, *self.batches.all, *self.files}
        status, body, headers = super().answer(call)
        for new in {*self.jobs, *self.batches.all, *self.files} - before:
            self._visible[new] = self.clock.now + self.chance.uniform(0, self.lag_s)
            created = self.jobs.get(new) or self.batches.all.get(new) or self.files[new]
            created["created_at"] = int(self.clock.now)
            for name in self.drops:
                created.pop(name, None)
        return status, body, headers

    def page(self, items: list[dict[str, Any]], call: Call) -> Reply:
        seen = [item for item in items if self._visible.get(item["id"], 0.0) <= self.clock.now]
        return super().page(seen, call)

    def open_jobs(self) -> list[dict[str, Any]]:
        """Jobs that are charged."""
        self._catch_up()
        return [job for job in self.jobs.values() if job["status"] != "cancelled"]

    def _carry_out(self, call: Call) -> None:
        self.calls.append(call)
        self.answer(call)

    def _catch_up(self) -> None:
        due = [call for at, call in self._later if at <= self.clock.now]
        self._later = [(at, call) for at, call in self._later if at > self.clock.now]
        for call in due:
            self._carry_out(call)
