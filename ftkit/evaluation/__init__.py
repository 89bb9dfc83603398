"""Measuring a model and comparing two: metrics with intervals, reports that keep every answer, verdicts."""

from ftkit.evaluation.asking import Asking
from ftkit.evaluation.change import MetricChange
from ftkit.evaluation.comparison import Comparison, compare
from ftkit.evaluation.costs import BreakEven, Cost, Prices
from ftkit.evaluation.diagnosis import Diagnosis, diagnose
from ftkit.evaluation.few_shot import baselines
from ftkit.evaluation.forecast import Forecast, forecast
from ftkit.evaluation.grading import Grades, grade
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
    graded,
    metric,
)
from ftkit.evaluation.probes.canaries import Canary, make_canaries
from ftkit.evaluation.probes.request import Probes
from ftkit.evaluation.report import Report
from ftkit.evaluation.row import Problem, RowResult
from ftkit.evaluation.scaling import LearningCurve, fit_curve, learning_curve
from ftkit.evaluation.scoring import MetricResult
from ftkit.evaluation.standings import Overview, overview

__all__ = [
    "Aligned",
    "Asking",
    "BreakEven",
    "Canary",
    "Comparison",
    "Cost",
    "Date",
    "Diagnosis",
    "Exact",
    "Forecast",
    "Grades",
    "LearningCurve",
    "Metric",
    "MetricChange",
    "MetricResult",
    "NormalisedText",
    "NullAgreement",
    "Numeric",
    "Overview",
    "Preference",
    "Prices",
    "Probes",
    "Problem",
    "Report",
    "RowMetric",
    "RowResult",
    "SetOf",
    "baselines",
    "compare",
    "diagnose",
    "evaluate",
    "fit_curve",
    "forecast",
    "grade",
    "graded",
    "judge",
    "judge_pairs",
    "learning_curve",
    "make_canaries",
    "metric",
    "overview",
]
