"""The certificate of a migration: which candidates may replace a model, on what evidence."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict
from typing_extensions import override

from ftkit.arguments import explain_calls
from ftkit.results.answer import Sampling
from ftkit.results.metric_result import Unit, Verdict
from ftkit.results.result import Result
from ftkit.results.saved_json import load_saved, saved_digest

__all__ = [
    "Candidate",
    "Certificate",
    "ChecklistItem",
    "FileRecord",
    "MarginRecord",
    "PowerRecord",
    "ReplacedModel",
    "file_digest",
]

SCHEMA_VERSION = 1

_PASSING: tuple[Verdict, ...] = ("better", "non-inferior")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class MarginRecord(_Record):
    """A margin, and when it was chosen."""

    value: float
    """Largest acceptable loss of the headline metric, in its unit: 0.02 is two points of a rate."""
    set_at: str
    """ISO 8601, UTC."""


class PowerRecord(_Record):
    """Probability that the test certifies a candidate that is exactly as good as the old model."""

    power: float
    rows: int
    """Number of test rows."""
    rows_for_80: int | None
    """Number of rows like these for a power of 80 %; None if no number below a million is enough."""
    assumption: str
    """What the number assumes about the candidate's mistakes."""


class FileRecord(_Record):
    """A file of the migration's folder."""

    path: str
    """Path below the folder."""
    what: str
    digest: str
    """``sha256:…`` of its bytes."""


class ChecklistItem(_Record):
    """A step of the switch-over."""

    by: date | None
    """Last day; None if no date concerns it."""
    text: str


class ReplacedModel(_Record):
    """The model to replace, with its frozen answers."""

    name: str
    """``"backend:model"``."""
    job: str | None
    base: str | None
    method: str | None
    stops: date | None
    """Day on which it stops answering."""
    stops_source: str | None
    value: float | None
    """Its headline metric."""
    low: float | None
    high: float | None
    per_1000_usd: float | None
    cost_source: str
    answered_at: str
    """When its answers were frozen, ISO 8601, UTC."""
    report: str
    """Digest of the report of its answers."""


class Candidate(_Record):
    """One way out, with its verdict."""

    name: str
    """As it was given, e.g. ``"local:smollm2-135m"`` or ``"prompt:openai:gpt-6-luna"``."""
    kind: Literal["tuned", "prompt", "optimised"]
    """Trained, asked with the prompts of the rows, or with a prompt that was searched for."""
    problem: str | None = None
    """The step that failed and why; None if the candidate was compared."""
    verdict: Verdict | None = None
    sentence: str = ""
    """The verdict with its numbers."""
    rows_needed: int | None = None
    """Number of rows that would probably settle an inconclusive verdict."""
    value: float | None = None
    """Its headline metric."""
    low: float | None = None
    high: float | None = None
    difference: float | None = None
    """Change of the headline metric against the old model."""
    difference_low: float | None = None
    difference_high: float | None = None
    model: str | None = None
    """``"backend:model"`` that answers."""
    run: str | None = None
    """Id of the run that trained it."""
    recipe: dict[str, Any] | None = None
    """The recipe as it was trained."""
    artefacts: dict[str, str] = {}
    """Digests of the tuned model's files by name, where they are on this machine."""
    prompt: str | None = None
    """Digest of the optimised prompt's file."""
    prompt_usd: float | None = None
    """What the search for it cost, in US dollars; it counts as the cost of training."""
    per_1000_usd: float | None = None
    cost_source: str = ""
    training_usd: float | None = None
    latency_p50_s: float | None = None
    first_asked_at: str | None = None
    """When its evaluation began, ISO 8601, UTC."""
    report: str | None = None
    """Digest of the report of its answers."""
    changes: tuple[str, ...] = ()
    """What differs from the old model in prompts, schema, recipe and sampling."""
    notes: tuple[str, ...] = ()
    """Caveats about its numbers."""

    @property
    def passes(self) -> bool:
        """Whether it may replace the old model: it is better, or not worse by more than the margin."""
        return self.verdict in _PASSING

    @property
    def status(self) -> str:
        """``"CERTIFIED"``, ``"NOT CERTIFIED"`` or ``"FAILED"``."""
        return "FAILED" if self.problem is not None else "CERTIFIED" if self.passes else "NOT CERTIFIED"


class Certificate(Result, BaseModel):
    """Result of a migration; :func:`ftkit.migrate` returns it.

    ``certificate.save("x.html")`` writes a page, ``.json`` everything. :meth:`load` checks the digest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    result_type: ClassVar[str] = "certificate"

    kind: Literal["ftkit.certificate"] = "ftkit.certificate"
    schema_version: Literal[1] = 1
    created_at: str
    ftkit_version: str
    replaced: ReplacedModel
    primary: str
    """Headline metric, on which every verdict rests."""
    unit: Unit
    confidence: float
    margins: tuple[MarginRecord, ...]
    """The margin in force is the last. Earlier ones were replaced before any candidate was asked."""
    power: PowerRecord
    training_rows: int
    training_fingerprint: str
    test_rows: int
    test_fingerprint: str
    test_origin: str
    """Where the test rows come from, and whether the old model may have seen them."""
    left_out: int
    """Test rows that were left out because the training rows have the same prompt."""
    task: dict[str, Any]
    task_fingerprint: str
    recipe: dict[str, Any]
    """The recipe of the old job."""
    sampling: Sampling
    candidates: tuple[Candidate, ...]
    """Every candidate that was ever begun."""
    files: tuple[FileRecord, ...]
    checklist: tuple[ChecklistItem, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """``sha256:…`` of the complete certificate. It is saved with it and checked by :meth:`load`."""
        return saved_digest(self.model_dump(mode="json"))

    @property
    def margin(self) -> float:
        """The margin in force."""
        return self.margins[-1].value

    @property
    def certified(self) -> tuple[Candidate, ...]:
        """The candidates that may replace the old model, the cheapest answers first; unknown prices are last."""
        passing = [candidate for candidate in self.candidates if candidate.passes]
        return tuple(sorted(passing, key=lambda one: (one.per_1000_usd is None, one.per_1000_usd or 0.0)))

    def check_files(self, folder: str | os.PathLike[str]) -> list[str]:
        """Compare the files of the migration's folder with the digests of the certificate.

        Args:
            folder: The folder.

        Returns:
            One sentence for each file that is missing or differs; empty if all are unchanged.
        """
        problems = []
        for record in self.files:
            path = Path(folder) / record.path
            if not path.is_file():
                problems.append(f"{record.path} ({record.what}) is missing")
            elif file_digest(path) != record.digest:
                problems.append(f"{record.path} ({record.what}) was changed after the certificate was written")
        return problems

    @classmethod
    @explain_calls(instead='ft.Certificate.load("certificate.json")')
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Load a certificate that was saved as ``.json``.

        Args:
            path: The file.

        Returns:
            The certificate.

        Raises:
            ReportError: The file does not exist, is not a certificate, comes from a newer ftkit or was altered.
        """
        return load_saved(cls, Path(path), noun="certificate", newest=SCHEMA_VERSION)

    @override
    def to_json(self) -> str:
        content = {**self.model_dump(mode="json"), "digest": self.digest}
        return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def file_digest(path: Path) -> str:
    """Compute the digest of a file's bytes.

    Args:
        path: The file.

    Returns:
        ``sha256:…``.
    """
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
