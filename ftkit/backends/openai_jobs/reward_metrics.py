"""Translate the reward metrics of OpenAI's jobs API into ftkit's names. Missing fields are tolerated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, get_args

from ftkit.graders import Grade, GraderError

__all__ = ["is_number", "is_step", "parse_grade", "reward_metrics", "reward_validation"]

_METRIC_NAMES = {
    "train_mean_reward": "reward",
    "completion_tokens_mean": "completion_length",
    "reasoning_tokens_mean": "reasoning_length",
    "total_loss_sum": "loss",
    "entropy_loss_sum": "entropy",
}


def parse_grade(response: Mapping[str, Any]) -> Grade:
    """Read the result of a grader that the host ran.

    Args:
        response: the response (https://platform.openai.com/docs/api-reference/graders/run).

    Returns:
        The grade.
    """
    errors = (response.get("metadata") or {}).get("errors") or {}
    names = [name for name, value in errors.items() if value is True]
    details = [str(value) for value in errors.values() if isinstance(value, str) and value]
    error: GraderError | None = None
    if names:
        known: GraderError = next((name for name in get_args(GraderError) if name in names), "other_error")
        error = known
    return Grade(
        reward=float(response.get("reward") or 0.0),
        parts={name: float(value) for name, value in (response.get("sub_rewards") or {}).items() if is_number(value)},
        error=error,
        detail="; ".join([*names, *details]) or None,
    )


def reward_metrics(data: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the metrics of a step to the names that local runs use.

    Args:
        data: the host's metrics.

    Returns:
        The metrics; those that ftkit has no name for keep the host's.
    """
    metrics = {_METRIC_NAMES.get(name, name): value for name, value in data.items() if name not in ("scores", "errors")}
    parts = {
        str(grader["name"]): grader["train_reward_mean"]
        for grader in _graders(data.get("scores"))
        if grader.get("name") and is_number(grader.get("train_reward_mean"))
    }
    if parts:
        metrics["reward_parts"] = parts
    error_counts: dict[str, float] = {}
    for source in [data, *_graders(data.get("errors"))]:
        for error in get_args(GraderError):
            count = source.get(f"train_{error}_count")
            if is_number(count) and count:
                error_counts[error] = error_counts.get(error, 0) + count
    if error_counts:
        metrics["grader_errors"] = error_counts
    return metrics


def reward_validation(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read the mean reward over the validation rows.

    Args:
        data: the host's metrics of a step.

    Returns:
        ``step``, ``reward`` and perhaps ``parse_error_share``; None if the step has no validation.
    """
    reward = data.get("full_valid_mean_reward")
    if not is_number(reward) or not is_step(data.get("step")):
        return None
    parse_errors = data.get("full_valid_mean_parse_error")
    share = {"parse_error_share": parse_errors} if is_number(parse_errors) else {}
    return {"step": data["step"], "reward": reward, **share}


def _graders(value: Any) -> list[dict[str, Any]]:
    graders = value.get("graders") if isinstance(value, dict) else None
    return [grader for grader in graders or () if isinstance(grader, dict)] if isinstance(graders, list) else []


def is_number(value: Any) -> bool:
    """Return whether a value that a host sent is a finite number.

    Args:
        value: the value.

    Returns:
        Whether it is one.
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def is_step(value: Any) -> bool:
    """Return whether a value that a host sent is the number of a step.

    Args:
        value: the value.

    Returns:
        Whether it is one.
    """
    return is_number(value) and 0 <= value < 2**53 and value == int(value)
