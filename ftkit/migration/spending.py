"""What a migration has cost so far."""

from __future__ import annotations

from ftkit.migration.frozen import FROZEN, load_report
from ftkit.migration.names import CandidateName, report_path
from ftkit.migration.state import MigrationFolder

__all__ = ["spent_usd"]


def spent_usd(folder: MigrationFolder) -> float:
    """Add up what finished steps cost.

    Args:
        folder: the migration.

    Returns:
        US dollars, as far as they are known.
    """
    state = folder.state
    reports = [] if state.frozen is None else [load_report(folder, FROZEN)]
    searched = 0.0
    for name, candidate in state.candidates.items():
        if candidate.report is not None:  # the search for a prompt is the cost of training there
            reports.append(load_report(folder, report_path(CandidateName.parse(name))))
        else:
            searched += candidate.prompt_usd or 0.0
    costs = [report.cost for report in reports]
    return searched + sum((cost.total_usd or 0.0) + (cost.training_usd or 0.0) for cost in costs)
