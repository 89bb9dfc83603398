"""What the examples reward. Plain functions of an answer and its row; a run loads them from this file."""

from __future__ import annotations

import re
from typing import Any

URGENT = ("low", "medium", "high")


def one_line(sample: dict[str, Any], item: dict[str, Any]) -> float:
    """1 for a single line, less for each further one."""
    return 1 / max(1, len(sample["output_text"].strip().splitlines()))


def short(sample: dict[str, Any], item: dict[str, Any]) -> float:
    """1 up to eight words, falling to 0 at forty."""
    return min(1.0, max(0.0, (40 - len(sample["output_text"].split())) / 32))


def slash(sample: dict[str, Any], item: dict[str, Any]) -> float:
    """1 for exactly one slash."""
    return float(sample["output_text"].count("/") == 1)


def urgency(sample: dict[str, Any], item: dict[str, Any]) -> float:
    """1 when nothing but the urgency follows the slash; half when it is said at all."""
    text = sample["output_text"].strip().lower()
    if re.search(r"/\s*(low|medium|high)\.?$", text):
        return 1.0
    return 0.5 * float(any(re.search(rf"\b{word}\b", text) for word in URGENT))
