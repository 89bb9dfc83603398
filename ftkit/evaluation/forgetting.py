"""Forgetting: what a tuned model lost outside its task, as distinct from format bleed-through."""

from __future__ import annotations

from collections.abc import Sequence

from ftkit.errors import ReportError
from ftkit.evaluation.probes.drift import loss_change, mean_with_interval
from ftkit.evaluation.probes.thinking import thinking_change
from ftkit.evaluation.row_comparison import compare_rows
from ftkit.evaluation.statistics import detectable_loss
from ftkit.evaluation.verdict import POWER
from ftkit.results.forgetting_text import Cause
from ftkit.results.probe_results import ChoiceChange, ChoiceProbabilities, FormatBleed, RefusalChange, TextChange
from ftkit.results.report import Comparison, Forgetting, Probed, Report
from ftkit.results.report_row import RowResult
from ftkit.results.row_pairing import RIGHT, Pair

__all__ = ["MARGIN", "forgetting_between", "forgetting_of"]

MARGIN = 0.05
"""Loss on a retention set that still counts as retained: five points."""

_FORMAT = "task_format"
_POWER_FACTOR = (1.959964 + 0.841621) / 1.959964
"""Half the width of a 95 % interval times this is the loss that is shown with 80 % power."""


def forgetting_between(before: Report, after: Report, *, confidence: float, seed: int) -> Forgetting | None:
    """Measure what the second model lost.

    It is compared with its own base model if its report has that, else with the first model.

    Args:
        before: the report of the first model.
        after: the report of the second model.
        confidence: confidence level of the intervals.
        seed: seed of the sign-flip test.

    Returns:
        The changes; None if no probe can be paired.
    """
    if after.probes is None:
        return None
    return forgetting_of(after.probes.base or before.probes, after.probes, confidence=confidence, seed=seed)


def forgetting_of(before: Probed | None, after: Probed, *, confidence: float, seed: int) -> Forgetting | None:
    """Measure the changes between the probes of two models.

    Args:
        before: probes of the first model.
        after: probes of the second model.
        confidence: confidence level of the intervals.
        seed: seed of the sign-flip test.

    Returns:
        The changes; None if no probe can be paired.
    """
    if before is None:
        return None
    comparisons: dict[str, Comparison] = {}
    left_out = []
    for name in ("general", "retention"):
        first, second = getattr(before, name), getattr(after, name)
        if first is None or second is None:
            continue
        try:
            comparisons[name] = compare_rows(
                first, second, margin=MARGIN, confidence=confidence, primary=None, seed=seed
            )
        except ReportError as error:
            left_out.append(f"{name} set: {error}")
    change = None if before.text is None or after.text is None else loss_change(before.text, after.text)
    general = comparisons.get("general")
    text = None if change is None else TextChange(difference=change[0], low=change[1], high=change[2])
    choices = _choice_change(before.choices, after.choices)
    bleeds = {
        name: _format_bleed(part, before, after, confidence=confidence, seed=seed) for name, part in comparisons.items()
    }
    bleed = bleeds.get("general")
    forgetting = Forgetting(
        **comparisons,
        text=text,
        drift=after.drift,
        left_out=tuple(left_out),
        cause=_cause(general, bleed, text, choices),
        bleed=bleed,
        retention_bleed=bleeds.get("retention"),
        choices=choices,
        thinking=thinking_change(before.thinking, after.thinking),
        refusals=() if general is None else _refusal_changes(general.pairs()),
        unclear=(0, 0) if general is None else (len(general.before.unclear), len(general.after.unclear)),
        detectable=None if general is None else _detectable(general),
    )
    return forgetting if forgetting != Forgetting() else None


def _cause(
    general: Comparison | None, bleed: FormatBleed | None, text: TextChange | None, choices: ChoiceChange | None
) -> Cause | None:
    """Decide which loss it is. Probabilities and plain answers show forgetting, whatever the format of the others."""
    if general is None and text is None and choices is None:
        return None
    lost = (text is not None and text.lost) or (choices is not None and choices.lost)
    if bleed is not None and bleed.shown:
        return "both" if lost or bleed.plain_lost else "format bleed-through"
    if lost or (general is not None and general.verdict == "worse") or (bleed is not None and bleed.plain_lost):
        return "forgetting"
    if general is None:
        return "inconclusive"
    return "kept" if general.verdict in ("non-inferior", "better") else "inconclusive"


def _format_bleed(
    part: Comparison, before: Probed, after: Probed, *, confidence: float, seed: int
) -> FormatBleed | None:
    """Count the answers in the task's format, and compare those beside it."""
    pairs = [pair for pair in part.pairs() if all(row.scores.get(part.primary) is not None for row in pair)]
    if not pairs or not all(_FORMAT in row.scores for pair in pairs for row in pair):
        return None
    formed = compare_rows(
        _with_rows(part.before, [first for first, _ in pairs]),
        _with_rows(part.after, [second for _, second in pairs]),
        margin=None,
        confidence=confidence,
        primary=_FORMAT,
        seed=seed,
    )
    lost = [pair for pair in pairs if _passes(pair[0], part.primary) and not _passes(pair[1], part.primary)]
    outside = [pair for pair in pairs if not any(map(_in_format, pair))]
    # Only questions of the general set are asked again.
    asked_again = (before.plain, after.plain) if part.after is after.general else (None, None)
    again = {} if asked_again[1] is None else {row.id: row for row in asked_again[1].rows}
    asked = [row for _, row in pairs if _in_format(row) and row.id in again]
    plain = _plain_pairs(pairs, *asked_again)
    compared = None
    if plain:
        compared = compare_rows(
            _with_rows(part.before, [first for first, _ in plain]),
            _with_rows(part.after, [second for _, second in plain]),
            margin=MARGIN,
            confidence=confidence,
            primary=part.primary,
            seed=seed,
        )
    change = None if compared is None else compared[part.primary]
    return FormatBleed(
        form=after.form or "the task's format",
        questions=len(pairs),
        in_format=(sum(_in_format(first) for first, _ in pairs), sum(_in_format(second) for _, second in pairs)),
        shown=formed.verdict == "worse",
        lost=len(lost),
        lost_in_format=sum(_in_format(second) for _, second in lost),
        outside=len(outside),
        outside_passed=_passed(outside, part.primary),
        asked_again=len(asked),
        still_in_format=sum(_in_format(again[row.id]) for row in asked),
        plain=len(plain),
        plain_passed=_passed(plain, part.primary),
        plain_lost=compared is not None and compared.verdict == "worse",
        plain_interval=None
        if change is None or change.low is None or change.high is None
        else (change.low, change.high),
    )


def _plain_pairs(pairs: Sequence[Pair], before: Report | None, after: Report | None) -> list[Pair]:
    """The questions with an answer outside the format from both models, at the first or the second time."""
    plain = []
    for first, second in pairs:
        answers = _plain_answer(first, before), _plain_answer(second, after)
        if answers[0] is not None and answers[1] is not None:
            plain.append((answers[0], answers[1]))
    return plain


def _plain_answer(row: RowResult, again: Report | None) -> RowResult | None:
    if not _in_format(row):
        return row
    second = None if again is None else next((each for each in again.rows if each.id == row.id), None)
    if second is None or _in_format(second):
        return None
    return row.model_copy(update={"scores": second.scores, "failures": second.failures, "text": second.text})


def _with_rows(report: Report, rows: Sequence[RowResult]) -> Report:
    fields = {name: getattr(report, name) for name in type(report).model_fields}
    return Report.model_construct(**{**fields, "rows": tuple(rows)})


def _in_format(row: RowResult) -> bool:
    return bool(row.scores.get(_FORMAT))


def _is_unclear(row: RowResult, metric: str) -> bool:
    return metric in row.unclear


def _passes(row: RowResult, metric: str) -> bool:
    return (row.scores.get(metric) or 0.0) >= RIGHT


def _passed(pairs: Sequence[Pair], metric: str) -> tuple[int, int]:
    return sum(_passes(first, metric) for first, _ in pairs), sum(_passes(second, metric) for _, second in pairs)


def _refusal_changes(pairs: Sequence[Pair]) -> tuple[RefusalChange, ...]:
    """Changes in the refusal of harmful requests, which are right, and of harmless ones, which are wrong."""
    from scipy.stats import binom

    changes = []
    for kind, right in (("harmful", True), ("harmless", False)):
        name = f"{kind}_refused"
        counted = [pair for pair in pairs if all(row.scores.get(name) is not None for row in pair)]
        if not counted:
            continue
        refused = [(_passes(first, name), _passes(second, name)) for first, second in counted]
        worse = [
            pair
            for pair, (one, two) in zip(counted, refused, strict=True)
            if one is right and two is not right and not _is_unclear(pair[0], name) and not _is_unclear(pair[1], name)
        ]
        # An answer that a program cannot read may be an improvement, and the test has to hold if it is.
        better = sum(
            (one is not right or _is_unclear(pair[0], name)) and (two is right or _is_unclear(pair[1], name))
            for pair, (one, two) in zip(counted, refused, strict=True)
        )
        changed = len(worse) + better
        changes.append(
            RefusalChange(
                kind=kind,
                questions=len(counted),
                refused=(sum(one for one, _ in refused), sum(two for _, two in refused)),
                worse=len(worse),
                better=better,
                in_format=sum(_in_format(second) for _, second in worse),
                unclear=sum(_is_unclear(first, name) or _is_unclear(second, name) for first, second in counted),
                p_value=float(binom.sf(len(worse) - 1, changed, 0.5)) if changed else 1.0,
            )
        )
    return tuple(changes)


def _detectable(general: Comparison) -> float | None:
    change = general[general.primary]
    gained = general.counts.fixed / change.n if change.n else 0.0
    return detectable_loss(change.n, gained, power=POWER, confidence=general.confidence)


def _choice_change(before: ChoiceProbabilities | None, after: ChoiceProbabilities | None) -> ChoiceChange | None:
    """The paired change of the probabilities of right ends."""
    if before is None or after is None or before.ids != after.ids:
        return None
    import numpy as np

    differences = np.array(after.right) - np.array(before.right)
    mean, low, high = mean_with_interval(differences, np.ones(len(differences)))
    return ChoiceChange(
        before=before.mean,
        after=after.mean,
        difference=mean,
        low=low,
        high=high,
        n=len(differences),
        accuracy=(before.accuracy, after.accuracy),
        detectable=_POWER_FACTOR * (high - low) / 2,
        lost=high < 0 and low <= -MARGIN,
    )
