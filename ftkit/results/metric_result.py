"""Metric values with intervals, and their changes between two reports."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["Method", "MetricChange", "MetricResult", "Unit", "Verdict"]

Unit = Literal["rate", "number"]
"""``rate``: between 0 and 1, shown in percent. ``number``: anything else."""

Method = Literal["wilson", "score", "score-clustered", "mover", "jackknife", "none", "wilson-clustered", "bootstrap"]
"""Method of an interval. ``wilson``: proportions of independent rows (exact where fewer than ten are right or
wrong); ``score``: their changes, other means, and
``-clustered`` if rows are grouped; ``mover``: F1 and changes of ratios; ``jackknife``: metrics of packages; ``none``:
there is no interval. Reports of version 0.1 may have ``wilson-clustered`` and ``bootstrap``."""

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
    reason: str = ""
    """Why there is no interval."""
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
    reason: str = ""
    """Why there is no interval."""
    n: int
    p_value: float | None
    """McNemar's exact test for right/wrong scores on independent rows, a sign-flip test over groups for other scores of
    single rows; for other metrics the level at which the interval would end at 0. None if there is no interval."""
    p_adjusted: float | None
    """Holm's adjustment over all metrics but the headline metric; None for that one."""
    row_variance: float | None
    """Variance of one row's difference times the design effect of the groups, for planning the number of rows."""
    verdict: Verdict
    """``better``, ``worse`` or ``inconclusive`` for this metric alone; fields use their adjusted p value."""
