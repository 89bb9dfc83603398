"""Functions that graders are made of in tests."""

from __future__ import annotations

from typing import Any


def length(sample: dict[str, Any], item: dict[str, Any]) -> float:
    return len(sample["output_text"]) / item["most"]


def nothing(sample: dict[str, Any], item: dict[str, Any]) -> None:
    return None


def broken(sample: dict[str, Any], item: dict[str, Any]) -> float:
    raise KeyError("wanted")


CONSTANT = 1.0
