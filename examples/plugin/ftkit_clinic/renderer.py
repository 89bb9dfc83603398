"""A form of reports that ftkit does not have: the metrics as CSV, for a spreadsheet."""

from __future__ import annotations

import csv
import io

from ftkit import Report


def report_csv(report: Report) -> str:
    """Write the metrics of a report as CSV.

    Args:
        report: The report.

    Returns:
        A header and one line for each metric.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["metric", "value", "low", "high", "rows"])
    writer.writerows([metric.name, metric.value, metric.low, metric.high, metric.n] for metric in report.metrics)
    return text.getvalue()
