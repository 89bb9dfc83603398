"""Metrics: those of each kind of output, those of graders, and those that packages and scripts register."""

from ftkit.evaluation.metrics.classification import INVALID, confusion
from ftkit.evaluation.metrics.grader_metric import GraderMetric, graded
from ftkit.evaluation.metrics.metric import (
    Metric,
    MetricCollection,
    MetricContext,
    Ratio,
    RatioMetric,
    RowMetric,
    ScoreFunction,
    identity,
)
from ftkit.evaluation.metrics.registry import METRICS, known_metrics, metric
from ftkit.evaluation.metrics.selection import Metrics, columns_read, expand_graders, headline, select_metrics
from ftkit.evaluation.metrics.structured import FIELD_PREFIX, field_agreements

__all__ = [
    "FIELD_PREFIX",
    "INVALID",
    "METRICS",
    "GraderMetric",
    "Metric",
    "MetricCollection",
    "MetricContext",
    "Metrics",
    "Ratio",
    "RatioMetric",
    "RowMetric",
    "ScoreFunction",
    "columns_read",
    "confusion",
    "expand_graders",
    "field_agreements",
    "graded",
    "headline",
    "identity",
    "known_metrics",
    "metric",
    "select_metrics",
]
