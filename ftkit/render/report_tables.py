"""Tables and sentences of reports, comparisons and overviews, the same in every form."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ftkit.counts import counted
from ftkit.render.drawings import change_drawing, change_scale, metric_drawing, value_drawing
from ftkit.render.row_facets import link_to
from ftkit.render.table import Cell, Column, Row, Table
from ftkit.results.confusion import INVALID
from ftkit.results.metric_result import MetricChange, MetricResult
from ftkit.results.number_format import (
    NONE,
    change_text,
    count_text,
    file_text,
    interval_text,
    p_text,
    percent_text,
    seconds_text,
    usd_text,
    value_text,
)
from ftkit.results.overview import Standing
from ftkit.results.report import Comparison, Report
from ftkit.results.row_pairing import KIND_WORDS

__all__ = [
    "MAX_MATRIX",
    "VERDICT_STYLES",
    "change_interval",
    "change_table",
    "comparison_lines",
    "confusion_table",
    "confusion_tables",
    "metric_table",
    "report_title",
    "resource_lines",
    "resource_table",
    "tally_table",
    "verdict_cell",
]

VERDICT_STYLES = {"better": "green", "non-inferior": "green", "worse": "red", "inconclusive": "yellow"}
"""Styles of verdicts in rich consoles."""

MAX_MATRIX = 20
"""Largest number of choices that are shown as a matrix."""

_HEADLINE_MARK = " *"
_MAX_PAIRS = 15


def report_title(report: Report) -> str:
    """Say what was measured on how many rows.

    Args:
        report: The report.

    Returns:
        One line.
    """
    name = report.label if report.label == report.model else f"{report.label} ({report.model})"
    return f"{name}: {counted(len(report.rows), 'row')} of {', '.join(map(file_text, report.sources))}"


def metric_table(report: Report, metrics: Sequence[MetricResult] | None = None) -> Table:
    """Build the table of metrics: name, value, interval and number of rows.

    Args:
        report: The report.
        metrics: Metrics to show; all by default.

    Returns:
        The table. The headline metric is marked.
    """
    columns = [
        Column("metric"),
        Column("0 – 100 %", html_only=True),
        Column("value", "right"),
        Column(f"{percent_text(report.confidence)} interval", "right"),
        Column("rows", "right"),
    ]
    rows = [
        Row(
            [
                _name(metric, report, report.primary),
                Cell(drawing=metric_drawing(metric)),
                value_text(metric.value, metric.unit),
                interval_text(metric.low, metric.high, metric.unit),
                count_text(metric.n),
            ],
            bold=metric.name == report.primary,
        )
        for metric in (report.metrics if metrics is None else metrics)
    ]
    return Table(columns, rows)


def change_table(comparison: Comparison, changes: Sequence[MetricChange] | None = None) -> Table:
    """Build the table of metrics before and after: values, change, interval, p value (Holm's for fields) and verdict.

    Args:
        comparison: The comparison.
        changes: Changes to show; all by default.

    Returns:
        The table. The metric of the verdict is marked.
    """
    scale = change_scale(comparison.metrics)
    before, after = comparison.labels
    columns = [
        Column("metric"),
        Column("○ before ● after", html_only=True),
        Column(before, "right", wrap=True),
        Column(after, "right", wrap=True),
        Column(f"−{scale * 100:.0f} … +{scale * 100:.0f}", html_only=True),
        Column("change", "right"),
        Column(f"{percent_text(comparison.confidence)} interval", "right"),
        Column("p", "right"),
        Column("", "right"),
    ]
    rows = []
    for change in comparison.metrics if changes is None else changes:
        headline = change.name == comparison.primary
        verdict = "" if change.verdict == "inconclusive" else change.verdict
        cells: list[str | Cell] = [
            _name(change, comparison.before, comparison.primary),
            Cell(drawing=value_drawing(change)),
            value_text(change.before, change.unit),
            value_text(change.after, change.unit),
            Cell(drawing=change_drawing(change, scale, comparison.margin if headline else None)),
            change_text(change.difference, change.unit),
            change_interval(change),
            p_text(change.p_value if change.p_adjusted is None else change.p_adjusted),
            verdict_cell(verdict),
        ]
        rows.append(Row(cells, bold=headline))
    return Table(columns, rows)


def tally_table(comparison: Comparison) -> Table:
    """Build the table of how many rows changed in which way.

    Args:
        comparison: The comparison.

    Returns:
        A table of one row.
    """
    kinds = [Column(KIND_WORDS[kind], "right" if at else "left") for at, (kind, _) in enumerate(comparison.tally)]
    return Table(kinds, [[count_text(count) for _, count in comparison.tally]])


def resource_table(comparison: Comparison) -> Table:
    """Build the table of tokens, time and cost of both reports. What neither report knows is left out.

    Args:
        comparison: The comparison.

    Returns:
        The table.
    """
    cells: list[tuple[str, Callable[[Report], str]]] = [
        ("input tokens", lambda report: count_text(report.usage.input_tokens)),
        ("output tokens", lambda report: count_text(report.usage.output_tokens)),
        ("latency p50", lambda report: seconds_text(report.timing.latency_p50_s)),
        ("latency p95", lambda report: seconds_text(report.timing.latency_p95_s)),
        ("output tokens/s", _tokens_per_second),
        ("total time", lambda report: seconds_text(report.timing.wall_s)),
        ("cost", lambda report: usd_text(report.cost.total_usd)),
        ("cost per 1,000 rows", lambda report: usd_text(report.cost.per_1000_usd)),
        ("failed answers", _failed),
        ("cost per correct row", lambda report: usd_text(report.cost.per_success_usd)),
    ]
    rows = [[name, text(comparison.before), text(comparison.after)] for name, text in cells]
    known = [row for row in rows if any(text != NONE for text in row[1:])]
    return Table(["", *(Column(label, "right", wrap=True) for label in comparison.labels)], known)


def confusion_table(report: Report) -> Table | None:
    """Build the confusion matrix of a task with few choices: wanted choices down, answers across.

    Args:
        report: The report.

    Returns:
        The table; None for tasks without choices, and for more than :data:`MAX_MATRIX` choices.
    """
    found = report.confusion
    if found is None or len(found.choices) > MAX_MATRIX:
        return None
    rows: list[list[str | Cell]] = []
    for at, (choice, counts) in enumerate(zip(found.choices, found.counts, strict=True)):
        total = max(sum(counts), 1)
        rows.append([choice, *(_shaded(count, count / total, at == column) for column, count in enumerate(counts))])
    return Table(["wanted ↓ answered →", *(Column(name, "right") for name in (*found.choices, INVALID))], rows)


def confusion_tables(report: Report) -> list[Table]:
    """Build the tables of confused choices: the matrix, or the most confused pairs and the worst choices of many.

    Args:
        report: The report.

    Returns:
        The tables; none for tasks without choices.
    """
    found, matrix = report.confusion, confusion_table(report)
    if found is None or matrix is not None:
        return [] if matrix is None else [matrix]
    position = {choice: at for at, choice in enumerate((*found.choices, INVALID))}
    pairs = [
        Row(
            [
                Cell(pair.wanted, show=f"wanted={position[pair.wanted]}&answered={position[pair.answered]}"),
                pair.answered,
                count_text(pair.count),
                value_text(pair.share, "rate"),
            ]
        )
        for pair in found.pairs(_MAX_PAIRS)
    ]
    worst = [
        Row(
            [
                Cell(each.choice, show=f"wanted={position[each.choice]}"),
                value_text(each.f1, "rate"),
                value_text(each.recall, "rate"),
                value_text(each.precision, "rate"),
                count_text(each.wanted),
            ]
        )
        for each in found.errors(_MAX_PAIRS)
        if each.right < max(each.wanted, each.answered)
    ]
    hidden = len(found.pairs()) - len(pairs)
    title = f"answered instead{f' ({count_text(hidden)} more pairs)' if hidden > 0 else ''}"
    return [
        Table(["wanted", title, Column("rows", "right"), Column("of the wanted", "right")], pairs),
        Table(["worst choices", *(Column(name, "right") for name in ("F1", "recall", "precision", "rows"))], worst),
    ]


def resource_lines(report: Report) -> list[str]:
    """Say what tokens, time and money a report took.

    Args:
        report: The report.

    Returns:
        A sentence for each.
    """
    usage, timing, cost = report.usage, report.timing, report.cost
    cached = f" ({count_text(usage.cached_tokens)} cached)" if usage.cached_tokens else ""
    reasoning = f" ({count_text(usage.reasoning_tokens)} of them reasoning)" if usage.reasoning_tokens else ""
    speed = "" if timing.output_tokens_per_s is None else f", {timing.output_tokens_per_s:,.1f} output tokens/s"
    lines = [
        f"Tokens: {count_text(usage.input_tokens)} in{cached}, {count_text(usage.output_tokens)} out{reasoning}",
        f"Time: {seconds_text(timing.wall_s)} in total; latency p50 {seconds_text(timing.latency_p50_s)}, "
        f"p95 {seconds_text(timing.latency_p95_s)}{speed}",
        f"Cost: unknown: {cost.source}" if cost.total_usd is None else f"Cost: {_cost(report)}; {cost.source}",
    ]
    if cost.training_usd is not None:  # older versions did not record the source
        lines.append(f"Training cost: {usd_text(cost.training_usd)}; {cost.training_source or 'source not recorded'}")
    return lines


def comparison_lines(comparison: Comparison) -> list[str]:
    """Say what the second model forgot, and after how many predictions its training has paid off.

    Args:
        comparison: The comparison.

    Returns:
        A sentence for each.
    """
    lines = [] if comparison.forgetting is None else list(comparison.forgetting.lines)
    even = comparison.break_even
    if even is not None:
        saved = f"{usd_text(abs(even.saved_per_1000_usd))} per 1,000 predictions"
        cost = f"training cost {usd_text(even.training_usd)}"
        if even.predictions is None:
            lines.append(f"Break-even: never; {cost}, and it costs {saved} more")
        else:
            lines.append(f"Break-even: after {count_text(even.predictions)} predictions; {cost}, and it saves {saved}")
            if comparison.verdict == "inconclusive":
                lines[-1] += f", if {comparison.labels[1]} is as good, which is not shown"
    elif all(report.cost.per_1000_usd is not None for report in (comparison.before, comparison.after)) and (
        comparison.after.cost.training_usd is not None
    ):
        lines.append(f"Break-even: not named, because {comparison.labels[1]} scores lower")
    return lines


def _name(metric: MetricResult | MetricChange, report: Report, primary: str) -> Cell:
    mark, css = (_HEADLINE_MARK, "strong") if metric.name == primary else ("", "")
    choices = getattr(report.output, "choices", ())
    show = link_to(metric.name, primary=primary, fields=report.output.fields(), choices=choices)
    return Cell(metric.name, mark=mark, css=css, note=metric.description, show=show)


def verdict_cell(verdict: str) -> Cell | str:
    """Make the cell of a verdict.

    Args:
        verdict: The verdict; an empty one gives an empty cell.

    Returns:
        The cell.
    """
    return Cell(verdict, style=VERDICT_STYLES[verdict], css=f"badge {verdict}") if verdict else ""


def change_interval(change: MetricChange | Standing, metric: MetricResult | None = None) -> str:
    """Write the interval of a change.

    Args:
        change: The change.
        metric: The metric whose unit it has, for a standing.

    Returns:
        ``"−1.0 to +2.5"``, or a dash.
    """
    unit = change.unit if isinstance(change, MetricChange) else "rate" if metric is None else metric.unit
    if change.low is None or change.high is None:
        return NONE
    return f"{change_text(change.low, unit)} to {change_text(change.high, unit)}"


def _shaded(count: int, share: float, correct: bool) -> Cell:
    css = f"cell {'right' if correct else 'wrong'}" if count else "cell"
    return Cell(str(count), css=css, share=round(share * 100))


def _tokens_per_second(report: Report) -> str:
    speed = report.timing.output_tokens_per_s
    return NONE if speed is None else f"{speed:,.1f}"


def _failed(report: Report) -> str:
    return value_text(report.cost.failed_share, "rate") if report.cost.failed_share else NONE


def _cost(report: Report) -> str:
    cost = report.cost
    correct = "" if cost.per_success_usd is None else f", {usd_text(cost.per_success_usd)} per correct row"
    failed = f"; {_failed(report)} of the answers failed and are left out" if cost.failed_share else ""
    return f"{usd_text(cost.total_usd)} in total, {usd_text(cost.per_1000_usd)} per 1,000 rows{correct}{failed}"
