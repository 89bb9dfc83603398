"""What a reader must know before believing a report's numbers."""

from __future__ import annotations

from collections.abc import Sequence

from ftkit.evaluation.row import RowResult

__all__ = ["FEW_ROWS", "notes_on"]

FEW_ROWS = 30
"""Below this, every interval is so wide that a note says so."""


def notes_on(rows: Sequence[RowResult], max_output_tokens: int) -> tuple[str, ...]:
    """Sentences about rows that were not asked, cut off or have no wanted answer, about groups and too few rows."""
    found = []
    failed = [row for row in rows if row.finish_reason == "error"]
    if failed:
        cause = next((row.error for row in failed if row.error), "no reason was given")
        found.append(f"{_rows(failed, rows)} could not be asked and {_count_as(failed)} wrong; first cause: {cause}")
    cut = [row for row in rows if row.finish_reason == "length"]
    if cut:
        found.append(f"{_rows(cut, rows)} cut off at max_output_tokens={max_output_tokens}")
    aimless = [row for row in rows if not row.has_target]
    if aimless:
        found.append(f"{_rows(aimless, rows)} without a wanted answer; accuracies leave them out")
    groups = {row.group for row in rows if row.group is not None}
    grouped = sum(row.group is not None for row in rows)
    if len(groups) < grouped:
        found.append(f"{grouped} rows in {len(groups)} groups: intervals count rows of a group as dependent")
    if len(rows) < FEW_ROWS:
        found.append(f"only {len(rows)} rows: the intervals are wide, read them before the values")
    return tuple(found)


def _rows(some: Sequence[RowResult], rows: Sequence[RowResult]) -> str:
    return f"{len(some)} of {len(rows)} rows"


def _count_as(rows: Sequence[RowResult]) -> str:
    return "counts as" if len(rows) == 1 else "count as"
