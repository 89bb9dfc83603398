"""Multiple choice by likelihood: how probable a model finds the right end of a short sentence among four.

The model writes nothing, so the form of its answers does not matter, and a guess is right in a quarter of the cases.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict

from ftkit.results.probe_results import ChoiceProbabilities

__all__ = ["ChoiceItem", "choice_items", "choice_probabilities"]


class ChoiceItem(BaseModel):
    """A multiple-choice item: a sentence without its last words, one right ending and three wrong ones."""

    model_config = ConfigDict(frozen=True)

    id: str
    text: str
    right: str
    wrong: tuple[str, ...]

    @property
    def texts(self) -> list[str]:
        """The whole sentences, the right one first."""
        return [f"{self.text} {end}." for end in (self.right, *self.wrong)]


@cache
def choice_items() -> tuple[ChoiceItem, ...]:
    """Load the sentences.

    Returns:
        The items.
    """
    text = (files("ftkit.evaluation.probes") / "choices.jsonl").read_text(encoding="utf-8")
    return tuple(ChoiceItem(**json.loads(line)) for line in text.splitlines())


def choice_probabilities(
    text_losses: Callable[[Sequence[str]], Sequence[tuple[float, int]] | None],
) -> ChoiceProbabilities | None:
    """Measure the probability of the right end of each sentence among its four ends.

    The beginning is the same for all four, so it cancels: the probability is the softmax of the whole sentences'
    log-likelihoods.

    Args:
        text_losses: computes the negative log-likelihood in nats and the number of tokens of each text.

    Returns:
        The probabilities; None if the model gives none.
    """
    items = choice_items()
    losses = text_losses([text for item in items for text in item.texts])
    if losses is None:
        return None
    remaining = iter(losses)
    by_item = [[next(remaining)[0] for _ in item.texts] for item in items]
    return ChoiceProbabilities(
        ids=tuple(item.id for item in items),
        right=tuple(1 / sum(math.exp(min(own[0] - loss, 700.0)) for loss in own) for own in by_item),
        best=tuple(own[0] < min(own[1:]) for own in by_item),
    )
