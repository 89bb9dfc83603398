"""Metric values with intervals, and their changes between two reports."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["Method", "MetricChange", "MetricResult", "Unit", "Verdict"]

Unit = Literal["rate", "number"]
"""``rate``: between 0 and 1, shown in percent. ``number``: anything else."""

Method = Literal["wilson", "wilson-clustered", "bootstrap", "score", "score-clustered", "none"]
"""Method of an interval. ``wilson`` and ``score``: for rates and their changes; ``-clustered``: with the effective
number of rows; ``bootstrap``: BCa; ``none``: there is no interval."""

Verdict = Literal["better", "worse", "non-inferior", "inconclusive"]
"""``better`` and ``worse``: the change is significant. ``non-inferior``: any loss is smaller than the margin.
``inconclusive``: there are too few rows to decide."""


class MetricResult(BaseModel):
    """Value of a metric with its interval."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    name: str
    description: str
    value: float | None
    """None if no row counts, for example for the precision of a choice that was never answered."""
    low: float | None
    """Lower end of the interval at the report's confidence level; None if there is none."""
    high: float | None
    n: int
    """Number of rows in the denominator."""
    method: Method
    unit: Unit
    higher_is_better: bool


class MetricChange(BaseModel):
    """Change of a metric on the rows that count in both reports."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    name: str
    description: str
    unit: Unit
    higher_is_better: bool
    before: float | None
    after: float | None
    difference: float | None
    """``after - before``."""
    low: float | None
    """Lower end of the paired interval of ``difference``."""
    high: float | None
    method: Method
    n: int
    p_value: float | None
    """McNemar's exact test for right/wrong scores on independent rows, else a sign-flip test over groups; None for
    metrics that do not score single rows."""
    p_adjusted: float | None
    """Holm's adjustment over the fields; None for other metrics."""
    row_variance: float | None
    """Variance of one row's difference times the design effect of the groups, for planning the number of rows."""
    verdict: Verdict
    """``better``, ``worse`` or ``inconclusive`` for this metric alone; fields use their adjusted p value."""
