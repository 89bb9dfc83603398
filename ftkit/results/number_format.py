"""Numbers as text, the same in every sentence, table and page."""

from __future__ import annotations

from pathlib import PurePath

from ftkit.results.metric_result import Unit

__all__ = [
    "NONE",
    "change_text",
    "count_text",
    "file_text",
    "interval_text",
    "margin_text",
    "p_text",
    "percent_text",
    "seconds_text",
    "usd_text",
    "value_text",
]

NONE = "–"
"""Text of an unknown value."""
_MINUS = "−"


def percent_text(share: float) -> str:
    """Write a share as a percentage.

    Args:
        share: The share; 0.95 is 95 %.

    Returns:
        For example ``"95 %"``.
    """
    return f"{share * 100:g} %"


def value_text(value: float | None, unit: Unit) -> str:
    """Write the value of a metric.

    Args:
        value: The value.
        unit: Unit of the metric.

    Returns:
        ``"58.3 %"`` for a rate, four significant digits otherwise.
    """
    if value is None:
        return NONE
    return f"{value * 100:.1f} %" if unit == "rate" else _number(value)


def interval_text(low: float | None, high: float | None, unit: Unit) -> str:
    """Write an interval of a metric.

    Args:
        low: Lower end.
        high: Upper end.
        unit: Unit of the metric.

    Returns:
        For example ``"45.7 – 69.9"``; rates in percent.
    """
    if low is None or high is None:
        return NONE
    if unit == "rate":
        return f"{low * 100:.1f} – {high * 100:.1f}"
    return f"{_number(low)} – {_number(high)}"


def change_text(change: float | None, unit: Unit) -> str:
    """Write a difference with its sign.

    Args:
        change: The difference.
        unit: Unit of the metric.

    Returns:
        For example ``"+2.5"``; rates in percentage points.
    """
    if change is None:
        return NONE
    digits = f"{abs(change) * 100:.1f}" if unit == "rate" else _number(abs(change))
    sign = "" if float(digits.replace(",", "")) == 0 else "+" if change > 0 else _MINUS
    return sign + digits


def margin_text(margin: float, unit: Unit) -> str:
    """Write a margin.

    Args:
        margin: The margin in the unit of the metric.
        unit: Unit of the metric.

    Returns:
        ``"2 points"`` for a rate's margin of 0.02.
    """
    if unit != "rate":
        return _number(margin)
    points = f"{margin * 100:g}"
    return f"{points} point" if points == "1" else f"{points} points"


def p_text(p_value: float | None) -> str:
    """Write a p value.

    Args:
        p_value: The p value.

    Returns:
        Three decimals, or ``"<0.001"``.
    """
    if p_value is None:
        return NONE
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def count_text(count: float) -> str:
    """Write a count with thousands separators.

    Args:
        count: The count.

    Returns:
        For example ``"12,345"``.
    """
    return f"{count:,.0f}"


def seconds_text(seconds: float | None) -> str:
    """Write a duration.

    Args:
        seconds: The duration in seconds.

    Returns:
        Seconds, or minutes from two minutes on.
    """
    if seconds is None:
        return NONE
    if seconds >= 120:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"


def usd_text(usd: float | None) -> str:
    """Write US dollars.

    Args:
        usd: The amount.

    Returns:
        Two decimals; small amounts with two significant digits.
    """
    if usd is None:
        return NONE
    if 0 < usd < 0.0001:
        return "<$0.0001"
    return f"${usd:,.2f}" if usd >= 0.1 or usd == 0 else f"${usd:.2g}"


def file_text(place: str) -> str:
    """Write a path, or a place in a file, without folders.

    Args:
        place: A path, with or without a line number.

    Returns:
        For example ``"visits.jsonl:12"``.
    """
    return PurePath(place).name or place


def _number(value: float) -> str:
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
