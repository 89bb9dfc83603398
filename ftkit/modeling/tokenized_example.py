"""A row as the model sees it: token ids, and which of them it must learn to give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bools", "Example", "Experience", "Floats", "Ints", "TokenizedConversation"]

Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TokenizedConversation:
    """One conversation in tokens.

    Attributes:
        ids: token ids, int32 [T].
        supervised: which of them carry loss, bool [T]; never the first.
    """

    ids: Ints
    supervised: Bools


@dataclass(frozen=True, slots=True)
class Experience:
    """What is known of an answer that the model drew itself; arrays are float32 [L], one value a supervised token.

    Attributes:
        advantage: how much better it was than its siblings (A).
        weight: of each of its tokens in the loss of its batch.
        sampled: log-probability of each token when it was drawn, as the sampler computed it.
        old: the same as the trainer computed it; ``None`` while the model is still that of the draw.
        reference: under the model that training began with; ``None`` when nothing asks.
    """

    advantage: float
    weight: float
    sampled: Floats
    old: Floats | None = None
    reference: Floats | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """Sequences whose loss is computed together: one for a demonstration; chosen, then rejected for a preference.

    Attributes:
        sequences: the conversations.
        margin: by how much the chosen answer should win, for reward models.
        reference: log-probability of each sequence under the model that training began with, once it is known.
        experience: of an answer that was drawn for reinforcement.
    """

    sequences: tuple[TokenizedConversation, ...]
    margin: float = 0.0
    reference: tuple[float, ...] | None = None
    experience: Experience | None = None

    @property
    def tells(self) -> bool:
        """Whether it moves a model: an answer as good as its siblings does not, nor a divergence that is still 0."""
        return self.experience is None or self.experience.advantage != 0
