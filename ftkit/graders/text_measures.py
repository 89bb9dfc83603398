"""The similarity of two texts, each measure by the library that defines it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from ftkit.extras import require
from ftkit.graders.grade import GradingError

__all__ = ["longest_common_f1", "measure_texts"]

_MOST_COMPARED = {"fuzzy_match": 25_000_000, "meteor": 10_000_000, "rouge_l": 10_000_000_000}
"""Of measures whose time grows with the product of the lengths (in characters, words, words): the largest product. It
takes a few seconds."""


def measure_texts(metric: str, texts: Sequence[tuple[str, str]]) -> list[float | GradingError]:
    """Compare texts with their references.

    Args:
        metric: one of :data:`ftkit.graders.text_similarity.SimilarityMetric` except ``cosine``.
        texts: pairs of a text and its reference.

    Returns:
        The similarity of each pair, from 0 to 1; or why there is none, which is that the texts are too long.
    """
    measure = _measure(metric)
    return [measure(text, wanted) for text, wanted in texts]


_Measure = Callable[[str, str], "float | GradingError"]


@cache
def _measure(metric: str) -> _Measure:
    """Return the function of (text, reference) that a measure's name stands for."""
    if metric == "fuzzy_match":
        fuzz = _library("rapidfuzz.fuzz", metric)
        return _bounded(metric, "characters", lambda text, wanted: float(fuzz.WRatio(text, wanted)) / 100)
    if metric == "bleu":
        bleu = _library("sacrebleu", metric)
        return lambda text, wanted: float(bleu.sentence_bleu(text, [wanted]).score) / 100
    if metric in ("gleu", "meteor"):
        words = _library("sacrebleu.tokenizers.tokenizer_13a", metric).Tokenizer13a()
        if metric == "gleu":
            gleu = _library("nltk.translate.gleu_score", metric)
            return lambda text, wanted: float(gleu.sentence_gleu([words(wanted).split()], words(text).split()))
        single = _library("nltk.translate.meteor_score", metric).single_meteor_score
        meteor = _bounded(metric, "words", lambda text, wanted: float(single(wanted, text)))
        return lambda text, wanted: meteor(words(text).split(), words(wanted).split())
    if metric == "rouge_l":
        return _rouge_l()
    kind = metric.replace("_", "")
    rouge = _library("rouge_score.rouge_scorer", metric).RougeScorer([kind])
    return lambda text, wanted: float(rouge.score(wanted, text)[kind].fmeasure)


def _rouge_l() -> _Measure:
    """The F measure of rouge-score's ``rougeL``, in linear memory: rouge-score takes 17 GB for 45,000 words."""
    tokenize = _library("rouge_score.tokenize", "rouge_l").tokenize
    bounded = _bounded("rouge_l", "words", longest_common_f1)
    return lambda text, wanted: bounded(tokenize(text, None), tokenize(wanted, None))


def longest_common_f1(text: Sequence[str], wanted: Sequence[str], extra: str = "graders") -> float:
    """Compute the F1 of the longest common subsequence of words (ROUGE-L, Lin 2004), bit-parallel by rapidfuzz.

    Args:
        text: words of a text.
        wanted: words of its reference.
        extra: the extra that rapidfuzz belongs to, for the error if it is missing.

    Returns:
        From 0 to 1.

    Raises:
        MissingExtraError: rapidfuzz is not installed.
    """
    sequences = require("rapidfuzz.distance.LCSseq", extra=extra, needed_for="The metric rouge_l")
    common = float(sequences.similarity(wanted, text))
    return 2 * common / (len(text) + len(wanted)) if common else 0.0


def _bounded(
    metric: str, what: str, measure: Callable[[Any, Any], float]
) -> Callable[[Any, Any], float | GradingError]:
    most = _MOST_COMPARED[metric]

    def compare(text: Any, wanted: Any) -> float | GradingError:
        if len(text) * len(wanted) > most:
            detail = (
                f"the texts are too long for {metric}: {len(text):,} and {len(wanted):,} {what}, whose product is more "
                f"than {most:,}"
            )
            return GradingError("other_error", detail)
        return measure(text, wanted)

    return compare


def _library(module: str, metric: str) -> Any:
    return require(module, extra="graders", needed_for=f"The metric {metric}")
