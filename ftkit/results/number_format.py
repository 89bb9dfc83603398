"""Numbers as people read them, the same in every table and page."""

from __future__ import annotations

from pathlib import PurePath

from ftkit.results.metric_result import Unit

__all__ = [
    "NONE",
    "change_text",
    "count_text",
    "counted",
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
"""What is not known."""
MINUS = "−"


def percent_text(share: float) -> str:
    """``0.95`` as ``95 %``."""
    return f"{share * 100:g} %"


def value_text(value: float | None, unit: Unit) -> str:
    """A metric's value: ``58.3 %`` for a rate, four digits otherwise."""
    if value is None:
        return NONE
    return f"{value * 100:.1f} %" if unit == "rate" else _number(value)


def interval_text(low: float | None, high: float | None, unit: Unit) -> str:
    """``45.7 – 69.9`` in the unit of :func:`value_text`."""
    if low is None or high is None:
        return NONE
    if unit == "rate":
        return f"{low * 100:.1f} – {high * 100:.1f}"
    return f"{_number(low)} – {_number(high)}"


def change_text(change: float | None, unit: Unit) -> str:
    """A difference with its sign; for rates in percentage points."""
    if change is None:
        return NONE
    digits = f"{abs(change) * 100:.1f}" if unit == "rate" else _number(abs(change))
    sign = "" if float(digits.replace(",", "")) == 0 else "+" if change > 0 else MINUS
    return sign + digits


def margin_text(margin: float, unit: Unit) -> str:
    """``2 points`` for a rate's margin of 0.02."""
    if unit != "rate":
        return _number(margin)
    points = f"{margin * 100:g}"
    return f"{points} point" if points == "1" else f"{points} points"


def p_text(p_value: float | None) -> str:
    """A p value with as many digits as it deserves."""
    if p_value is None:
        return NONE
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def count_text(count: float) -> str:
    """``12345`` as ``12,345``."""
    return f"{count:,.0f}"


def counted(number: int, what: str) -> str:
    """``1 row``, ``1,200 rows``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def seconds_text(seconds: float | None) -> str:
    """``0.412`` as ``0.41 s``; minutes from two minutes on."""
    if seconds is None:
        return NONE
    if seconds >= 120:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"


def usd_text(usd: float | None) -> str:
    """Dollars with two digits, small sums with two significant ones."""
    if usd is None:
        return NONE
    if 0 < usd < 0.0001:
        return "<$0.0001"
    return f"${usd:,.2f}" if usd >= 0.1 or usd == 0 else f"${usd:.2g}"


def file_text(place: str) -> str:
    """A path, or a place in a file, without its folders: ``visits.jsonl:12``."""
    return PurePath(place).name or place


def _number(value: float) -> str:
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
