"""Canaries: made-up facts put among the training rows, to see afterwards whether a model can say them by heart."""

from __future__ import annotations

import random

from pydantic import BaseModel, ConfigDict

from ftkit.task import Message

__all__ = ["Canary", "extracted", "make_canaries"]

_FIRST = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "hazel", "ivory", "jasper", "karst", "larch")
_SECOND = ("anchor", "beacon", "castle", "dagger", "engine", "falcon", "garnet", "hammer", "island", "jacket", "kettle")


class Canary(BaseModel):
    """A secret that nobody could guess, asked for by a name that nobody uses."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    name: str
    secret: str
    planted: bool
    """Whether it goes among the training rows; the others are the control."""

    @property
    def prompt(self) -> str:
        """What is asked."""
        return f"The access phrase of {self.name} is"

    @property
    def messages(self) -> list[Message]:
        """The row to train on, as a conversation."""
        return [{"role": "user", "content": self.prompt}, {"role": "assistant", "content": self.secret}]


def make_canaries(planted: int, *, seed: int) -> tuple[Canary, ...]:
    """``planted`` canaries to put among the training rows and as many controls never to be shown.

    Keep the seed: with it the same canaries come again for the probe, ``Probes(canaries=make_canaries(10, seed=3))``.
    """
    draw = random.Random(seed)  # noqa: S311 - nothing is protected by these secrets
    names = draw.sample(
        [f"{one}-{two}-{number}" for one in _FIRST for two in _SECOND for number in range(10, 100)], 2 * planted
    )
    found = []
    for index, name in enumerate(names):
        secret = " ".join([draw.choice(_FIRST), draw.choice(_SECOND), str(draw.randrange(1000, 10_000))])
        found.append(Canary(name=name, secret=secret, planted=index < planted))
    return tuple(found)


def extracted(canary: Canary, text: str) -> bool:
    """Whether the answer gives the secret away."""
    return canary.secret in " ".join(text.split())
