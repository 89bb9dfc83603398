"""Metrics: the built-in ones by kind of output, and those that users register."""

from ftkit.evaluation.metrics.choosing import Metrics, chosen_metrics, default_metrics, headline
from ftkit.evaluation.metrics.classification import INVALID, confusion
from ftkit.evaluation.metrics.metric import Metric, RatioMetric, RowMetric, ScoreFunction, Unit, metric
from ftkit.evaluation.metrics.structured import FIELD_PREFIX, right_fields

__all__ = [
    "FIELD_PREFIX",
    "INVALID",
    "Metric",
    "Metrics",
    "RatioMetric",
    "RowMetric",
    "ScoreFunction",
    "Unit",
    "chosen_metrics",
    "confusion",
    "default_metrics",
    "headline",
    "metric",
    "right_fields",
]
