"""Signal density: how much of the rows teaches, in one number with its parts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ftkit.linting.row_features import Facts
from ftkit.results.lint_report import Density

__all__ = ["density_of"]


def density_of(
    facts: Facts,
    flagged: Mapping[str, NDArray[np.int64]],
    hurts: Mapping[str, str],
    errors: NDArray[np.int64],
    rows: int,
) -> Density:
    """The density of the first ``rows`` rows.

    Of rows with the same normalised input, of which the share p has the commonest answer, ``max(0, 2p − 1)`` counts:
    two that contradict each other count nothing, nine against one count 0.8. A row that nearly repeats or contradicts
    another one, or is likely mislabelled, counts nothing.

    Args:
        facts: of all rows.
        flagged: numbers of the rows that each rule found something in, by code.
        hurts: by code, the part that a rule's rows count against.
        errors: rows with an error.
        rows: number of training rows; they come first.
    """
    usable = facts.whole[:rows] != 0
    usable[errors[errors < rows]] = False
    count = int(usable.sum())
    if not count:
        return Density(score=0.0, usable=0.0, unique=1.0, agreeing=1.0, consistent=1.0, rows=rows, effective=0.0)
    parts = {}
    for part in ("unique", "agreeing", "consistent"):
        bad = np.zeros(rows, dtype=bool)
        for code, numbers in flagged.items():
            if hurts.get(code) == part:
                bad[numbers[numbers < rows]] = True
        parts[part] = 1 - int((bad & usable).sum()) / count
    share = count / rows
    score = 100 * share * parts["unique"] * parts["agreeing"] * parts["consistent"]
    return Density(
        score=round(score, 1),
        usable=round(share, 4),
        **{name: round(value, 4) for name, value in parts.items()},
        rows=rows,
        effective=round(_effective(facts, flagged, np.flatnonzero(usable)), 1),
    )


def _effective(facts: Facts, flagged: Mapping[str, NDArray[np.int64]], usable: NDArray[np.int64]) -> float:
    lost = [flagged[code] for code in ("U003", "L002", "L005", "P004") if code in flagged]
    kept = np.setdiff1d(usable, np.concatenate(lost)) if lost else usable
    if facts.rejected[usable].any():  # of preferences several pairs of one question are several examples
        return float(len(np.unique(facts.whole[kept])))
    inputs, answers = facts.normal_input[kept], facts.normal_answer[kept]
    order = np.lexsort((answers, inputs))
    inputs, answers = inputs[order], answers[order]
    new_input = np.r_[True, inputs[1:] != inputs[:-1]][: len(inputs)]
    new_pair = new_input | np.r_[True, answers[1:] != answers[:-1]][: len(inputs)]
    group = np.cumsum(new_input) - 1
    sizes = np.bincount(group)
    pair_sizes = np.diff(np.r_[np.flatnonzero(new_pair), len(inputs)])
    largest = np.zeros(len(sizes))
    np.maximum.at(largest, group[new_pair], pair_sizes)
    return float(np.maximum(0.0, 2 * largest / sizes - 1).sum())
