"""Verdicts where answers are missing: failed requests, and answers that a grader or a program could not grade.

Such an answer counts as wrong in the metrics, but it is no evidence about the model. A verdict therefore has to hold
whatever the missing answers would have scored: the bounds of Manski (1989, "Anatomy of the Selection Problem").

A metric may also leave rows out by their answer, as the faults of JSON leave out what is no JSON. A model must not win
by such rows: if the metric counts them for the other model, the verdict has to hold though they have the worst score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ftkit.counts import counted
from ftkit.evaluation.paired_difference import paired_change, paired_statistics
from ftkit.evaluation.verdict import Improvement, verdict_of
from ftkit.results.metric_result import MetricChange, Verdict
from ftkit.results.report import Report
from ftkit.results.report_row import RowResult
from ftkit.results.row_pairing import Pair

__all__ = ["missing_reason", "verdict_with_missing"]


_GRADER_FAULTS = ("model_grader_server_error", "model_grader_parse_error", "python_grader_server_error")
"""Reasons, by OpenAI's names, for which an answer was not graded that are no fault of the answer."""


def verdict_with_missing(
    verdict: Verdict,
    change: MetricChange,
    before: Report,
    pairs: Sequence[Pair],
    *,
    margin: float | None,
    confidence: float,
    seed: int,
) -> Verdict:
    """Keep of a verdict what holds whatever the missing answers would have scored.

    Args:
        verdict: the verdict in which missing answers count as wrong.
        change: the change of the metric.
        before: the first report.
        pairs: the rows of both reports, paired.
        margin: the largest acceptable loss; None if none was set.
        confidence: confidence level of the interval.
        seed: seed of the sign flips.

    Returns:
        The verdict; ``"non-inferior"`` instead of ``"better"``, or ``"inconclusive"``, if no more than that holds.
    """
    name = change.name
    missing = any(_missing(row, name) for pair in pairs for row in pair)
    if verdict == "inconclusive" or not (missing or any(_left_out(pairs, name))):
        return verdict
    if not all(name in row.scores for pair in pairs for row in pair):
        return "inconclusive"  # a metric of all rows at once: what a row adds is not known
    filled = _filled(pairs, change, best_for="after" if verdict == "worse" else "before")
    changed = paired_change(change, paired_statistics(before, filled, [name])[name], confidence, seed)
    improvement = Improvement.of_change(changed, changed.p_value)
    found = "inconclusive" if improvement is None else verdict_of(improvement, margin=margin, confidence=confidence)
    if verdict == "worse":
        return verdict if found == "worse" else "inconclusive"
    return "inconclusive" if found == "worse" else found


def missing_reason(name: str, pairs: Sequence[Pair], labels: tuple[str, str], what: str = "The verdict") -> str:
    """Say that a verdict does not hold because answers are missing.

    Args:
        name: the headline metric.
        pairs: the rows of both reports, paired.
        labels: what the two models are called.
        what: what depends on them, as the beginning of a sentence.

    Returns:
        A sentence or two.
    """
    rows = [[pair[side] for pair in pairs if _missing(pair[side], name)] for side in (0, 1)]
    unclear = [[row for row in own if any(name in answer.unclear for answer in row.answers)] for own in rows]
    where = _where([len(own) for own in unclear], labels, "answer")
    sentences = []
    if where:
        sentences.append(f"{what} depends on answers that a program cannot read ({where}): read them.")
    lost = [len(all_of) - len(some) for all_of, some in zip(rows, unclear, strict=True)]
    where = _where(lost, labels, "row")
    if where:
        sentences.append(
            f"{what} depends on answers that are missing ({where}): a failed request or grade says nothing about "
            "a model. Ask these rows again."
        )
    where = _where(_left_out(pairs, name), labels, "row")
    if where:
        sentences.append(
            f"{what} depends on rows that {name} leaves out for one model and counts for the other ({where}): "
            "choose a metric that counts all rows."
        )
    return " ".join(sentences)


def _left_out(pairs: Sequence[Pair], name: str) -> tuple[int, int]:
    """How many rows a metric leaves out for each model by its answer, and counts for the other."""
    counts = [0, 0]
    for pair in pairs:
        for side in (0, 1):
            own, other = (pair[at].scores.get(name, 0.0) for at in (side, 1 - side))
            counts[side] += own is None and other is not None and not _missing(pair[side], name)
    return counts[0], counts[1]


def _where(counts: Sequence[int], labels: tuple[str, str], noun: str) -> str:
    parts = [f"{counted(count, noun)} of {label}" for count, label in zip(counts, labels, strict=True) if count]
    return " and ".join(parts)


def _missing(row: RowResult, name: str) -> int:
    """How many answers of a row are missing for a metric."""
    return sum(_is_missing(answer, name) for answer in row.answers)


def _is_missing(answer: RowResult, name: str) -> bool:
    if answer.finish_reason == "error" or name in answer.unclear:
        return True
    return answer.failures.get(name, "").partition(":")[0] in _GRADER_FAULTS


def _filled(pairs: Sequence[Pair], change: MetricChange, *, best_for: Literal["before", "after"]) -> list[Pair]:
    """The pairs with the best score for the missing answers of one side, and the worst for those of the other."""
    name = change.name
    scores = [score for pair in pairs for row in pair if (score := row.scores[name]) is not None]
    low, high = (0.0, 1.0) if change.unit == "rate" else (min(0.0, *scores), max(scores))
    best, worst = (high, low) if change.higher_is_better else (low, high)
    values = (best, worst) if best_for == "before" else (worst, best)

    def fill(row: RowResult, other: RowResult, value: float) -> RowResult:
        score = row.scores[name]
        if score is None:
            # Left out by its answer: the rows that the other model has must not be lost to the one that would win.
            counts = other.scores[name] is not None and (value == worst or _missing(row, name))
            return _scored(row, name, value) if counts else row
        if not _missing(row, name):
            return row
        own = [value if _is_missing(answer, name) else answer.scores.get(name) for answer in row.answers]
        known = [one for one in own if one is not None] if row.others else [value]
        return _scored(row, name, sum(known) / len(known))

    return [
        (first, second)
        if _same_unclear(first, second, name)
        else (fill(first, second, values[0]), fill(second, first, values[1]))
        for first, second in pairs
    ]


def _scored(row: RowResult, name: str, score: float) -> RowResult:
    return row.model_copy(update={"scores": {**row.scores, name: score}})


def _same_unclear(first: RowResult, second: RowResult, name: str) -> bool:
    """Whether both models gave the same answer, which a program cannot read: it is right for both or for none."""
    if first.others or second.others:
        return False
    return name in first.unclear and name in second.unclear and first.text.strip() == second.text.strip()
