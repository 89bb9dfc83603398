"""Answers of base models to the general set, kept so that every model tuned from one does not ask it again."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ftkit.errors import ReportError
from ftkit.evaluation.request_runner import Answering
from ftkit.files import canonical_digest, home
from ftkit.results.json_values import canonical, plain
from ftkit.results.report import Report

__all__ = ["DAYS", "keep", "kept"]

DAYS = 30
"""How long kept answers count: what a host calls by one name may change."""


def keep(model: Answering, report: Report) -> None:
    """Keep ``report``, the model's on the general set; a folder's weights may change under its name, so not those."""
    path = _path(model, report.dataset_fingerprint)
    if path is not None:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(ReportError):  # a full disk costs asking again, not the evaluation
            report.save(path)


def kept(model: Answering, fingerprint: str) -> Report | None:
    """What :func:`keep` kept of that model on the set with this fingerprint; ``None`` when that is nothing, or old."""
    path = _path(model, fingerprint)
    if path is None or not path.is_file():
        return None
    try:
        report = Report.load(path)
    except ReportError:
        return None
    age = datetime.now(UTC) - datetime.fromisoformat(report.created_at)
    return report if age < timedelta(days=DAYS) else None


def _path(model: Answering, fingerprint: str) -> Path | None:
    if Path(model.name.partition(":")[2]).exists():
        return None
    about = {name: value for name, value in model.about().items() if name != "observed"}
    key = canonical_digest(canonical(plain([model.name, about, fingerprint])))
    return home() / "probes" / f"{key.removeprefix('sha256:')[:32]}.json"
