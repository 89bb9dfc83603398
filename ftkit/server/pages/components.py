"""What the pages are made of."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from ftkit.render.markup import Markup, Piece, element, joined, table
from ftkit.server.jobs.job_record import ACTIVE_STATUSES, JobRecord
from ftkit.server.pages.chart import charts

__all__ = ["connecting", "job_live", "jobs_live", "trying"]

_CODE = """from openai import OpenAI

client = OpenAI(base_url="{url}/v1", api_key="{key}")
file = client.files.create(file=open("rows.jsonl", "rb"), purpose="fine-tune")
job = client.fine_tuning.jobs.create(model="{model}", training_file=file.id)
"""


def jobs_live(jobs: Sequence[JobRecord], steps: dict[str, dict[str, Any]]) -> Markup:
    """The table of jobs; ``steps`` holds the last figures of those that have any."""
    if not jobs:
        return element("p", "No jobs yet.", class_="quiet")
    rows = []
    for job in jobs:
        last = steps.get(job.id, {})
        done = f"{last['step']} of {last['total_steps']}" if last else "–"
        height = last.get("train_loss", last.get("train_mean_reward"))
        rows.append(
            [
                element("a", job.id, href=f"/jobs/{job.id}"),
                element("span", job.status, class_=f"status {job.status}"),
                job.model,
                job.method,
                done,
                "–" if height is None else f"{height:.3f}",
                _stamp(job.created_at),
            ]
        )
    return table(["job", "status", "model", "method", "step", "loss or reward", "created"], rows, "jobs")


def job_live(
    job: JobRecord,
    metrics: Sequence[dict[str, Any]],
    events: Sequence[dict[str, Any]],
    checkpoints: Sequence[dict[str, Any]],
) -> Markup:
    """All of a job that may change: status, numbers, curves, checkpoints, events."""
    known = job.hyperparameters | job.resolved
    facts: list[tuple[str, Piece]] = [
        ("status", element("span", job.status, class_=f"status {job.status}")),
        ("base", job.model),
        ("method", job.method),
        ("hyperparameters", ", ".join(f"{name} {value}" for name, value in known.items())),
        ("seed", str(job.seed)),
        ("created", _stamp(job.created_at)),
    ]
    if job.error is not None:
        facts.insert(1, ("error", element("span", job.error.message, class_="error message")))
    if job.status == "succeeded":
        facts.insert(1, ("model", element("a", job.tuned_name, href=f"/?{urlencode({'model': job.tuned_name})}")))
        facts.append(("trained tokens", f"{job.trained_tokens:,}" if job.trained_tokens else "–"))
        facts.append(("result file", element("a", "step_metrics.csv", href=f"/jobs/{job.id}/results.csv")))
    if job.finished_at is not None:
        facts.append(("finished", _stamp(job.finished_at)))
    elif job.status == "running" and job.estimated_finish is not None:
        facts.append(("expected to finish", _stamp(job.estimated_finish)))
    pieces = [_panel("Job", table(["", ""], facts, "facts"))]
    pieces += [_panel(title, drawn) for title, drawn in charts(metrics)]
    if checkpoints:
        rows = [
            [str(one["step_number"]), one["fine_tuned_model_checkpoint"], _stamp(one["created_at"])]
            for one in checkpoints
        ]
        pieces.append(_panel("Checkpoints", table(["step", "model", "created"], rows, "checkpoints")))
    told = [
        [_stamp(one["created_at"]), element("span", one["message"], class_=f"message {one['level']}")] for one in events
    ]
    pieces.append(_panel("Events, the newest first", table(["when", "what"], told, "events")))
    if job.status not in ACTIVE_STATUSES:
        pieces.append(element("span", data_over=True, hidden=True))
    return joined(pieces)


def trying(models: Sequence[str], chosen: str | None) -> Markup:
    """The box to try a prompt in."""
    options = [element("option", name, value=name, selected=name == chosen) for name in models]
    return element(
        "form",
        element("label", "Model", for_="model"),
        element("select", *options, id="model", name_="model"),
        element("label", "Prompt", for_="prompt"),
        element("textarea", id="prompt", name_="prompt", rows="3", required=True),
        element("button", "Ask", type="submit"),
        element("output", for_="prompt"),
        id="try",
    )


def connecting(url: str, model: str, *, keys: bool) -> Markup:
    """Code that reaches this server."""
    told = (
        "Every request needs an API key of this server."
        if keys
        else "This server answers this machine only, and takes any API key."
    )
    code = _CODE.format(url=url, model=model, key="sk-ftkit-…" if keys else "none")
    return joined([element("p", told, class_="quiet"), element("pre", element("code", code))])


def _panel(title: str, *content: Piece) -> Markup:
    return element("section", element("h2", title), *content, class_="panel")


def _stamp(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
