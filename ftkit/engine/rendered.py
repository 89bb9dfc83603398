"""A row as the model sees it: token ids, and which of them it must learn to give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bools", "Example", "Ints", "Rendered"]

Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rendered:
    """One conversation in tokens.

    Attributes:
        ids: token ids, int32 [T].
        supervised: which of them carry loss, bool [T]; never the first.
    """

    ids: Ints
    supervised: Bools


@dataclass(frozen=True, slots=True)
class Example:
    """Sequences whose loss is computed together: one for a demonstration; chosen, then rejected for a preference.

    Attributes:
        sequences: the conversations.
        margin: by how much the chosen answer should win, for reward models.
        reference: log-probability of each sequence under the model that training began with, once it is known.
    """

    sequences: tuple[Rendered, ...]
    margin: float = 0.0
    reference: tuple[float, ...] | None = None
