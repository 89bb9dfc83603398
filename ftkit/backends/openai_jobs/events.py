"""What hosts of OpenAI's jobs API say of a job, in ftkit's kinds of events; read leniently."""

from __future__ import annotations

import base64
import binascii
import csv
import math
import re
from collections.abc import Iterator
from typing import Any

from ftkit.backends.hosted.host import RemoteEvent
from ftkit.backends.openai_jobs.reward_metrics import is_number, reward_figures, reward_validation
from ftkit.store import EventKind

__all__ = ["of_event", "of_results"]

_STEP = re.compile(r"[Ss]tep (\d+)(?:/(\d+))?: training loss=([-\d.eE]+)")
_NAMES = {
    "train_loss": "loss",
    "total_steps": "steps",
    "train_mean_token_accuracy": "token_accuracy",
    "train_accuracy": "token_accuracy",
}
_LOOKED = (
    ("full_valid_loss", ("full_valid_mean_token_accuracy",)),
    ("valid_loss", ("valid_mean_token_accuracy", "validation_mean_token_accuracy")),  # the latter in Azure's files
)
"""Looks at the validation rows, that at all of them first: loss and what the token accuracy may be called beside it."""


def of_event(event_id: str, event: dict[str, Any]) -> list[RemoteEvent]:
    """What one event of the host says; metrics become steps, whatever is missing."""
    data = event.get("data") if isinstance(event.get("data"), dict) else {}
    return [_event(event_id, event), *_validation(event_id, data or {})]


def of_results(content: bytes) -> Iterator[RemoteEvent]:
    """The steps in a job's result file: CSV, which some answers hold in base64. Anything else has none."""
    text = content.decode("utf-8-sig", errors="replace")
    if not text.lstrip().startswith("step"):
        try:
            text = base64.b64decode(content, validate=False).decode("utf-8-sig")
        except (binascii.Error, ValueError):
            return
    for row in csv.DictReader(text.splitlines()):
        figures = {name: number for name, cell in row.items() if name and (number := _number(cell)) is not None}
        if "step" not in figures:
            continue
        step = int(figures["step"])
        named = {_NAMES.get(name, name): value for name, value in figures.items()} | {"step": step}
        shown = _step(named)
        if shown is not None:
            yield RemoteEvent(f"result-{step}", "step", shown)
        yield from _validation(f"result-{step}", named)


def _event(event_id: str, event: dict[str, Any]) -> RemoteEvent:
    data = event.get("data") if isinstance(event.get("data"), dict) else {}
    message = str(event.get("message") or "")
    level = str(event.get("level") or "info")
    said = _STEP.search(message)
    figures = {
        name: value for name, value in (data or {}).items() if not isinstance(value, float) or math.isfinite(value)
    }
    if figures.get("step") is not None and (event.get("type") == "metrics" or "train_loss" in figures):
        renamed = {_NAMES.get(name, name): value for name, value in figures.items() if value is not None}
        shown = _step(renamed)
        if shown is not None:
            return RemoteEvent(event_id, "step", shown)
    if said:
        step = {"step": int(said[1]), "loss": float(said[3])} | ({"steps": int(said[2])} if said[2] else {})
        return RemoteEvent(event_id, "step", step)
    kinds: dict[str, EventKind] = {"warn": "warning", "warning": "warning", "error": "error"}
    kind: EventKind = kinds.get(level, "log")
    if kind == "log" and message.startswith("Checkpoint created"):
        number = re.search(r"\d+", message)
        if number:
            return RemoteEvent(event_id, "checkpoint", {"step": int(number[0]), "message": message})
    more = {"type": event["type"]} if event.get("type") not in (None, "message", "metrics") else {}
    return RemoteEvent(event_id, kind, {"message": message} | more)


def _step(figures: dict[str, Any]) -> dict[str, Any] | None:
    """The figures of a step of training; None when they are of something else."""
    if "train_mean_reward" in figures:
        return reward_figures(figures)
    return figures if "loss" in figures else None


def _validation(event_id: str, held: dict[str, Any]) -> list[RemoteEvent]:
    """The look at the validation rows that metrics hold; that on all of them goes before that on a part."""
    if (rewarded := reward_validation(held)) is not None:
        return [RemoteEvent(f"{event_id}-validation", "validation", rewarded)]
    loss, names = next(((held[loss], names) for loss, names in _LOOKED if held.get(loss) is not None), (None, ()))
    if not is_number(loss) or held.get("step") is None:
        return []
    accuracies = [held[name] for name in names if is_number(held.get(name))]
    shown = {"step": held["step"], "loss": loss} | ({"token_accuracy": accuracies[0]} if accuracies else {})
    return [RemoteEvent(f"{event_id}-validation", "validation", shown)]


def _number(cell: Any) -> float | None:
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
