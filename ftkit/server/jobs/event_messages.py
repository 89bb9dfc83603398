"""A run's events in the words of OpenAI's API.

Order, messages and names of figures: OpenAI's API reference and its guide "Supervised fine-tuning". Those of
reinforcement are in ``rewards``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ftkit.server.jobs.job_record import JobRecord
from ftkit.server.jobs.job_table import Told
from ftkit.server.jobs.recipe import RECIPE_FIELDS
from ftkit.server.jobs.rft_metrics import reward_message, reward_metrics
from ftkit.store import Event

__all__ = ["JobUpdate", "numbers", "translate_events"]


@dataclass(slots=True)
class JobUpdate:
    """What the events of a run mean to the job.

    Attributes:
        told: to be told to the client.
        changes: of the job's record.
        checkpoints: step, time and figures of each model that was kept.
    """

    told: list[Told] = field(default_factory=list)
    changes: dict[str, Any] = field(default_factory=dict)
    checkpoints: list[tuple[int, float, dict[str, Any]]] = field(default_factory=list)


def translate_events(
    job: JobRecord, events: Sequence[Event], known: dict[int, dict[str, Any]], *, ended: bool
) -> JobUpdate:
    """Put the run's ``events`` into words.

    A step whose validation loss is still to come is left for the next time, so that both are one event, as in OpenAI's.

    Args:
        known: figures of earlier steps, by step.
        ended: no more events will come.
    """
    found = JobUpdate()
    steps = dict(known)
    eval_steps = job.eval_steps
    for number, event in enumerate(events):
        data = event.data
        if event.kind == "step":
            looked = _look(data["step"], events[number + 1 :])
            due = job.validation_file is not None and eval_steps is not None
            due = due and (data["step"] % eval_steps == 0 or data["step"] == data["steps"])
            if due and looked is None and not ended and not any(one.kind == "step" for one in events[number + 1 :]):
                break
            if job.grader is None:
                figures = _figures(data, looked)
                message = _message(figures)
            else:
                figures = reward_metrics(job.grader, data, looked)
                message = reward_message(figures)
            steps[figures["step"]] = figures
            found.told.append(Told(message, data=figures, at=event.at))
            found.changes["estimated_finish"] = _finish(job, event)
        elif event.kind == "state" and data["state"] == "running":
            if job.started_at is None and "started_at" not in found.changes:
                found.changes["started_at"] = event.at
                found.told.append(Told("Fine-tuning job started", at=event.at))
        elif event.kind == "warning":
            found.told.append(Told(str(data.get("message", "")), "warn", at=event.at))
        elif event.kind == "log" and "kept_epoch" in data:
            step = int(data["step"])
            found.told.append(Told(f"Checkpoint created at step {step}", at=event.at))
            found.checkpoints.append((step, event.at, _checkpoint_figures(steps.get(step, {"step": step}))))
        elif event.kind == "log" and "recipe" in data:
            eval_steps = data["recipe"]["eval_steps"]
            found.changes |= {"eval_steps": eval_steps, "resolved": numbers(job, data["recipe"])}
        elif event.kind == "log" and str(data.get("message", "")).startswith("going on from"):
            found.told.append(Told(f"Going on from step {data['step']}", at=event.at))
        found.changes["last_seq"] = event.seq
    return found


def numbers(job: JobRecord, recipe: dict[str, Any]) -> dict[str, Any]:
    """The job's hyperparameters out of a resolved recipe."""
    said = job.hyperparameters
    found = {ours: recipe[theirs] for ours, theirs in RECIPE_FIELDS.items() if ours in said}
    factors = {name: said[name] for name in ("learning_rate_multiplier", "compute_multiplier") if name in said}
    return found | {name: 1.0 if factor == "auto" else factor for name, factor in factors.items()}


def _message(figures: dict[str, Any]) -> str:
    message = f"Step {figures['step']}/{figures['total_steps']}: training loss={figures['train_loss']:.2f}"
    return message + (f", validation loss={figures['valid_loss']:.2f}" if "valid_loss" in figures else "")


def _look(step: int, later: Sequence[Event]) -> dict[str, Any] | None:
    """The look at the validation rows after ``step``, if it is among ``later``."""
    for event in later:
        if event.kind == "step":
            return None
        if event.kind == "validation" and event.data["step"] == step:
            return event.data
    return None


def _figures(data: dict[str, Any], looked: dict[str, Any] | None) -> dict[str, Any]:
    found = {"step": data["step"], "total_steps": data["steps"], "train_loss": round(data["loss"], 6)}
    if "token_accuracy" in data:
        found["train_mean_token_accuracy"] = round(data["token_accuracy"], 6)
    found |= {name: data[name] for name in data if name.startswith("rewards_")}  # DPO's, under ftkit's names
    if looked is not None:
        # ftkit looks at all validation rows each time, so both of OpenAI's numbers are the same one.
        for ours, theirs in (("loss", "valid_loss"), ("token_accuracy", "valid_mean_token_accuracy")):
            if ours in looked:
                found |= {theirs: round(looked[ours], 6), f"full_{theirs}": round(looked[ours], 6)}
    return found


def _checkpoint_figures(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if name != "total_steps" and not isinstance(value, dict)}


def _finish(job: JobRecord, event: Event) -> int | None:
    """When the last step will be done at the pace so far, in Unix seconds."""
    if job.started_at is None:
        return None
    a_step = (event.at - job.started_at) / event.data["step"]
    return int(event.at + a_step * (event.data["steps"] - event.data["step"]))
