"""The figures of reinforcement jobs, by the names of OpenAI's.

Names and messages: OpenAI's guide "Reinforcement fine-tuning", metrics of events and training errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["reward_message", "reward_metrics"]

Figures = Mapping[str, Any]

_ERRORS = ("sample_parse_error", "invalid_variable_error", "other_error")
"""Errors that every grader may have; others are told where there were any."""


def reward_metrics(grader: Figures, data: Figures, looked: Figures | None) -> dict[str, Any]:
    """What a step's event tells: rewards, lengths, scores and errors by grader, seconds.

    Args:
        grader: of the job, as the client sent it.
        data: of ftkit's ``step`` event. A step on answers of an earlier one has no rewards.
        looked: of its ``validation`` event after the step, if there was one.
    """
    found: dict[str, Any] = {"step": data["step"], "total_steps": data["steps"]}
    told = {"train": data if "reward" in data else None, "valid": looked}
    if told["train"] is not None:
        found |= {"train_mean_reward": data["reward"], "completion_tokens_mean": data["completion_length"]}
    if looked is not None:
        errors = looked["grader_errors"].get("sample_parse_error", 0)
        found |= {
            "full_valid_mean_reward": looked["reward"],
            "full_valid_mean_parse_error": errors / looked["answers"],
        }
    known = {name: one for name, one in told.items() if one is not None}
    means = {f"{name}_reward_mean": one["reward"] for name, one in known.items()}
    found["scores"] = {"graders": _scores(grader, known, means), **means}
    found["errors"] = {"graders": [{**_named(grader), **_errors(known)}]}
    found["timing"] = {"step": _seconds(data, looked)}
    return found


def reward_message(figures: Figures) -> str:
    """The figures in OpenAI's sentence."""
    parts = [f"Step {figures['step']}/{figures['total_steps']} "]
    for name, words in (
        ("train_mean_reward", "train mean reward"),
        ("full_valid_mean_reward", "full validation mean reward"),
        ("full_valid_mean_parse_error", "full validation mean parse error"),
    ):
        if name in figures:
            parts.append(f"{words}={figures[name]:.2f}")
    return ", ".join(parts)


def _scores(grader: Figures, known: Mapping[str, Figures], means: Mapping[str, float]) -> list[dict[str, Any]]:
    """The mean reward of the grader, or of each part of a ``multi``."""
    if grader["type"] != "multi":
        return [{**_named(grader), **means}]
    parts = {role: one["reward_parts"] for role, one in known.items()}
    return [
        {**_named(part), "name": name}
        | {f"{role}_reward_mean": rewards[name] for role, rewards in parts.items() if name in rewards}
        for name, part in grader["graders"].items()
    ]


def _errors(known: Mapping[str, Figures]) -> dict[str, float]:
    found: dict[str, float] = {}
    for role, one in known.items():
        for kind in dict.fromkeys((*_ERRORS, *one["grader_errors"])):
            count = one["grader_errors"].get(kind, 0)
            found |= {f"{role}_{kind}_mean": count / one["answers"], f"{role}_{kind}_count": float(count)}
    return found


def _seconds(data: Figures, looked: Figures | None) -> dict[str, float]:
    sampling = data.get("draw_seconds", 0.0)
    looking = {} if looked is None else {"eval": looked["seconds"]}
    return {
        **looking,
        "sampling": sampling,
        "training": round(data["seconds"] - sampling, 4),
        "full_iteration": round(data["seconds"] + sum(looking.values()), 4),
    }


def _named(grader: Figures) -> dict[str, Any]:
    return {"name": grader.get("name", grader["type"]), "type": grader["type"]}
