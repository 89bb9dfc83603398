"""Values of metrics, and how they differ between two reports."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["Method", "MetricChange", "MetricResult", "Unit", "Verdict"]

Unit = Literal["rate", "number"]
"""``rate``: between 0 and 1, shown in percent. ``number``: anything else."""

Method = Literal["wilson", "wilson-clustered", "bootstrap", "score", "score-clustered", "none"]
"""How an interval was made. ``wilson`` and ``score``: for rates and their changes; ``-clustered``: with the effective
number of rows; ``bootstrap``: BCa; ``none``: there is nothing to make one from."""

Verdict = Literal["better", "worse", "non-inferior", "inconclusive"]
"""``better`` / ``worse``: the change is beyond chance. ``non-inferior``: any loss is smaller than the margin that was
given beforehand. ``inconclusive``: these rows cannot tell."""


class MetricResult(BaseModel):
    """One number of a report."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    name: str
    description: str
    value: float | None
    """``None`` when no row counts (e.g. the precision of a choice that was never answered)."""
    low: float | None
    """Lower end of the interval at the report's confidence; ``None`` when there is none."""
    high: float | None
    n: int
    """Rows in the denominator."""
    method: Method
    unit: Unit
    higher_is_better: bool


class MetricChange(BaseModel):
    """One metric before and after, on the rows that count in both."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    name: str
    description: str
    unit: Unit
    higher_is_better: bool
    before: float | None
    after: float | None
    difference: float | None
    """After less before."""
    low: float | None
    """Lower end of the paired interval of ``difference``."""
    high: float | None
    method: Method
    n: int
    p_value: float | None
    """McNemar's exact test for right/wrong on independent rows, else sign flips of whole groups; ``None`` for metrics
    that do not score single rows."""
    p_adjusted: float | None
    """Holm's adjustment over the fields; ``None`` for other metrics."""
    row_variance: float | None
    """Variance of one row's difference, times the design effect of the groups; for planning the number of rows."""
    verdict: Verdict
    """``better``, ``worse`` or ``inconclusive`` for this metric by itself; fields by their adjusted p value."""
