"""Confidence intervals and tests on plain numbers."""

from ftkit.evaluation.statistics.bootstrap import DRAWS, bca_interval, cluster_sums, resample
from ftkit.evaluation.statistics.intervals import (
    check_confidence,
    critical_value,
    effective_rows,
    paired_interval,
    quantile,
    wilson_interval,
)
from ftkit.evaluation.statistics.paired import holm, mcnemar_exact, rows_for_margin, rows_for_zero_change, sign_flip

__all__ = [
    "DRAWS",
    "bca_interval",
    "check_confidence",
    "cluster_sums",
    "critical_value",
    "effective_rows",
    "holm",
    "mcnemar_exact",
    "paired_interval",
    "quantile",
    "resample",
    "rows_for_margin",
    "rows_for_zero_change",
    "sign_flip",
    "wilson_interval",
]
