"""Confidence intervals and tests on plain numbers."""

from ftkit.evaluation.statistics.intervals import (
    check_confidence,
    critical_value,
    effective_rows,
    exact_interval,
    paired_interval,
    quantile,
    rate_interval,
    wilson_interval,
)
from ftkit.evaluation.statistics.mover import Estimate, mover_interval
from ftkit.evaluation.statistics.paired import holm, mcnemar_exact, sign_flip
from ftkit.evaluation.statistics.power import clusters_needed, detectable_loss, loss_power, power_of, rows_of
from ftkit.evaluation.statistics.resampling import cluster_sums, resample
from ftkit.evaluation.statistics.score_interval import ClusteredScores, clustered_scores, score_interval

__all__ = [
    "ClusteredScores",
    "Estimate",
    "check_confidence",
    "cluster_sums",
    "clustered_scores",
    "clusters_needed",
    "critical_value",
    "detectable_loss",
    "effective_rows",
    "exact_interval",
    "holm",
    "loss_power",
    "mcnemar_exact",
    "mover_interval",
    "paired_interval",
    "power_of",
    "quantile",
    "rate_interval",
    "resample",
    "rows_of",
    "score_interval",
    "sign_flip",
    "wilson_interval",
]
