"""A grader for models that write nonsense: how often an answer has the letter that is wanted."""

from __future__ import annotations

from typing import Any

__all__ = ["broken", "rare", "same", "worth"]


def worth(sample: dict[str, Any], item: dict[str, Any]) -> float:
    text = sample["output_text"].lower()
    return text.count("e") / max(1, len(text))


def rare(sample: dict[str, Any], item: dict[str, Any]) -> float:
    return float("k" in sample["output_text"].lower())


def same(sample: dict[str, Any], item: dict[str, Any]) -> float:
    return 0.5


def broken(sample: dict[str, Any], item: dict[str, Any]) -> float:
    raise ValueError("no such bed")
