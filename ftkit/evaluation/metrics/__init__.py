"""Metrics: the built-in ones by kind of output, and those that users register."""

from ftkit.evaluation.metrics.classification import INVALID, confusion
from ftkit.evaluation.metrics.grader_metric import GraderMetric, graded
from ftkit.evaluation.metrics.metric import Metric, RatioMetric, RowMetric, ScoreFunction, metric
from ftkit.evaluation.metrics.selection import (
    Metrics,
    chosen_metrics,
    columns_read,
    default_metrics,
    headline,
    with_graders,
)
from ftkit.evaluation.metrics.structured import FIELD_PREFIX, field_agreements
from ftkit.results.metric_result import Unit
from ftkit.schema.comparators import (
    COMPARATORS,
    Aligned,
    AnyComparator,
    Comparator,
    Comparators,
    Date,
    Exact,
    NormalisedText,
    NullAgreement,
    Numeric,
    SetOf,
    comparators_of,
)

__all__ = [
    "COMPARATORS",
    "FIELD_PREFIX",
    "INVALID",
    "Aligned",
    "AnyComparator",
    "Comparator",
    "Comparators",
    "Date",
    "Exact",
    "GraderMetric",
    "Metric",
    "Metrics",
    "NormalisedText",
    "NullAgreement",
    "Numeric",
    "RatioMetric",
    "RowMetric",
    "ScoreFunction",
    "SetOf",
    "Unit",
    "chosen_metrics",
    "columns_read",
    "comparators_of",
    "confusion",
    "default_metrics",
    "field_agreements",
    "graded",
    "headline",
    "metric",
    "with_graders",
]
