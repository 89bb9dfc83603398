"""Reports and comparisons. Both are complete: they can be read, rescored and compared years later.

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

from pydantic import BaseModel, ConfigDict, TypeAdapter, model_validator
from typing_extensions import override

from ftkit.arguments import explain_calls
from ftkit.counts import counted
from ftkit.errors import ConfigError, ReportError
from ftkit.results.answer import DEFAULT_OUTPUT_TOKENS, Sampling
from ftkit.results.confusion import Confusion, confusion_of
from ftkit.results.forgetting_text import Cause, cause_sentence, forgetting_flags, forgetting_lines
from ftkit.results.metric_result import MetricChange, MetricResult, Verdict
from ftkit.results.probe_results import (
    BaseDrift,
    ChoiceChange,
    ChoiceProbabilities,
    FormatBleed,
    Overfitting,
    RefusalChange,
    TextChange,
    TextLosses,
)
from ftkit.results.report_notes import majority_notes, notes_on, request_notes, reuse_notes
from ftkit.results.report_row import RowResult
from ftkit.results.resources import BreakEven, Cost, ReusedAnswers, Timing, TrainingCurve, Usage
from ftkit.results.result import Result
from ftkit.results.row_failure import failure_kind
from ftkit.results.row_pairing import Counts, Kind, Pair, kind_of, paired_rows
from ftkit.results.saved_json import load_saved, saved_digest
from ftkit.results.thinking_modes import ThinkingChange, ThinkingModes
from ftkit.schema import AnyOutput, Output
from ftkit.schema.comparators import AnyComparator, Comparators

__all__ = [
    "Comparison",
    "Forgetting",
    "Probed",
    "Report",
]

SCHEMA_VERSION = 1


class Report(Result, BaseModel):
    """Measurements of one model, with every answer; :func:`ftkit.evaluate` returns it.

    ``print(report)`` shows the metrics. ``report.save("x.json")`` saves everything; ``.html`` and ``.md`` are to read.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)
    result_type: ClassVar[str] = "report"

    kind: Literal["ftkit.report"] = "ftkit.report"
    schema_version: Literal[1] = 1
    label: str
    """Name of the report in tables; the model's name by default."""
    model: str
    about: dict[str, Any]
    """The backend's description of the model: versions, device, precision, template."""
    task: dict[str, Any]
    """The dumped task."""
    task_fingerprint: str
    dataset_fingerprint: str
    """Fingerprint of the evaluated rows, in order."""
    sources: tuple[str, ...]
    """Names of the files that hold the rows."""
    sampling: Sampling
    created_at: str
    """ISO 8601, UTC."""
    ftkit_version: str
    confidence: float
    seed: int
    """Seed of the choice of few-shot examples and of probes' rows."""
    primary: str
    """Name of the headline metric."""
    metrics: tuple[MetricResult, ...]
    usage: Usage
    timing: Timing
    cost: Cost
    rows: tuple[RowResult, ...]
    comparators: dict[str, AnyComparator] = {}
    """Comparators of fields that are not compared by equality."""
    limit_source: str | None = None
    """What ``sampling.max_output_tokens`` follows from; None if it was written."""
    samples: int = 1
    """Number of answers sampled for each row."""
    shots: tuple[dict[str, Any], ...] = ()
    """Few-shot messages before each prompt. They are not part of the rows' prompts."""
    turns: Literal["last", "all"] = "last"
    """Which assistant turns of a conversation are rows of the report."""
    training: TrainingCurve | None = None
    """Losses of the run that trained the model, if this machine's store has the run."""
    reused: ReusedAnswers | None = None
    """Answers that interrupted evaluations had been given; None if all are of this one."""
    probes: Probed | None = None
    """Results outside the task, which show whether tuning did harm."""

    @model_validator(mode="before")
    @classmethod
    def _written_options(cls, values: Any) -> Any:
        """Options that a saved report has at their default do not count as written, when it is asked with again."""
        if not isinstance(values, dict) or not isinstance(values.get("sampling"), dict):
            return values
        defaults = {name: field.default for name, field in Sampling.model_fields.items()}
        given = values["sampling"]
        tokens = given.get("max_output_tokens")
        # Before version 0.2, 512 was the default.
        automatic = isinstance(tokens, int) and (values.get("limit_source") or tokens == DEFAULT_OUTPUT_TOKENS)
        written = {
            name: option
            for name, option in given.items()
            if (name not in defaults or option != defaults[name]) and not (automatic and name == "max_output_tokens")
        }
        if not automatic:
            return values | {"sampling": written}
        try:
            return values | {"sampling": Sampling(**written).with_output_tokens(tokens)}
        except ConfigError:
            return values  # the field's own validation says what is wrong

    @cached_property
    def digest(self) -> str:
        """``sha256:…`` of the complete report. It is saved with the report and checked by :meth:`load`."""
        return saved_digest(self.model_dump(mode="json"))

    def __getitem__(self, name: str) -> MetricResult:
        """Return the metric called ``name``.

        Args:
            name: Name of the metric.

        Returns:
            The metric.

        Raises:
            ReportError: The report has no such metric.
        """
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise ReportError(f'no metric "{name}" in this report; it has {", ".join(m.name for m in self.metrics)}')

    @cached_property
    def output(self) -> Output:
        """The task's output: what a valid answer is."""
        output: Output = TypeAdapter(AnyOutput).validate_python(self.task["output"])
        return output

    @property
    def headline(self) -> MetricResult:
        """The headline metric."""
        return self[self.primary]

    @cached_property
    def confusion(self) -> Confusion | None:
        """Which choices are taken for which others; None for tasks without choices."""
        choices = getattr(self.output, "choices", None)
        return None if choices is None else confusion_of(self.rows, choices)

    @property
    def failures(self) -> tuple[RowResult, ...]:
        """The rows that are wrong by the headline metric; ``report.failure_kind(row)`` says how."""
        return tuple(row for row in self.rows if self.failure_kind(row) is not None)

    @property
    def unclear(self) -> tuple[RowResult, ...]:
        """The rows with an answer that a program could not read with certainty; probes have such answers."""
        return tuple(row for row in self.rows if any(answer.unclear for answer in row.answers))

    def failure_kind(self, row: RowResult) -> str | None:
        """Say in which way a row is wrong.

        Args:
            row: A row of this report.

        Returns:
            For example ``"cut off"``, ``"not readable"`` or ``"wrong value"``; None if it is right or does not count.
        """
        return failure_kind(row, self.primary, higher_is_better=self.headline.higher_is_better)

    @property
    def flags(self) -> tuple[str, ...]:
        """Warnings of the probes: what tuning may have broken."""
        forgetting = self.forgetting
        overfitting = None if self.probes is None else self.probes.overfitting
        flags = () if overfitting is None else overfitting.flags
        if flags and flags[0].startswith("overfitting") and self.training is not None:
            trend = self.training.held_out_trend(self.primary, higher_is_better=self.headline.higher_is_better)
            flags = (f"{flags[0]}; {trend}", *flags[1:])
        return (*(() if forgetting is None else forgetting.flags), *flags)

    @property
    def notes(self) -> tuple[str, ...]:
        """Caveats about the numbers: requests that failed, answers that were cut off, few rows, and others."""
        return (
            *self.flags,
            *notes_on(self.rows, self.sampling, self.shots, self.limit_source),
            *(majority_notes(self.rows, self.headline.value) if self.primary == "accuracy" else ()),
            *request_notes(self.about),
            *reuse_notes(self.reused, sum(len(row.answers) for row in self.rows)),
            *(
                f"{metric.name} has no interval: {metric.reason}"
                for metric in self.metrics
                if metric.value is not None and metric.reason
            ),
        )

    @cached_property
    def forgetting(self) -> Forgetting | None:
        """What the model lost outside its task since its base model; None if the report has no base model."""
        if self.probes is None or self.probes.base is None:
            return None
        # Resolved by name, because evaluation imports results.
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
        """Score the same answers with other metrics. The model is not needed.

        Args:
            metrics: Metrics, as for :func:`ftkit.evaluate`.
            comparators: Comparators, as for :func:`ftkit.evaluate`. Defaults to those of the report.
            primary: Name of the headline metric. Defaults to the output's accuracy.
            confidence: Confidence level of the intervals. Defaults to that of the report.
            seed: Seed that the new report records. Defaults to that of the report.

        Returns:
            A new report.

        Raises:
            ConfigError: A metric or field is unknown, or ``confidence`` is out of range.
        """
        # Resolved by name, because evaluation imports results.
        rescored: Report = resolve_name("ftkit.evaluation.rescoring:rescore")(
            self, metrics, comparators=comparators, primary=primary, confidence=confidence, seed=seed
        )
        return rescored

    @classmethod
    @explain_calls(instead='ft.Report.load("report.json")')
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Load a report that was saved as ``.json``.

        Args:
            path: The file.

        Returns:
            The report.

        Raises:
            ReportError: The file does not exist, is not a report, comes from a newer ftkit or was altered.
        """
        return load_saved(cls, Path(path), noun="report", newest=SCHEMA_VERSION)

    @override
    def to_json(self) -> str:
        content = {**self.model_dump(mode="json"), "digest": self.digest}
        return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


class Probed(BaseModel):
    """Results of one model outside its task."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    general: Report | None = None
    """Report on ftkit's general set."""
    base: Probed | None = None
    """The same of the base model: general set, retention set and prose. Forgetting is the difference."""
    retention: Report | None = None
    """Report on the user's retention set: abilities that must not be lost."""
    text: TextLosses | None = None
    """Losses on plain prose, if the backend returns probabilities."""
    drift: BaseDrift | None = None
    """Divergence from the base model on the task's prompts, if both return probabilities."""
    overfitting: Overfitting | None = None
    left_out: tuple[str, ...] = ()
    """Probes that did not run, with reasons."""
    plain: Report | None = None
    """Report on those general questions that were asked again because they were answered in the task's format."""
    form: str | None = None
    """The task's format in words; None if it has none, or in reports of earlier versions."""
    choices: ChoiceProbabilities | None = None
    """Multiple choice by likelihood, if the backend returns probabilities."""
    thinking: ThinkingModes | None = None
    """Answers in both modes of a reasoning model whose chat template has a switch, on this machine."""
    wall_s: float | None = None
    """Seconds that all probes took, of the model and its base; None in reports of earlier versions."""


class Forgetting(BaseModel):
    """Changes in abilities outside the task."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    general: Comparison | None = None
    """Comparison on ftkit's general set."""
    retention: Comparison | None = None
    """Comparison on the user's retention set."""
    text: TextChange | None = None
    drift: BaseDrift | None = None
    """Divergence of the second model from its base model."""
    left_out: tuple[str, ...] = ()
    """Probes that cannot be paired, with reasons."""
    cause: Cause | None = None
    """What the loss is, if there is one; None in comparisons of earlier versions."""
    bleed: FormatBleed | None = None
    """How many general questions are answered in the task's format, and what is left beside it."""
    retention_bleed: FormatBleed | None = None
    """The same of the retention set, whose questions are not asked again."""
    choices: ChoiceChange | None = None
    thinking: ThinkingChange | None = None
    """The modes of a reasoning model beside those of its base."""
    refusals: tuple[RefusalChange, ...] = ()
    """Changes in the refusal of harmful and of harmless requests."""
    unclear: tuple[int, int] = (0, 0)
    """General questions whose answer a program cannot read with certainty, before and after. The verdict holds whether
    they count as right or as wrong."""
    detectable: float | None = None
    """Loss on the general set, as a share, that so many questions show in 80 % of cases."""

    @property
    def sentence(self) -> str:
        """What the loss outside the task is: forgetting, format bleed-through, both, or neither."""
        return cause_sentence(self)

    @property
    def flags(self) -> tuple[str, ...]:
        """Warnings, in sentences."""
        return forgetting_flags(self)

    @property
    def lines(self) -> tuple[str, ...]:
        """All results, in sentences."""
        return forgetting_lines(self)


class Comparison(Result, BaseModel):
    """Changes between two reports on the same rows; :func:`ftkit.compare` returns it.

    ``print(comparison)`` shows both side by side. ``comparison.save(path)`` writes ``.html``, ``.md``, ``.json`` or
    ``.xml`` (JUnit).
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)
    result_type: ClassVar[str] = "comparison"

    kind: Literal["ftkit.comparison"] = "ftkit.comparison"
    schema_version: Literal[1] = 1
    verdict: Verdict
    sentence: str
    """The verdict with its numbers."""
    rows_needed: int | None
    """Number of rows that would probably settle an inconclusive comparison; None if settled or if no number would."""
    primary: str
    """Name of the metric of the verdict."""
    margin: float | None
    """Largest acceptable loss, chosen beforehand, in the unit of ``primary`` (0.02 is two points of a rate)."""
    confidence: float
    counts: Counts
    metrics: tuple[MetricChange, ...]
    before: Report
    after: Report
    forgetting: Forgetting | None = None
    """What the second model lost outside the task, if both reports have probes."""
    break_even: BreakEven | None = None
    """When the second model's training has paid off; None if a price is unknown."""
    other_prompts: bool = False
    """Whether instructions and examples were allowed to differ."""

    def __getitem__(self, name: str) -> MetricChange:
        """Return the change of the metric called ``name``.

        Args:
            name: Name of the metric.

        Returns:
            The change.

        Raises:
            ReportError: The reports do not share this metric.
        """
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise ReportError(f'no metric "{name}" in both reports; shared are {", ".join(m.name for m in self.metrics)}')

    @property
    def labels(self) -> tuple[str, str]:
        """Labels of both reports in tables; equal labels are made different."""
        before, after = self.before.label, self.after.label
        return (before, after) if before != after else (f"{before} (before)", f"{after} (after)")

    @property
    def tally(self) -> tuple[tuple[Kind, int], ...]:
        """Number of rows of each kind of change that the headline metric has."""
        right_or_wrong = self[self.primary].unit == "rate"
        kinds: tuple[Kind, ...] = (
            ("fixed", "regressed", "both_right", "both_wrong") if right_or_wrong else ("better", "worse", "unchanged")
        )
        found = [(kind, int(getattr(self.counts, kind))) for kind in kinds]
        return (*found, *([("uncounted", self.counts.uncounted)] if self.counts.uncounted else ()))

    def kind_of(self, pair: Pair) -> Kind:
        """Say how a row changed by the headline metric.

        Args:
            pair: The row before and after.

        Returns:
            The kind of change.
        """
        return kind_of(pair, self[self.primary])

    def pairs(self) -> tuple[Pair, ...]:
        """Pair the rows of both reports.

        Returns:
            The pairs, in the order of ``before``.
        """
        return paired_rows(self.before, self.after, other_prompts=self.other_prompts)

    @property
    def flags(self) -> tuple[str, ...]:
        """Warnings of the probes about the second model."""
        forgetting = () if self.forgetting is None else self.forgetting.flags
        return tuple(dict.fromkeys((*forgetting, *self.after.flags)))

    @property
    def notes(self) -> tuple[str, ...]:
        """Caveats about both reports and about differences in how they were made."""
        flags = () if self.forgetting is None else self.forgetting.flags
        before = self.before.notes
        after = [note for note in self.after.notes if note not in flags]
        found = [f"both: {note}" if note in after else f"{self.labels[0]}: {note}" for note in before]
        found += [f"{self.labels[1]}: {note}" for note in after if note not in before]
        malformed = [row for row in self.before.rows if not row.valid and row.finish_reason != "error"]
        if 2 * len(malformed) > len(self.before.rows) and not self.before.sampling.constrained:
            found.append(
                f"{self.labels[0]}: {len(malformed)} of {counted(len(self.before.rows), 'row')} failed for the form "
                "of the answer alone; ft.baselines also asks held to the form, which shows what tuning adds beyond it"
            )
        found += self._uncounted_notes()
        if self.before.sampling != self.after.sampling:
            found.append("the two were sampled with different options")
        if self.before.task_fingerprint != self.after.task_fingerprint:
            found.append(
                "the instructions or examples of the tasks differ, so this compares prompts as well as models"
                if self.other_prompts
                else "the tasks differ, though prompts and outputs are the same"
            )
        return (*flags, *found)

    def _uncounted_notes(self) -> list[str]:
        """Metrics that leave rows out by their answers, such as rates of the answers that are JSON."""
        total, by_rows = len(self.before.rows), dict[int, list[str]]()
        for change in self.metrics:
            sides = (self.before[change.name].n, self.after[change.name].n)
            if change.name in self.before.rows[0].scores and change.n < max(sides):
                by_rows.setdefault(change.n, []).append(change.name)
        return [
            f"{', '.join(names)}: compared on {count} of {counted(total, 'row')}, which count for both models"
            for count, names in by_rows.items()
        ]

    @override
    def to_json(self) -> str:
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


Report.model_rebuild()
Forgetting.model_rebuild()
