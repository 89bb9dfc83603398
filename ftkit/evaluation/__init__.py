"""Measuring a model and comparing two: metrics with intervals, reports that keep every answer, verdicts."""

from ftkit.evaluation.asking import Asking
from ftkit.evaluation.change import MetricChange
from ftkit.evaluation.comparison import Comparison, compare
from ftkit.evaluation.costs import BreakEven, Cost, Prices
from ftkit.evaluation.judging import Preference, judge, judge_pairs
from ftkit.evaluation.measurement import evaluate
from ftkit.evaluation.metrics import (
    Aligned,
    Date,
    Exact,
    Metric,
    NormalisedText,
    NullAgreement,
    Numeric,
    RowMetric,
    SetOf,
    metric,
)
from ftkit.evaluation.report import Report
from ftkit.evaluation.row import Problem, RowResult
from ftkit.evaluation.scoring import MetricResult

__all__ = [
    "Aligned",
    "Asking",
    "BreakEven",
    "Comparison",
    "Cost",
    "Date",
    "Exact",
    "Metric",
    "MetricChange",
    "MetricResult",
    "NormalisedText",
    "NullAgreement",
    "Numeric",
    "Preference",
    "Prices",
    "Problem",
    "Report",
    "RowMetric",
    "RowResult",
    "SetOf",
    "compare",
    "evaluate",
    "judge",
    "judge_pairs",
    "metric",
]
