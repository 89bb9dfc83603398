"""Reports and comparisons, complete in themselves: they can be read, scored again and compared years later.

Both are in one file because they contain each other: a comparison holds two reports, and a report's probes are compared
with those of its base model.
"""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from typing_extensions import override

from ftkit.errors import ReportError
from ftkit.files import canonical_digest
from ftkit.results.answer import Sampling
from ftkit.results.json_values import canonical
from ftkit.results.metric_result import MetricChange, MetricResult, Verdict
from ftkit.results.number_format import change_text, count_text
from ftkit.results.probe_results import BaseDrift, Overfitting, TextChange, TextLosses
from ftkit.results.report_notes import notes_on
from ftkit.results.report_row import RowResult
from ftkit.results.resources import BreakEven, Cost, Timing, TrainingCurve, Usage
from ftkit.results.result import Result
from ftkit.results.row_pairing import Pair, paired_rows
from ftkit.schema import AnyOutput, Output
from ftkit.schema.comparators import AnyComparator, Comparators

__all__ = ["KIND_WORDS", "RIGHT", "Comparison", "Counts", "Forgetting", "Kind", "Probed", "Report", "kind_of"]

SCHEMA_VERSION = 1

RIGHT = 1 - 1e-9
"""An answer is right when its score reaches this."""

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


class Report(Result, BaseModel):
    """What was measured on one model; made by :func:`ftkit.evaluate`.

    ``print(report)`` shows the metrics; ``report.save("x.json")`` keeps everything, ``.html`` and ``.md`` are to read.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)
    result_type: ClassVar[str] = "report"

    kind: Literal["ftkit.report"] = "ftkit.report"
    schema_version: Literal[1] = 1
    label: str
    """What the report is called in tables; the model's name unless another was given."""
    model: str
    about: dict[str, Any]
    """What answered, in the backend's words: versions, device, precision, template."""
    task: dict[str, Any]
    """The dumped task."""
    task_fingerprint: str
    dataset_fingerprint: str
    """Over the rows that were asked, in order."""
    sources: tuple[str, ...]
    """The files of the rows, as they were named."""
    sampling: Sampling
    created_at: str
    """ISO 8601, UTC."""
    ftkit_version: str
    confidence: float
    seed: int
    """Of the bootstrap."""
    primary: str
    """The metric that the report leads with."""
    metrics: tuple[MetricResult, ...]
    usage: Usage
    timing: Timing
    cost: Cost
    rows: tuple[RowResult, ...]
    comparators: dict[str, AnyComparator] = {}
    """How fields were compared that need more than equality."""
    samples: int = 1
    """Answers drawn for each row."""
    shots: tuple[dict[str, Any], ...] = ()
    """Messages with examples that stood before each question; they are not in the rows' prompts."""
    training: TrainingCurve | None = None
    """Losses of the run that made the model, when this machine's store knows it."""
    probes: Probed | None = None
    """What was asked beside the task, to see whether tuning did harm."""

    @cached_property
    def digest(self) -> str:
        """``sha256:…`` over everything in the report; stored in the file and checked when it is loaded."""
        return _digest(self.model_dump(mode="json"))

    def __getitem__(self, name: str) -> MetricResult:
        """The metric called ``name``.

        Raises:
            ReportError: the report has no such metric.
        """
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise ReportError(f'no metric "{name}" in this report; it has {", ".join(m.name for m in self.metrics)}')

    @cached_property
    def output(self) -> Output:
        """What a valid answer was, from the task."""
        output: Output = TypeAdapter(AnyOutput).validate_python(self.task["output"])
        return output

    @property
    def headline(self) -> MetricResult:
        """The metric that the report leads with."""
        return self[self.primary]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers must know: rows that were not asked, answers that were cut off, …"""
        forgetting = self.forgetting
        overfitting = None if self.probes is None else self.probes.overfitting
        return (
            *(() if forgetting is None else forgetting.flags),
            *(() if overfitting is None else overfitting.flags),
            *notes_on(self.rows, self.sampling, self.shots),
        )

    @cached_property
    def forgetting(self) -> Forgetting | None:
        """What the model lost beside its task since before tuning; ``None`` when the report does not have its base."""
        if self.probes is None or self.probes.base is None:
            return None
        # By name, because evaluation stands above results.
        found: Forgetting | None = resolve_name("ftkit.evaluation.forgetting:forgetting_of")(
            self.probes.base, self.probes, confidence=self.confidence, seed=self.seed
        )
        return found

    def rescore(
        self,
        metrics: Any = "auto",
        *,
        comparators: Comparators | None = None,
        primary: str | None = None,
        confidence: float | None = None,
        seed: int | None = None,
    ) -> Report:
        """The same answers under other metrics: a model that is gone can still be held to a new standard.

        Args:
            metrics: as for :func:`ftkit.evaluate`.
            comparators: as for :func:`ftkit.evaluate`; those of the report when left out.
            primary: the metric to lead with; the output's accuracy when left out.
            confidence: of the intervals; the report's when left out.
            seed: of the bootstrap; the report's when left out.

        Raises:
            ConfigError: an unknown metric or field, or ``confidence`` out of range.
        """
        # By name, because evaluation stands above results.
        rescored: Report = resolve_name("ftkit.evaluation.rescoring:rescore")(
            self, metrics, comparators=comparators, primary=primary, confidence=confidence, seed=seed
        )
        return rescored

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a report that was saved as ``.json``.

        Raises:
            ReportError: no such file, not a report, from a newer ftkit, or altered after it was saved.
        """
        source = Path(path)
        try:
            content = json.loads(source.read_text(encoding="utf-8"))
        except OSError as error:
            raise ReportError(f"{source}: cannot be read: {error.strerror or error}") from None
        except (ValueError, RecursionError) as error:
            raise ReportError(f"{source}: not a report: not JSON ({error}). Save it with report.save(…json)") from None
        if not isinstance(content, dict) or content.get("kind") != "ftkit.report":
            raise ReportError(f'{source}: not a report: "kind" is not "ftkit.report". Save it with report.save(…json)')
        version = content.get("schema_version")
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise ReportError(
                f"{source}: written by ftkit {content.get('ftkit_version')} in form {version}; this ftkit reads up to "
                f"form {SCHEMA_VERSION}. Upgrade ftkit."
            )
        stored = content.pop("digest", None)
        if stored is None:
            raise ReportError(f"{source}: the digest is missing, so the report was altered after it was saved")
        if _digest(content) != stored:
            raise ReportError(
                f"{source}: the report was altered after it was saved: its content does not have the digest {stored}. "
                "Take the original file, or evaluate again."
            )
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ReportError(f"{source}: not a report of this ftkit: {where}: {first['msg']}") from None

    @override
    def to_json(self) -> str:
        content = {**self.model_dump(mode="json"), "digest": self.digest}
        return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


class Probed(BaseModel):
    """What probes found about one model."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    general: Report | None = None
    """Answers to ftkit's general set."""
    base: Probed | None = None
    """The same of the model before tuning, beside which forgetting shows: its general set, retention set and prose."""
    retention: Report | None = None
    """Answers to the user's own set of what must not be lost."""
    text: TextLosses | None = None
    """Losses on plain prose, where the backend gives probabilities."""
    drift: BaseDrift | None = None
    """Divergence from the base on the task's prompts, where both give probabilities."""
    overfitting: Overfitting | None = None
    left_out: tuple[str, ...] = ()
    """What could not be probed, and why."""


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


class Forgetting(BaseModel):
    """What became of abilities that the task does not need."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    general: Comparison | None = None
    """On ftkit's general set."""
    retention: Comparison | None = None
    """On the user's own set."""
    text: TextChange | None = None
    drift: BaseDrift | None = None
    """Of the second model from its base."""
    left_out: tuple[str, ...] = ()
    """Probes that cannot be paired, and why."""

    @property
    def flags(self) -> tuple[str, ...]:
        """What should worry, in sentences; empty when nothing does."""
        found = []
        for name, part in (("the general set", self.general), ("the retention set", self.retention)):
            if part is not None and part.verdict == "worse":
                change = part[part.primary]
                lost = f"{change_text(change.difference, change.unit)} points"
                reach = f"{change_text(change.low, change.unit)} to {change_text(change.high, change.unit)}"
                found.append(f"forgetting: {lost} on {name} ({reach}, {count_text(change.n)} questions)")
        return tuple(found)

    @property
    def lines(self) -> tuple[str, ...]:
        """Everything that was measured, in sentences."""
        found = []
        for name, part in (("General set", self.general), ("Retention set", self.retention)):
            if part is not None:
                words = {"worse": "forgotten", "inconclusive": "cannot tell", "non-inferior": "kept", "better": "kept"}
                found.append(f"{name}: {words[part.verdict]}. {part.sentence}")
        if self.text is not None:
            found.append(f"Prose: {self.text}")
        if self.drift is not None:
            drift = self.drift
            found.append(
                f"Drift: KL(base ‖ tuned) {drift.mean_kl:.3g} nats a token ({drift.low:.3g} to {drift.high:.3g}) along "
                f"{count_text(drift.prompts)} answers of {drift.base}"
            )
        return (*found, *(f"Not compared: {reason}" for reason in self.left_out))


class Comparison(Result, BaseModel):
    """What changed between two reports; made by :func:`ftkit.compare`.

    ``print(comparison)`` shows both side by side; ``comparison.save(path)`` writes ``.html``, ``.md`` or ``.json``.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)
    result_type: ClassVar[str] = "comparison"

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

    @override
    def to_json(self) -> str:
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


Report.model_rebuild()
Forgetting.model_rebuild()


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


def _digest(content: dict[str, Any]) -> str:
    try:
        return canonical_digest(canonical(content))
    except ValueError:  # NaN, or half a surrogate pair: nothing that a report was ever saved with
        return ""
