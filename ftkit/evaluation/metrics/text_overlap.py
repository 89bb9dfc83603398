"""Overlap of an answer with its target text: chrF by sacrebleu, ROUGE-L by rapidfuzz. Not part of "auto"."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from ftkit.evaluation.metrics.metric import RowMetric
from ftkit.extras import require
from ftkit.graders.text_measures import longest_common_f1
from ftkit.results.report_row import RowResult

__all__ = ["CHRF", "ROUGE_L"]

_WORD = re.compile(r"\w+")


def _words(text: str) -> list[str]:
    """Split a text like rouge-score's own tokenizer, but keep letters beyond a to z."""
    return _WORD.findall(text.replace("_", " ").casefold())


@cache
def _chrf_scorer() -> Any:
    return require("sacrebleu.metrics", extra="text", needed_for="The metric chrf").CHRF()


def _chrf(row: RowResult) -> float | None:
    if not isinstance(row.target, str):
        return None
    return float(_chrf_scorer().sentence_score(row.text, [row.target]).score) / 100 if row.readable else 0.0


def _rouge_l(row: RowResult) -> float | None:
    if not isinstance(row.target, str):
        return None
    return longest_common_f1(_words(row.text), _words(row.target), extra="text") if row.readable else 0.0


CHRF = RowMetric(
    name="chrf",
    description="mean over the rows of chrF, the F score of character n-grams (Popović 2015, by sacrebleu)",
    score=_chrf,
)
ROUGE_L = RowMetric(
    name="rouge_l",
    description="mean over the rows of ROUGE-L, the F1 of the longest common words (Lin 2004, by rapidfuzz)",
    score=_rouge_l,
)
