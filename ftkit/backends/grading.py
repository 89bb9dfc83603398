"""What the grader of a run may use: models of every backend, by their names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from ftkit.backends.answer import Answer, Request, Sampling
from ftkit.errors import ModelError
from ftkit.graders import Setting
from ftkit.schema import Output
from ftkit.task import Message

if TYPE_CHECKING:
    from ftkit.backends.protocol import Backend
    from ftkit.recipe import RFT

__all__ = ["setting_of"]


def setting_of(recipe: RFT) -> Setting:
    """What ``recipe`` allows its grader. Models are reached by name, ``"backend:model"``, and kept loaded."""
    return Setting(ask=_ask, scores=_scores, allow_python=recipe.allow_python, isolation=recipe.isolation)


def _ask(
    model: str,
    prompts: Sequence[Sequence[Message]],
    *,
    output: Output | None,
    max_output_tokens: int,
    temperature: float,
    top_p: float,
    seed: int,
) -> list[Answer]:
    requests = [Request(messages=list(prompt), output=output) for prompt in prompts]
    sampling = Sampling(
        max_output_tokens=max_output_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        constrained=output is not None,
    )
    return _backend(model).answerer().answer_many(requests, sampling)


def _scores(model: str, conversations: Sequence[Sequence[Message]]) -> list[float]:
    scores = getattr(_backend(model), "scores", None)
    if scores is None:
        raise ModelError(f"{model}: reward models are asked on this machine alone, as local:<run>")
    found: list[float] = scores(conversations)
    return found


@cache
def _backend(name: str) -> Backend:
    from ftkit.backends.registry import backend_of

    return backend_of(name)
