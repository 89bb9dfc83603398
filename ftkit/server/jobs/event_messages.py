"""Translate a run's events to the events of OpenAI's API.

Order, messages and names of metrics follow OpenAI's API reference and its guide "Supervised fine-tuning". The metrics
of reinforcement are in ``rft_metrics``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ftkit.server.jobs.job_record import JobRecord
from ftkit.server.jobs.job_table import JobEvent
from ftkit.server.jobs.recipe import RECIPE_FIELDS
from ftkit.server.jobs.rft_metrics import reward_message, reward_metrics
from ftkit.store import Event

__all__ = ["JobUpdate", "resolved_hyperparameters", "translate_events"]

_RESUMED = ("resuming from", "resumed from", "going on from")
"""How the log events of a resumed run begin; the last is ftkit 0.1's."""


@dataclass(slots=True)
class JobUpdate:
    """What a run's new events change in its job.

    Attributes:
        events: events to add to the job.
        changes: fields of the job's record to change.
        checkpoints: step, time (Unix seconds) and metrics of each new checkpoint.
    """

    events: list[JobEvent] = field(default_factory=list)
    changes: dict[str, Any] = field(default_factory=dict)
    checkpoints: list[tuple[int, float, dict[str, Any]]] = field(default_factory=list)


def translate_events(
    job: JobRecord, events: Sequence[Event], earlier: dict[int, dict[str, Any]], *, ended: bool
) -> JobUpdate:
    """Translate the events of a run.

    A step whose validation metrics are still missing is left for the next call, so that both are in one event, as at
    OpenAI.

    Args:
        job: the job before the events.
        events: the run's events since ``job.last_seq``.
        earlier: metrics of earlier steps, by step.
        ended: whether the run has ended, so that no more events follow.

    Returns:
        The events, changes and checkpoints of the job.
    """
    update = JobUpdate()
    steps = dict(earlier)
    eval_steps = job.eval_steps
    for number, event in enumerate(events):
        data = event.data
        if event.kind == "step":
            validation = _validation(data["step"], events[number + 1 :])
            due = job.validation_file is not None and eval_steps is not None
            due = due and (data["step"] % eval_steps == 0 or data["step"] == data["steps"])
            if (
                due
                and validation is None
                and not ended
                and not any(later.kind == "step" for later in events[number + 1 :])
            ):
                break
            if job.grader is None:
                metrics = _metrics(data, validation)
                message = _message(metrics)
            else:
                metrics = reward_metrics(job.grader, data, validation)
                message = reward_message(metrics)
            steps[metrics["step"]] = metrics
            update.events.append(JobEvent(message, data=metrics, at=event.at))
            update.changes["estimated_finish"] = _estimated_finish(job, event)
        elif event.kind == "state" and data["state"] == "running":
            if job.started_at is None and "started_at" not in update.changes:
                update.changes["started_at"] = event.at
                update.events.append(JobEvent("Fine-tuning job started", at=event.at))
        elif event.kind == "warning":
            update.events.append(JobEvent(str(data.get("message", "")), "warn", at=event.at))
        elif event.kind == "log" and "kept_epoch" in data:
            step = int(data["step"])
            update.events.append(JobEvent(f"Checkpoint created at step {step}", at=event.at))
            update.checkpoints.append((step, event.at, _checkpoint_metrics(steps.get(step, {"step": step}))))
        elif event.kind == "log" and "recipe" in data:
            eval_steps = data["recipe"]["eval_steps"]
            update.changes |= {"eval_steps": eval_steps, "resolved": resolved_hyperparameters(job, data["recipe"])}
        elif event.kind == "log" and str(data.get("message", "")).lower().startswith(_RESUMED):
            update.events.append(JobEvent(f"Resuming from step {data['step']}", at=event.at))
        update.changes["last_seq"] = event.seq
    return update


def resolved_hyperparameters(job: JobRecord, recipe: dict[str, Any]) -> dict[str, Any]:
    """Replace ``"auto"`` in a job's hyperparameters by the values of its recipe.

    Args:
        job: the job.
        recipe: dump of the resolved recipe.

    Returns:
        Values by OpenAI's names.
    """
    requested = job.hyperparameters
    values = {name: recipe[field] for name, field in RECIPE_FIELDS.items() if name in requested}
    names = ("learning_rate_multiplier", "compute_multiplier")
    factors = {name: requested[name] for name in names if name in requested}
    return values | {name: 1.0 if factor == "auto" else factor for name, factor in factors.items()}


def _message(metrics: dict[str, Any]) -> str:
    message = f"Step {metrics['step']}/{metrics['total_steps']}: training loss={metrics['train_loss']:.2f}"
    return message + (f", validation loss={metrics['valid_loss']:.2f}" if "valid_loss" in metrics else "")


def _validation(step: int, later: Sequence[Event]) -> dict[str, Any] | None:
    """Return the validation metrics of ``step``, if they are among ``later``."""
    for event in later:
        if event.kind == "step":
            return None
        if event.kind == "validation" and event.data["step"] == step:
            return event.data
    return None


def _metrics(data: dict[str, Any], validation: dict[str, Any] | None) -> dict[str, Any]:
    metrics = {"step": data["step"], "total_steps": data["steps"], "train_loss": round(data["loss"], 6)}
    if "token_accuracy" in data:
        metrics["train_mean_token_accuracy"] = round(data["token_accuracy"], 6)
    metrics |= {name: data[name] for name in data if name.startswith("rewards_")}  # OpenAI documents no names for DPO
    if validation is not None:
        # ftkit evaluates all validation rows each time, so OpenAI's sampled and full metrics are equal.
        for key, name in (("loss", "valid_loss"), ("token_accuracy", "valid_mean_token_accuracy")):
            if key in validation:
                metrics |= {name: round(validation[key], 6), f"full_{name}": round(validation[key], 6)}
    return metrics


def _checkpoint_metrics(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name != "total_steps" and not isinstance(value, dict)}


def _estimated_finish(job: JobRecord, event: Event) -> int | None:
    """Estimate, from the mean time per step, when the last step ends, in Unix seconds."""
    if job.started_at is None:
        return None
    seconds_per_step = (event.at - job.started_at) / event.data["step"]
    return int(event.at + seconds_per_step * (event.data["steps"] - event.data["step"]))
