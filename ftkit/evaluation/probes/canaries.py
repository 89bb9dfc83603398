"""Canaries: invented secrets planted among the training rows, to test whether a model memorises them."""

from __future__ import annotations

import random

from pydantic import BaseModel, ConfigDict

from ftkit.task import Message

__all__ = ["Canary", "is_extracted", "make_canaries"]

_FIRST = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "hazel", "ivory", "jasper", "karst", "larch")
_SECOND = ("anchor", "beacon", "castle", "dagger", "engine", "falcon", "garnet", "hammer", "island", "jacket", "kettle")


class Canary(BaseModel):
    """A secret that cannot be guessed, asked for by a name that occurs nowhere else."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    name: str
    secret: str
    planted: bool
    """Whether it is planted among the training rows; the others are controls."""

    @property
    def prompt(self) -> str:
        """The text that asks for the secret."""
        return f"The access phrase of {self.name} is"

    @property
    def messages(self) -> list[Message]:
        """The training row, as a conversation."""
        return [{"role": "user", "content": self.prompt}, {"role": "assistant", "content": self.secret}]


def make_canaries(planted: int, *, seed: int) -> tuple[Canary, ...]:
    """Make canaries to plant among the training rows, and as many controls that are never trained on.

    Keep the seed: it makes the same canaries again for the probe, ``Probes(canaries=make_canaries(10, seed=3))``.

    Args:
        planted: number of canaries to plant.
        seed: seed of the names and secrets.

    Returns:
        ``2 * planted`` canaries, the planted ones first.
    """
    generator = random.Random(seed)  # noqa: S311 - nothing is protected by these secrets
    names = generator.sample(
        [f"{first}-{second}-{number}" for first in _FIRST for second in _SECOND for number in range(10, 100)],
        2 * planted,
    )
    canaries = []
    for index, name in enumerate(names):
        words = (generator.choice(_FIRST), generator.choice(_SECOND), str(generator.randrange(1000, 10_000)))
        canaries.append(Canary(name=name, secret=" ".join(words), planted=index < planted))
    return tuple(canaries)


def is_extracted(canary: Canary, text: str) -> bool:
    """Check whether an answer reveals a canary's secret.

    Args:
        canary: the canary.
        text: the answer.

    Returns:
        Whether the secret is in the text, whatever the white space.
    """
    return canary.secret in " ".join(text.split())
