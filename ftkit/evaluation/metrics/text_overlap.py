"""Overlap of an answer with its target text: chrF, and ROUGE-L by rapidfuzz."""

from __future__ import annotations

import re
from collections import Counter

from ftkit.evaluation.metrics.metric import RowMetric
from ftkit.graders.text_measures import longest_common_f1
from ftkit.results.report_row import RowResult

__all__ = ["CHRF", "ROUGE_L", "chrf"]

_CHRF_ORDER = 6
_CHRF_BETA = 2
_WORD = re.compile(r"\w+")


def _words(text: str) -> list[str]:
    """Split a text like rouge-score's own tokenizer, but keep letters beyond a to z."""
    return _WORD.findall(text.replace("_", " ").casefold())


def chrf(text: str, target: str) -> float:
    """Compute chrF of one text: the F2 score of its character n-grams, n from 1 to 6.

    Spaces do not count. The result is that of sacrebleu's ``CHRF().sentence_score``, divided by 100 (Popović 2015,
    "chrF: character n-gram F-score for automatic MT evaluation").

    Args:
        text: the answer.
        target: the wanted text.

    Returns:
        From 0 to 1.
    """
    text, target = "".join(text.split()), "".join(target.split())
    precision = recall = 0.0
    orders = 0
    for order in range(1, _CHRF_ORDER + 1):
        answered, wanted = _ngrams(text, order), _ngrams(target, order)
        if answered and wanted:
            matched = sum((answered & wanted).values())
            precision += matched / answered.total()
            recall += matched / wanted.total()
            orders += 1
    if not precision + recall:
        return 0.0
    precision, recall, weight = precision / orders, recall / orders, _CHRF_BETA**2
    return (1 + weight) * precision * recall / (weight * precision + recall)


def _ngrams(text: str, order: int) -> Counter[str]:
    return Counter(text[start : start + order] for start in range(len(text) - order + 1))


def _chrf(row: RowResult) -> float | None:
    if not isinstance(row.target, str):
        return None
    return chrf(row.text, row.target) if row.readable else 0.0


def _rouge_l(row: RowResult) -> float | None:
    if not isinstance(row.target, str):
        return None
    return longest_common_f1(_words(row.text), _words(row.target), extra="text") if row.readable else 0.0


CHRF = RowMetric(
    name="chrf",
    description="mean over the rows of chrF, the F score of character n-grams (Popović 2015)",
    headline_rank=2,
    score=_chrf,
)
ROUGE_L = RowMetric(
    name="rouge_l",
    description="mean over the rows of ROUGE-L, the F1 of the longest common words (Lin 2004, by rapidfuzz)",
    score=_rouge_l,
)
