"""Training examples in tokens: token ids, and the mask of supervised tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bools", "Example", "Experience", "Floats", "Ints", "TeacherTokens", "TokenizedConversation"]

Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TokenizedConversation:
    """One conversation in tokens.

    Attributes:
        ids: token ids, int32 [tokens].
        supervised: which tokens have a loss, bool [tokens]; never the first.
    """

    ids: Ints
    supervised: Bools


@dataclass(frozen=True, slots=True)
class Experience:
    """Data on a rollout, an answer that was sampled; arrays are float32 [supervised tokens].

    Attributes:
        advantage: advantage over the other answers to the prompt.
        weight: weight of each of its tokens in the loss of its batch.
        sampled: log-probability of each token when it was sampled, computed by the sampler.
        old: the same, computed by the trainer; None as long as the model has not changed since.
        reference: log-probability of each token under the reference model; None if the loss does not need it.
        correction: weight of each token for what the sampler computes otherwise than the trainer; None is 1.
    """

    advantage: float
    weight: float
    sampled: Floats
    old: Floats | None = None
    reference: Floats | None = None
    correction: Floats | None = None


@dataclass(frozen=True, slots=True)
class TeacherTokens:
    """What a teacher says of each supervised token of a sequence.

    Attributes:
        tokens: ids of its likeliest tokens, int32 [supervised tokens, k]; a position with fewer repeats its first one.
        logprobs: their log-probabilities, float32 [supervised tokens, k]; minus infinity where a token is repeated.
        rest: log-probability of all other tokens together, float32 [supervised tokens].
    """

    tokens: Ints
    logprobs: Floats
    rest: Floats


@dataclass(frozen=True, slots=True)
class Example:
    """Sequences with a common loss: one of a demonstration; chosen, then rejected, of a preference.

    Attributes:
        sequences: the conversations.
        labels: whether each sequence's answer is a good one, for KTO; empty for other losses.
        margin: least difference of the scores, for reward models.
        reference: log-probability of each sequence under the reference model, once it is computed.
        weight: weight of the part of the loss that is averaged over tokens, which depends on the batch.
        divergence: estimate of KL(model ‖ reference) on the example's batch, for KTO.
        experience: data on a rollout, in reinforcement fine-tuning.
        teacher: what a teacher says of the tokens of its only sequence, in distillation.
    """

    sequences: tuple[TokenizedConversation, ...]
    margin: float = 0.0
    labels: tuple[bool, ...] = ()
    reference: tuple[float, ...] | None = None
    weight: float = 1.0
    divergence: float = 0.0
    experience: Experience | None = None
    teacher: TeacherTokens | None = None

    @property
    def learns(self) -> bool:
        """Whether its gradient is not zero: that of a rollout is, if its advantage is zero."""
        return self.experience is None or self.experience.advantage != 0
