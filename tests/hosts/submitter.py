"""Submits one run to a :class:`~.lagging_host.LaggingHost`, in a process that the host may kill."""

from __future__ import annotations

import json
import sys
import urllib.request

import ftkit as ft
from ftkit.backends.hosted.retry import RetryPolicy
from ftkit.backends.openai_jobs import OpenAIJobs


def main(url: str, key: str, run_id: str) -> None:
    def clock(seconds: float = 0.0) -> float:
        with urllib.request.urlopen(f"{url}/clock?sleep={seconds}") as answer:
            return float(json.load(answer)["now"])

    policy = RetryPolicy(
        poll_s=(0.0, 0.0),
        sleep=lambda seconds: void(clock(seconds)),
        clock=clock,
        boot=lambda: ("fake", clock()),
    )
    task = ft.Task("Say which team.", input="{text}", output=ft.ChoiceOutput(choices=("red", "blue")))
    rows = [{"text": f"{run_id} {number}", "team": "red"} for number in range(10)]
    data = ft.Dataset.from_rows(rows, task, target="team")
    backend = OpenAIJobs("gpt-4.1-mini", base_url=f"{url}/v1", api_key=key, retry_policy=policy)
    ft.train(ft.SFT(epochs=1), data, backend=backend, run_id=run_id, lint=False)


def void(value: object) -> None:
    """Return nothing."""


if __name__ == "__main__":
    main(*sys.argv[1:])
