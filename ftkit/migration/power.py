"""The power of a non-inferiority test, from the old model's answers alone: before any candidate is trained."""

from __future__ import annotations

import random
from dataclasses import replace

from ftkit.evaluation.paired_difference import paired_statistics
from ftkit.evaluation.statistics import clusters_needed, power_of, rows_of
from ftkit.results.certificate import PowerRecord
from ftkit.results.report import Report

__all__ = ["power_before"]

_ASSUMED = "a candidate that is exactly as good as the old model, whose mistakes are independent of the old model's"


def power_before(report: Report, margin: float, confidence: float) -> PowerRecord:
    """Estimate how likely the test certifies a candidate that is exactly as good as the old model.

    A candidate is simulated that has the old model's scores in another order, so its mistakes are on other rows. A
    candidate that makes the same mistakes as the old model has a higher power.

    Args:
        report: the old model's report.
        margin: the margin.
        confidence: confidence level of the verdict.

    Returns:
        The power, and the number of rows for 80 %.
    """
    order = list(range(len(report.rows)))
    random.Random(0).shuffle(order)  # noqa: S311 - not a secret
    pairs = [
        (row, row.model_copy(update={"scores": report.rows[other].scores}))
        for row, other in zip(report.rows, order, strict=True)
    ]
    paired = paired_statistics(report, pairs, [report.primary]).get(report.primary)
    if paired is None or len(paired.differences) == 0:
        return PowerRecord(power=0.0, rows=len(pairs), rows_for_80=None, assumption=f"no row has a {report.primary}")
    scores = paired.scores
    if not report.headline.higher_is_better:
        scores = replace(scores, sums=-scores.sums)
    binary = paired.is_binary and paired.independent
    clusters = int(scores.counts.sum())
    power = power_of(scores, clusters, limit=-margin, bounds=paired.bounds, confidence=confidence, binary=binary)
    needed = clusters_needed(
        scores, limit=-margin, bounds=paired.bounds, confidence=confidence, power=0.8, binary=binary
    )
    return PowerRecord(
        power=power,
        rows=len(paired.differences),
        rows_for_80=None if needed is None else rows_of(needed, scores),
        assumption=_ASSUMED,
    )
