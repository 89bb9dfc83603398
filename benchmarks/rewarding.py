"""A reward that costs nothing and tells almost any two answers apart."""

from __future__ import annotations

from typing import Any

__all__ = ["letters"]


def letters(sample: dict[str, Any], item: dict[str, Any]) -> float:
    """The share of an answer that is the letter e."""
    text = sample["output_text"].lower()
    return text.count("e") / max(1, len(text))
