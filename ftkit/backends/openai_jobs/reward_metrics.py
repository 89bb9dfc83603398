"""What hosts of OpenAI's jobs API say of rewards, in ftkit's words. Read leniently, as all that they say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, get_args

from ftkit.graders import Grade, GraderError

__all__ = ["grade_of", "is_number", "reward_figures", "reward_validation"]

_NAMES = {
    "train_mean_reward": "reward",
    "completion_tokens_mean": "completion_length",
    "reasoning_tokens_mean": "reasoning_length",
    "total_loss_sum": "loss",
    "entropy_loss_sum": "entropy",
}


def grade_of(answer: Mapping[str, Any]) -> Grade:
    """What the host's grader found (https://platform.openai.com/docs/api-reference/graders/run)."""
    said = (answer.get("metadata") or {}).get("errors") or {}
    wrong = [name for name, value in said.items() if value is True]
    details = [str(value) for value in said.values() if isinstance(value, str) and value]
    error: GraderError | None = None
    if wrong:
        known: GraderError = next((name for name in get_args(GraderError) if name in wrong), "other_error")
        error = known
    return Grade(
        reward=float(answer.get("reward") or 0.0),
        parts={name: float(value) for name, value in (answer.get("sub_rewards") or {}).items() if is_number(value)},
        error=error,
        detail="; ".join([*wrong, *details]) or None,
    )


def reward_figures(data: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of one step under the names that local runs give them; all others as they come."""
    found = {_NAMES.get(name, name): value for name, value in data.items() if name not in ("scores", "errors")}
    parts = {
        str(one["name"]): one["train_reward_mean"]
        for one in _graders(data.get("scores"))
        if one.get("name") and is_number(one.get("train_reward_mean"))
    }
    if parts:
        found["reward_parts"] = parts
    counted: dict[str, float] = {}
    for one in [data, *_graders(data.get("errors"))]:
        for error in get_args(GraderError):
            count = one.get(f"train_{error}_count")
            if is_number(count) and count:
                counted[error] = counted.get(error, 0) + count
    if counted:
        found["grader_errors"] = counted
    return found


def reward_validation(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """The look at the validation rows, when the step made one: mean reward, and the share that could not be read."""
    reward = data.get("full_valid_mean_reward")
    if not is_number(reward) or data.get("step") is None:
        return None
    unread = data.get("full_valid_mean_parse_error")
    more = {"parse_error_share": unread} if is_number(unread) else {}
    return {"step": data["step"], "reward": reward, **more}


def _graders(held: Any) -> list[dict[str, Any]]:
    graders = held.get("graders") if isinstance(held, dict) else None
    return [one for one in graders or () if isinstance(one, dict)] if isinstance(graders, list) else []


def is_number(value: Any) -> bool:
    """Whether a host has said a number that can be counted with."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
