"""Translate events and result files of OpenAI's jobs API into ftkit's events. Missing fields are tolerated."""

from __future__ import annotations

import base64
import binascii
import csv
import math
import re
from collections.abc import Iterator
from typing import Any

from ftkit.backends.hosted.host import RemoteEvent
from ftkit.backends.openai_jobs.reward_metrics import is_number, is_step, reward_metrics, reward_validation
from ftkit.store import EventKind

__all__ = ["parse_event", "parse_result_file"]

_STEP_PATTERN = re.compile(r"[Ss]tep (\d+)(?:/(\d+))?: training loss=([-\d.eE]+)")
_GRADERS = ("scores", "errors")
"""What a step of reinforcement says of each grader, which becomes rewards and counts."""
_NAME_PATTERN = re.compile(r"\w[\w ./:@()%-]{0,199}")
_METRIC_NAMES = {
    "train_loss": "loss",
    "total_steps": "steps",
    "train_mean_token_accuracy": "token_accuracy",
    "train_accuracy": "token_accuracy",
}
_VALIDATION_METRICS = (
    ("full_valid_loss", ("full_valid_mean_token_accuracy",)),
    ("valid_loss", ("valid_mean_token_accuracy", "validation_mean_token_accuracy")),  # the latter in Azure's files
)
"""Names of the validation loss and of the token accuracy beside it. A loss over all validation rows comes first."""
_NUMBERS = frozenset({"loss", "steps", "token_accuracy", "epoch", "learning_rate", "grad_norm", "tokens", "seconds"})
"""Entries of a step that are numbers in every event of ftkit."""
_MAX_ROWS = 1_000_000
_MAX_COLUMNS = 200
_LEVELS: dict[str, EventKind] = {"warn": "warning", "warning": "warning", "error": "error"}


def parse_event(event_id: str, event: dict[str, Any]) -> list[RemoteEvent]:
    """Translate one event of the host.

    Args:
        event_id: its id.
        event: the event as the host sends it.

    Returns:
        ftkit's events: a step or message, and a validation if the event has a validation loss.
    """
    data = event.get("data") if isinstance(event.get("data"), dict) else {}
    return [_parse_event(event_id, event), *_validation(event_id, data or {})]


def parse_result_file(content: bytes) -> Iterator[RemoteEvent]:
    """Read the steps of a job's result file.

    Args:
        content: the file: CSV, or CSV in base64. Any other content has no steps.

    Yields:
        Steps and validations.
    """
    text = content.decode("utf-8-sig", errors="replace")
    if not text.lstrip().startswith("step"):
        try:
            text = base64.b64decode(content, validate=False).decode("utf-8-sig")
        except (binascii.Error, ValueError):
            return
    try:
        yield from _result_rows(csv.DictReader(text.splitlines()))
    except csv.Error as error:
        yield RemoteEvent("result-file-damaged", "warning", {"message": f"a result file is damaged: {error}"})


def _result_rows(rows: csv.DictReader[str]) -> Iterator[RemoteEvent]:
    columns = len(rows.fieldnames or ())
    if columns > _MAX_COLUMNS:
        message = f"a result file has {columns:,} columns and is not read; it has at most {_MAX_COLUMNS}"
        yield RemoteEvent("result-file-columns", "warning", {"message": message})
        return
    for count, row in enumerate(rows):
        if count == _MAX_ROWS:
            message = f"a result file has more than {_MAX_ROWS:,} rows; the others are left out"
            yield RemoteEvent("result-file-rows", "warning", {"message": message})
            return
        metrics = {
            name: number
            for name, cell in row.items()
            if name and _NAME_PATTERN.fullmatch(name) and (number := _parse_number(cell)) is not None
        }
        if not is_step(metrics.get("step")):
            continue
        step = int(metrics["step"])
        renamed = {_METRIC_NAMES.get(name, name): value for name, value in metrics.items()} | {"step": step}
        step_data = _step(renamed)
        if step_data is not None:
            yield RemoteEvent(f"result-{step}", "step", step_data)
        yield from _validation(f"result-{step}", renamed)


def _parse_event(event_id: str, event: dict[str, Any]) -> RemoteEvent:
    data = event.get("data") if isinstance(event.get("data"), dict) else {}
    message = str(event.get("message") or "")
    metrics = {name: value for name, value in (data or {}).items() if name in _GRADERS or _is_metric(name, value)}
    if is_step(metrics.get("step")) and (event.get("type") == "metrics" or "train_loss" in metrics):
        step_data = _step(
            {_METRIC_NAMES.get(name, name): value for name, value in metrics.items() if value is not None}
        )
        if step_data is not None:
            return RemoteEvent(event_id, "step", step_data)
    match = _STEP_PATTERN.search(message)
    if match:
        steps = {"steps": int(match[2])} if match[2] else {}
        return RemoteEvent(event_id, "step", {"step": int(match[1]), "loss": float(match[3])} | steps)
    kind: EventKind = _LEVELS.get(str(event.get("level") or "info"), "log")
    if kind == "log" and message.startswith("Checkpoint created"):
        number = re.search(r"\d+", message)
        if number:
            return RemoteEvent(event_id, "checkpoint", {"step": int(number[0]), "message": message})
    event_type = {"type": event["type"]} if event.get("type") not in (None, "message", "metrics") else {}
    return RemoteEvent(event_id, kind, {"message": message} | event_type)


def _is_metric(name: str, value: Any) -> bool:
    """Whether it is the value of a metric. Names become columns of tables that spreadsheets open."""
    if not _NAME_PATTERN.fullmatch(name):
        return False
    return math.isfinite(value) if isinstance(value, float) else value is None or isinstance(value, int | str)


def _step(metrics: dict[str, Any]) -> dict[str, Any] | None:
    """The data of a step event; None if the metrics are of something else."""
    if "train_mean_reward" in metrics:
        return reward_metrics(metrics)
    metrics = {
        name: value
        for name, value in metrics.items()
        if name not in _GRADERS and (name not in _NUMBERS or is_number(value))
    }
    return metrics if "loss" in metrics else None


def _validation(event_id: str, metrics: dict[str, Any]) -> list[RemoteEvent]:
    """The validation event of metrics that have a validation loss or reward."""
    if (rewards := reward_validation(metrics)) is not None:
        return [RemoteEvent(f"{event_id}-validation", "validation", rewards)]
    loss, accuracy_names = next(
        ((metrics[loss], names) for loss, names in _VALIDATION_METRICS if metrics.get(loss) is not None), (None, ())
    )
    if not is_number(loss) or not is_step(metrics.get("step")):
        return []
    accuracies = [metrics[name] for name in accuracy_names if is_number(metrics.get(name))]
    data = {"step": metrics["step"], "loss": loss} | ({"token_accuracy": accuracies[0]} if accuracies else {})
    return [RemoteEvent(f"{event_id}-validation", "validation", data)]


def _parse_number(cell: Any) -> float | None:
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
