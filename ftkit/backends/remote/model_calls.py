"""Calls to models, on the other machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ftkit.backends.local import LocalBackend
from ftkit.backends.remote.messages import Tell, answer_to_wire, request_from_wire
from ftkit.results.answer import Sampling
from ftkit.task import Message

__all__ = [
    "about",
    "answer",
    "close",
    "divergences",
    "embeddings",
    "known_task",
    "room_for_another",
    "scores",
    "text_losses",
]


def known_task(model: str, tell: Tell) -> dict[str, Any] | None:
    """Return the task that a model was tuned for.

    Args:
        model: the model's name here.
        tell: not used.

    Returns:
        The task's fields; None if it is not known.
    """
    task = LocalBackend(model).known_task()
    return None if task is None else task.model_dump(mode="json")


def answer(
    model: str, requests: list[dict[str, Any]], numbers: list[int], sampling: dict[str, Any], tell: Tell
) -> None:
    """Answer requests; each answer is sent as soon as it is complete.

    Args:
        model: the model's name here.
        requests: the requests.
        numbers: the number of each among all that are asked, on which its random numbers depend.
        sampling: how answers are sampled.
        tell: receives ``[number, answer]``.
    """
    asked = [request_from_wire(each) for each in requests]
    LocalBackend(model).answerer().answer_many(
        asked,
        Sampling(**sampling),
        lambda place, made: tell([numbers[place], answer_to_wire(made)]),
        numbers=numbers,
    )


def about(model: str, tell: Tell) -> dict[str, Any]:
    """Describe a model; see :class:`ftkit.backends.Answerer`.

    Args:
        model: the model's name here.
        tell: not used.

    Returns:
        Plain JSON values.
    """
    return LocalBackend(model).weights().about()


def scores(model: str, conversations: Sequence[Sequence[Message]], tell: Tell) -> list[float]:
    """Score conversations with a reward model.

    Args:
        model: the model's name here.
        conversations: each ends with an assistant turn.
        tell: not used.

    Returns:
        One score per conversation.
    """
    return LocalBackend(model).scores(conversations)


def embeddings(model: str, texts: list[str], tell: Tell) -> list[list[float]]:
    """Embed texts.

    Args:
        model: the model's name here.
        texts: the texts.
        tell: not used.

    Returns:
        One vector per text.
    """
    return LocalBackend(model).embeddings(texts)


def text_losses(model: str, texts: list[str], tell: Tell) -> list[tuple[float, int]]:
    """Measure how likely texts are.

    Args:
        model: the model's name here.
        texts: the texts.
        tell: not used.

    Returns:
        For each text its negative log-likelihood in nats and its number of tokens.
    """
    return LocalBackend(model).weights().text_losses(texts)


def divergences(
    model: str, base: str, conversations: Sequence[Sequence[Message]], tell: Tell
) -> list[tuple[float, int]]:
    """Measure KL(base ‖ model) over the last turns of conversations.

    Args:
        model: the model's name here.
        base: the other model's.
        conversations: each ends with an assistant turn.
        tell: not used.

    Returns:
        For each conversation the divergence in nats and its number of tokens.
    """
    return LocalBackend(model).weights().divergence_from(LocalBackend(base).weights(), conversations)


def room_for_another(model: str, tell: Tell) -> bool:
    """Say whether a second model of this size fits beside this one.

    Args:
        model: the model's name here.
        tell: not used.

    Returns:
        Whether it fits.
    """
    return LocalBackend(model).weights().room_for_another()


def close(model: str, tell: Tell) -> None:
    """Unload a model.

    Args:
        model: the model's name here.
        tell: not used.
    """
    LocalBackend(model).close()
