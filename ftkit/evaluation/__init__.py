"""Measuring a model and comparing two: metrics with intervals, reports that keep every answer, verdicts."""

from ftkit.evaluation.change import MetricChange
from ftkit.evaluation.comparison import Comparison, compare
from ftkit.evaluation.measurement import evaluate
from ftkit.evaluation.metrics import Metric, RowMetric, metric
from ftkit.evaluation.report import Report
from ftkit.evaluation.row import Problem, RowResult
from ftkit.evaluation.scoring import MetricResult

__all__ = [
    "Comparison",
    "Metric",
    "MetricChange",
    "MetricResult",
    "Problem",
    "Report",
    "RowMetric",
    "RowResult",
    "compare",
    "evaluate",
    "metric",
]
