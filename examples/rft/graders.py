"""What the examples reward. Plain functions of an answer and its row; a run loads them from this file."""

from __future__ import annotations

import re
from typing import Any


def one_line(sample: dict[str, Any], item: dict[str, Any]) -> float:
    """1 for a single line, less for each further one."""
    return 1 / max(1, len(sample["output_text"].strip().splitlines()))


def length(sample: dict[str, Any], item: dict[str, Any]) -> float:
    """1 for four to eight words, falling to 0 at no word and at twenty."""
    words = len(sample["output_text"].split())
    return max(0.0, min(1.0, words / 4, (20 - words) / 12))


def full_stop(sample: dict[str, Any], item: dict[str, Any]) -> float:
    """1 when the answer is one sentence that ends with a full stop."""
    text = sample["output_text"].strip()
    return float(text.endswith(".") and len(re.findall(r"[.!?:]", text)) == 1)


def grounded(sample: dict[str, Any], item: dict[str, Any]) -> float:
    """The share of its different words of four letters and more that the message has too."""
    said = set(re.findall(r"[a-z]{4,}", sample["output_text"].lower()))
    return len(said & set(re.findall(r"[a-z]{4,}", item["message"].lower()))) / max(3, len(said))
