"""Two reports on the same rows, side by side."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from ftkit.errors import ConfigError, ReportError
from ftkit.evaluation.costs import RIGHT, BreakEven, break_even
from ftkit.evaluation.forgetting import Forgetting, forgetting_between
from ftkit.evaluation.metrics import Unit
from ftkit.evaluation.paired_difference import MetricChange, changes
from ftkit.evaluation.row_pairing import Pair, paired_rows
from ftkit.evaluation.statistics import check_confidence
from ftkit.evaluation.verdict import Verdict, rows_needed, sentence, verdict_of
from ftkit.render.saving import save
from ftkit.results.display import Shown
from ftkit.results.report import Report
from ftkit.type_checks import check_kind

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["KIND_WORDS", "Comparison", "Counts", "Kind", "compare", "kind_of"]

Kind = Literal["fixed", "regressed", "both_right", "both_wrong", "better", "worse", "unchanged", "uncounted"]
"""What became of a row, by the headline metric: the first four when it is a rate, the next three when it is a score on
another scale, where no answer is simply right; ``uncounted`` when it does not count the row."""

KIND_WORDS: dict[str, str] = {
    "fixed": "fixed",
    "regressed": "regressed",
    "both_right": "right in both",
    "both_wrong": "wrong in both",
    "better": "better",
    "worse": "worse",
    "unchanged": "unchanged",
    "uncounted": "not counted",
}
"""What readers are told a row became."""


class Counts(BaseModel):
    """Rows by what became of them."""

    model_config = ConfigDict(frozen=True)

    fixed: int = 0
    regressed: int = 0
    both_right: int = 0
    both_wrong: int = 0
    better: int = 0
    worse: int = 0
    unchanged: int = 0
    uncounted: int = 0


class Comparison(Shown, BaseModel):
    """What changed between two reports; made by :func:`ftkit.compare`.

    ``print(comparison)`` shows both side by side; ``comparison.save(path)`` writes ``.html``, ``.md`` or ``.json``.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    kind: Literal["ftkit.comparison"] = "ftkit.comparison"
    schema_version: Literal[1] = 1
    verdict: Verdict
    sentence: str
    """The verdict with the numbers it rests on."""
    rows_needed: int | None
    """Rows that would settle an inconclusive comparison; ``None`` when settled, or when no number is likely to."""
    primary: str
    """The metric of the verdict."""
    margin: float | None
    """The loss that was declared acceptable beforehand, in the unit of ``primary`` (0.02 is two points of a rate)."""
    confidence: float
    counts: Counts
    metrics: tuple[MetricChange, ...]
    before: Report
    after: Report
    forgetting: Forgetting | None = None
    """What the second model lost beside the task, when both reports have probes."""
    break_even: BreakEven | None = None
    """When the second model has paid for its training; ``None`` where a price is missing."""

    def __getitem__(self, name: str) -> MetricChange:
        """The change of the metric called ``name``.

        Raises:
            ReportError: the reports do not share such a metric.
        """
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise ReportError(f'no metric "{name}" in both reports; shared are {", ".join(m.name for m in self.metrics)}')

    @property
    def labels(self) -> tuple[str, str]:
        """What tables call the two, told apart even when the reports have the same label."""
        before, after = self.before.label, self.after.label
        return (before, after) if before != after else (f"{before} (before)", f"{after} (after)")

    @property
    def tally(self) -> tuple[tuple[Kind, int], ...]:
        """How many rows became what, of the kinds that the headline metric tells apart."""
        right_or_wrong = self[self.primary].unit == "rate"
        kinds: tuple[Kind, ...] = (
            ("fixed", "regressed", "both_right", "both_wrong") if right_or_wrong else ("better", "worse", "unchanged")
        )
        found = [(kind, int(getattr(self.counts, kind))) for kind in kinds]
        return (*found, *([("uncounted", self.counts.uncounted)] if self.counts.uncounted else ()))

    def kind_of(self, pair: Pair) -> Kind:
        """What became of a row by the headline metric."""
        return kind_of(pair, self[self.primary])

    def pairs(self) -> tuple[Pair, ...]:
        """The rows before and after, in the order of ``before``."""
        return paired_rows(self.before, self.after)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know about either report, and about differences in how they were made."""
        flags = () if self.forgetting is None else self.forgetting.flags
        before = self.before.notes
        after = [note for note in self.after.notes if note not in flags]  # beside its own base both say the same
        found = [f"both: {note}" if note in after else f"{self.labels[0]}: {note}" for note in before]
        found += [f"{self.labels[1]}: {note}" for note in after if note not in before]
        if self.before.sampling != self.after.sampling:
            found.append("the two were sampled with different options")
        if self.before.task_fingerprint != self.after.task_fingerprint:
            found.append("the tasks differ, though prompts and outputs are the same")
        return (*flags, *found)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the comparison; the suffix says how: ``.html``, ``.md``, ``.json`` (complete) or ``.xml`` (JUnit).

        Raises:
            ReportError: another suffix, or the file cannot be written.
        """
        return save(path, json=self._to_json, html=self._to_html, markdown=self._to_markdown, junit=self._to_junit)

    def _to_json(self) -> str:
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=1, allow_nan=False) + "\n"

    def _to_html(self) -> str:
        from ftkit.render.html import comparison_page

        return comparison_page(self)

    def _to_junit(self) -> str:
        from ftkit.render.junit import junit

        return junit(self)

    def _to_markdown(self) -> str:
        from ftkit.render.markdown import comparison_markdown

        return comparison_markdown(self)

    def __str__(self) -> str:
        from ftkit.render.tables import comparison_text

        return comparison_text(self)

    def __rich__(self) -> RenderableType:
        from ftkit.render.tables import comparison_table

        return comparison_table(self)

    def _repr_html_(self) -> str:
        from ftkit.render.html import comparison_fragment

        return comparison_fragment(self)


Forgetting.model_rebuild(_types_namespace={"Comparison": Comparison})
Comparison.model_rebuild()


def compare(
    before: Report,
    after: Report,
    *,
    margin: float | None = None,
    confidence: float = 0.95,
    primary: str | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare two reports on the same rows, pair by pair.

    Args:
        before: the report of the model to beat or to replace.
        after: the report of the other.
        margin: the loss of the headline metric that would still be acceptable, set before looking: 0.02 is two points
            of a rate. Without one, "non-inferior" is never a verdict.
        confidence: of the intervals; the verdict is read off the headline metric's.
        primary: the metric of the verdict, one that scores single rows; the headline of ``before`` when left out.
        seed: of the bootstrap.

    Raises:
        ReportError: the reports differ in output, rows, prompts or wanted answers, or do not share the metric.
        ConfigError: ``margin`` or ``confidence`` out of range, or what is no report.
    """
    for name, report in (("before", before), ("after", after)):
        check_kind(report, Report, name, "an ft.Report: ft.evaluate(model, test), or ft.Report.load(path)")
    check_confidence(confidence)
    pairs = paired_rows(before, after)
    found = changes(before, after, pairs, confidence=confidence, seed=seed)
    name = before.primary if primary is None else primary
    change = next((item for item in found if item.name == name), None)
    if change is None:
        raise ReportError(f'primary: no metric "{name}" in both reports; shared are {", ".join(c.name for c in found)}')
    if not all(name in row.scores for pair in pairs for row in pair):
        single = ", ".join(c.name for c in found if c.name in pairs[0][0].scores)
        raise ReportError(f'primary: "{name}" does not score single rows, so no verdict can rest on it; use {single}')
    _check_margin(margin, change.unit)
    gain = change.gain(change.p_value)
    if gain is None:
        raise ReportError(f'primary: "{name}" has no interval on these rows, so no verdict can rest on it')
    verdict = verdict_of(gain, margin=margin, confidence=confidence)
    needed = None
    if verdict == "inconclusive":
        needed = rows_needed(gain, margin=margin, confidence=confidence, unit=change.unit)
    kinds = [kind_of(pair, change) for pair in pairs]
    return Comparison(
        verdict=verdict,
        sentence=sentence(
            verdict,
            gain,
            names=(before.label, after.label) if before.label != after.label else ("before", "after"),
            metric=name,
            unit=change.unit,
            margin=margin,
            confidence=confidence,
            needed=needed,
        ),
        rows_needed=needed,
        primary=name,
        margin=margin,
        confidence=confidence,
        counts=Counts(**Counter[str](kinds)),
        metrics=found,
        before=before,
        after=after,
        forgetting=forgetting_between(before, after, confidence=confidence, seed=seed),
        break_even=break_even(before, after),
    )


def kind_of(pair: Pair, metric: MetricChange) -> Kind:
    """What became of a row by ``metric``."""
    before, after = (row.scores.get(metric.name) for row in pair)
    if before is None or after is None:
        return "uncounted"
    if not metric.higher_is_better:
        before, after = (1 - before, 1 - after) if metric.unit == "rate" else (-before, -after)
    if metric.unit != "rate":
        return "better" if after > before else "worse" if after < before else "unchanged"
    if after >= RIGHT:
        return "both_right" if before >= RIGHT else "fixed"
    return "regressed" if before >= RIGHT else "both_wrong"


def _check_margin(margin: float | None, unit: Unit) -> None:
    if margin is None:
        return
    if not margin > 0:
        raise ConfigError(f"margin must be above 0, not {margin}: it is the loss that would still be acceptable")
    if unit == "rate" and margin >= 1:
        raise ConfigError(f"margin={margin} of a rate would allow any loss; two points are 0.02")
