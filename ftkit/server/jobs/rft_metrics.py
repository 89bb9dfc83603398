"""Metrics of reinforcement jobs under OpenAI's names.

Names and messages follow OpenAI's guide "Reinforcement fine-tuning" (metrics of events, training errors).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["reward_message", "reward_metrics"]

Metrics = Mapping[str, Any]

_ERRORS = ("sample_parse_error", "invalid_variable_error", "other_error")
"""Errors that are always reported; others are reported where they occurred."""


def reward_metrics(grader: Metrics, data: Metrics, validation: Metrics | None) -> dict[str, Any]:
    """Return the metrics of a step: rewards, lengths, scores and errors by grader, and seconds.

    Args:
        grader: the job's grader, as the client sent it.
        data: data of ftkit's ``step`` event. A step that reuses the answers of an earlier one has no rewards.
        validation: data of the ``validation`` event after the step, if there is one.

    Returns:
        Metrics for an event of OpenAI's API.
    """
    metrics: dict[str, Any] = {"step": data["step"], "total_steps": data["steps"]}
    roles = {"train": data if "reward" in data else None, "valid": validation}
    if roles["train"] is not None:
        metrics |= {"train_mean_reward": data["reward"], "completion_tokens_mean": data["completion_length"]}
    if validation is not None:
        errors = validation["grader_errors"].get("sample_parse_error", 0)
        metrics |= {
            "full_valid_mean_reward": validation["reward"],
            "full_valid_mean_parse_error": errors / validation["answers"],
        }
    measured = {role: values for role, values in roles.items() if values is not None}
    means = {f"{role}_reward_mean": values["reward"] for role, values in measured.items()}
    metrics["scores"] = {"graders": _scores(grader, measured, means), **means}
    metrics["errors"] = {"graders": [{**_named(grader), **_errors(measured)}]}
    metrics["timing"] = {"step": _seconds(data, validation)}
    return metrics


def reward_message(metrics: Metrics) -> str:
    """Format a step's metrics as OpenAI's message.

    Args:
        metrics: from :func:`reward_metrics`.

    Returns:
        One line.
    """
    parts = [f"Step {metrics['step']}/{metrics['total_steps']} "]
    for name, words in (
        ("train_mean_reward", "train mean reward"),
        ("full_valid_mean_reward", "full validation mean reward"),
        ("full_valid_mean_parse_error", "full validation mean parse error"),
    ):
        if name in metrics:
            parts.append(f"{words}={metrics[name]:.2f}")
    return ", ".join(parts)


def _scores(grader: Metrics, known: Mapping[str, Metrics], means: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return the mean reward of the grader, or of each part of a ``multi`` grader."""
    if grader["type"] != "multi":
        return [{**_named(grader), **means}]
    parts = {role: values["reward_parts"] for role, values in known.items()}
    return [
        {**_named(part), "name": name}
        | {f"{role}_reward_mean": rewards[name] for role, rewards in parts.items() if name in rewards}
        for name, part in grader["graders"].items()
    ]


def _errors(known: Mapping[str, Metrics]) -> dict[str, float]:
    rates: dict[str, float] = {}
    for role, values in known.items():
        for kind in dict.fromkeys((*_ERRORS, *values["grader_errors"])):
            count = values["grader_errors"].get(kind, 0)
            rates |= {f"{role}_{kind}_mean": count / values["answers"], f"{role}_{kind}_count": float(count)}
    return rates


def _seconds(data: Metrics, validation: Metrics | None) -> dict[str, float]:
    sampling = data.get("draw_seconds", 0.0)
    evaluation = {} if validation is None else {"eval": validation["seconds"]}
    return {
        **evaluation,
        "sampling": sampling,
        "training": round(data["seconds"] - sampling, 4),
        "full_iteration": round(data["seconds"] + sum(evaluation.values()), 4),
    }


def _named(grader: Metrics) -> dict[str, Any]:
    return {"name": grader.get("name", grader["type"]), "type": grader["type"]}
