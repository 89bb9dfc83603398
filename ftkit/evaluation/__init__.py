"""Measuring a model and comparing two: metrics with intervals, reports that keep every answer, verdicts."""

from ftkit.evaluation.baseline_models import baselines
from ftkit.evaluation.cost_estimate import CostEstimate, estimate_cost
from ftkit.evaluation.costs import Prices
from ftkit.evaluation.diagnosis import Diagnosis, diagnose
from ftkit.evaluation.evaluator import evaluate
from ftkit.evaluation.grade_answers import Grades, grade
from ftkit.evaluation.leaderboard import overview
from ftkit.evaluation.learning_curves import LearningCurve, fit_curve, learning_curve
from ftkit.evaluation.llm_judge import Preference, judge, judge_pairs
from ftkit.evaluation.metrics import METRICS, Metric, MetricCollection, MetricContext, RowMetric, graded, metric
from ftkit.evaluation.probes.canaries import Canary, make_canaries
from ftkit.evaluation.probes.probes import Probes
from ftkit.evaluation.prompt_search import OptimisedTask, optimise_prompt
from ftkit.evaluation.report_comparison import compare
from ftkit.evaluation.request_runner import Asking, RequestOptions
from ftkit.evaluation.sweeps import sweep
from ftkit.results.metric_result import MetricChange, MetricResult
from ftkit.results.overview import Overview
from ftkit.results.prompt_record import PromptRecord
from ftkit.results.report import Comparison, Report
from ftkit.results.report_row import Problem, RowResult
from ftkit.results.resources import BreakEven, Cost
from ftkit.schema.comparators import (
    COMPARATORS,
    Aligned,
    Comparator,
    Date,
    Exact,
    NormalisedText,
    NullAgreement,
    Numeric,
    SetOf,
)

__all__ = [
    "COMPARATORS",
    "METRICS",
    "Aligned",
    "Asking",
    "BreakEven",
    "Canary",
    "Comparator",
    "Comparison",
    "Cost",
    "CostEstimate",
    "Date",
    "Diagnosis",
    "Exact",
    "Grades",
    "LearningCurve",
    "Metric",
    "MetricChange",
    "MetricCollection",
    "MetricContext",
    "MetricResult",
    "NormalisedText",
    "NullAgreement",
    "Numeric",
    "OptimisedTask",
    "Overview",
    "Preference",
    "Prices",
    "Probes",
    "Problem",
    "PromptRecord",
    "Report",
    "RequestOptions",
    "RowMetric",
    "RowResult",
    "SetOf",
    "baselines",
    "compare",
    "diagnose",
    "estimate_cost",
    "evaluate",
    "fit_curve",
    "grade",
    "graded",
    "judge",
    "judge_pairs",
    "learning_curve",
    "make_canaries",
    "metric",
    "optimise_prompt",
    "overview",
    "sweep",
]
