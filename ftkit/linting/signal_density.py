"""Signal density: the share of the rows that teaches something, as one number with its parts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ftkit.linting.row_features import RowFeatures
from ftkit.results.lint_report import Density

__all__ = ["signal_density"]


def signal_density(
    features: RowFeatures,
    flagged: Mapping[str, NDArray[np.int64]],
    density_part: Mapping[str, str],
    errors: NDArray[np.int64],
    rows: int,
) -> Density:
    """Compute the signal density of the training rows.

    The effective number of examples counts ``max(0, 2p − 1)`` rows of those with the same normalized input, where p is
    the share of the commonest answer: two contradicting rows count nothing, nine against one count 0.8 each. Rows that
    nearly repeat or contradict another row, or are likely mislabelled, count nothing.

    Args:
        features: features of all rows.
        flagged: by code, the numbers of the rows in which the rule found something, ascending.
        density_part: by code, the part that the rule's rows lower.
        errors: numbers of the rows with an error, ascending.
        rows: number of training rows; they come first.

    Returns:
        The density and its parts.
    """
    usable = features.content[:rows] != 0
    usable[errors[errors < rows]] = False
    count = int(usable.sum())
    if not count:
        return Density(score=0.0, usable=0.0, unique=1.0, agreeing=1.0, consistent=1.0, rows=rows, effective=0.0)
    parts = {}
    for part in ("unique", "agreeing", "consistent"):
        lowering = np.zeros(rows, dtype=bool)
        for code, numbers in flagged.items():
            if density_part.get(code) == part:
                lowering[numbers[numbers < rows]] = True
        parts[part] = 1 - int((lowering & usable).sum()) / count
    share = count / rows
    score = 100 * share * parts["unique"] * parts["agreeing"] * parts["consistent"]
    return Density(
        score=round(score, 1),
        usable=round(share, 4),
        **{name: round(value, 4) for name, value in parts.items()},
        rows=rows,
        effective=round(_effective(features, flagged, np.flatnonzero(usable)), 1),
    )


def _effective(features: RowFeatures, flagged: Mapping[str, NDArray[np.int64]], usable: NDArray[np.int64]) -> float:
    without_effect = [flagged[code] for code in ("U003", "L002", "L005", "P004") if code in flagged]
    effective = np.setdiff1d(usable, np.concatenate(without_effect)) if without_effect else usable
    if features.rejected[usable].any():  # several preference pairs of one prompt are several examples
        return float(len(np.unique(features.content[effective])))
    inputs, answers = features.normalized_input[effective], features.normalized_answer[effective]
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
