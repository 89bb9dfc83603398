"""Saved answers of base models to the general set, so that it is asked once for all models tuned from one base."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ftkit.errors import ReportError
from ftkit.evaluation.model_identity import model_identity
from ftkit.evaluation.request_runner import EvaluableModel
from ftkit.files import canonical_digest, home
from ftkit.results.json_values import canonical, plain
from ftkit.results.report import Report

__all__ = ["MAX_AGE_DAYS", "load_base_report", "save_base_report"]

MAX_AGE_DAYS = 30
"""Older answers are not used, because a host may change the model behind a name."""


def save_base_report(model: EvaluableModel, report: Report) -> None:
    """Save a model's report on the general set.

    Models in folders are not saved, because their weights may change under their name. A full disk is ignored.

    Args:
        model: the model.
        report: its report on the general set.
    """
    path = _path(model, report.dataset_fingerprint)
    if path is not None:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(ReportError):
            report.save(path)


def load_base_report(model: EvaluableModel, fingerprint: str) -> Report | None:
    """Load what :func:`save_base_report` saved.

    Args:
        model: the model.
        fingerprint: fingerprint of the general set that was asked.

    Returns:
        The report; None if there is none, or it is older than :data:`MAX_AGE_DAYS`.
    """
    path = _path(model, fingerprint)
    if path is None or not path.is_file():
        return None
    try:
        report = Report.load(path)
    except ReportError:
        return None
    age = datetime.now(UTC) - datetime.fromisoformat(report.created_at)
    return report if age < timedelta(days=MAX_AGE_DAYS) else None


def _path(model: EvaluableModel, fingerprint: str) -> Path | None:
    if Path(model.name.partition(":")[2]).exists():
        return None
    key = canonical_digest(canonical(plain([model.name, model_identity(model.about()), fingerprint])))
    return home() / "probes" / f"{key.removeprefix('sha256:')[:32]}.json"
