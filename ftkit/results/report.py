"""What was measured on one model, complete in itself: it can be read, scored again and compared years later."""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ftkit.backends import Sampling
from ftkit.errors import ReportError
from ftkit.evaluation.costs import Cost
from ftkit.evaluation.metrics import Metrics
from ftkit.evaluation.probes.drift import BaseDrift, TextLosses
from ftkit.evaluation.probes.overfitting import Overfitting
from ftkit.evaluation.report_notes import notes_on
from ftkit.evaluation.scoring import MetricResult
from ftkit.files import canonical_digest
from ftkit.render.saving import save
from ftkit.results.display import Shown
from ftkit.results.json_values import canonical
from ftkit.results.report_row import RowResult
from ftkit.results.training_curve import TrainingCurve
from ftkit.schema import AnyOutput, Output
from ftkit.schema.comparators import AnyComparator, Comparators

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ftkit.evaluation.forgetting import Forgetting

__all__ = ["Probed", "Report", "Timing", "Usage"]

SCHEMA_VERSION = 1


class Usage(BaseModel):
    """Tokens of all rows together."""

    model_config = ConfigDict(frozen=True)

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    """How many of the input tokens were not computed again."""


class Timing(BaseModel):
    """How long it took. Times in seconds."""

    model_config = ConfigDict(frozen=True)

    wall_s: float
    """From the first request to the last answer."""
    latency_p50_s: float | None
    """Median over the rows that were answered; ``None`` when none was."""
    latency_p95_s: float | None
    output_tokens_per_s: float | None
    """All output tokens over ``wall_s``."""


class Report(Shown, BaseModel):
    """What was measured on one model; made by :func:`ftkit.evaluate`.

    ``print(report)`` shows the metrics; ``report.save("x.json")`` keeps everything, ``.html`` and ``.md`` are to read.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

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
        from ftkit.evaluation.forgetting import forgetting_of  # which compares reports

        return forgetting_of(self.probes.base, self.probes, confidence=self.confidence, seed=self.seed)

    def rescore(
        self,
        metrics: Metrics = "auto",
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
        from ftkit.evaluation.rescoring import rescored

        return rescored(self, metrics, comparators=comparators, primary=primary, confidence=confidence, seed=seed)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the report; the suffix says how: ``.json`` (complete, can be loaded), ``.html`` or ``.md``.

        Raises:
            ReportError: another suffix, or the file cannot be written.
        """
        return save(path, json=self._to_json, html=self._to_html, markdown=self._to_markdown)

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

    def _to_json(self) -> str:
        content = {**self.model_dump(mode="json"), "digest": self.digest}
        return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"

    def _to_html(self) -> str:
        from ftkit.render.html import report_page

        return report_page(self)

    def _to_markdown(self) -> str:
        from ftkit.render.markdown import report_markdown

        return report_markdown(self)

    def __str__(self) -> str:
        from ftkit.render.tables import report_text

        return report_text(self)

    def __rich__(self) -> RenderableType:
        from ftkit.render.tables import report_table

        return report_table(self)

    def _repr_html_(self) -> str:
        from ftkit.render.html import report_fragment

        return report_fragment(self)


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


Report.model_rebuild()


def _digest(content: dict[str, Any]) -> str:
    try:
        return canonical_digest(canonical(content))
    except ValueError:  # NaN, or half a surrogate pair: nothing that a report was ever saved with
        return ""
