"""How graders reach models: backends that answer, score or embed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from ftkit.backends.answer import Request
from ftkit.backends.protocol import Backend
from ftkit.backends.registry import backend_of, known_backends
from ftkit.errors import ConfigError
from ftkit.graders import Embed, GraderContext, Isolation, Limits
from ftkit.recipe import Recipe
from ftkit.results.answer import Answer, Sampling
from ftkit.schema import Output
from ftkit.task import Message

__all__ = ["ask_model", "embedder_of", "grading_setting", "known_role", "score_with", "scores_of", "setting_of"]


def grading_setting(
    *,
    allow_python: bool = False,
    isolation: Isolation = "kernel",
    limits: Limits | None = None,
    embedder: str | None = None,
    workers: int = 8,
) -> GraderContext:
    """Build a context in which graders reach every model that :class:`ftkit.Model` and :class:`ftkit.Scorer` reach.

    Args:
        allow_python: whether ``python`` graders may run, and functions that a file names.
        isolation: how their code is isolated.
        limits: what they may use; OpenAI's limits when left out.
        embedder: the model that embeds texts for ``cosine``, e.g. ``"openai:text-embedding-3-large"``.
        workers: graders, and sandboxes, that run at the same time.

    Returns:
        The context.

    Raises:
        ConfigError: there is no such embedder.
    """
    return GraderContext(
        ask=ask_model,
        asks_reasoning=True,
        scores=score_with,
        embed=None if embedder is None else embedder_of(embedder),
        workers=workers,
        allow_python=allow_python,
        isolation=isolation,
        limits=limits or Limits(),
    )


def setting_of(recipe: Recipe, *, checked: bool = False) -> GraderContext:
    """Return what a recipe allows its grader.

    Args:
        recipe: of any kind; one that grades nothing allows nothing.
        checked: whether the grader was checked when the run was submitted. The worker of a run reads its recipe from a
            file, as which every function would look like one that a file names.

    Returns:
        What the grader may use.
    """
    options = recipe.grading
    if options is None:
        return GraderContext()
    setting = grading_setting(allow_python=options.allow_python, isolation=options.isolation, embedder=options.embedder)
    return dataclasses.replace(setting, allow_functions=checked)


def ask_model(
    model: str,
    prompts: Sequence[Sequence[Message]],
    *,
    output: Output | None,
    max_output_tokens: int,
    temperature: float | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    **options: Any,
) -> list[Answer]:
    """Ask a model for a grader; see :class:`ftkit.graders.Ask`.

    Args:
        model: ``"backend:model"``; a name without a known backend is OpenAI's.
        prompts: the conversations.
        output: schema of the answers. Local models are constrained to it token by token, hosted ones if the host can.
        max_output_tokens: longest answer, in tokens.
        temperature: 0 takes the most likely token each time, and is the default.
        top_p: nucleus sampling.
        seed: seed of the random numbers.
        **options: ``reasoning_effort``, how much a reasoning model reasons before it answers.

    Returns:
        The answers in the order of the prompts.

    Raises:
        ConfigError: there is no backend of that name.
        ModelError: the model cannot answer at all.
    """
    prefix = model.partition(":")[0]
    answerer = backend_of(model if prefix in known_backends() else f"openai:{model}").answerer()
    given = {"temperature": temperature, "top_p": top_p, "seed": seed, **options}
    written = {name: value for name, value in given.items() if value is not None}
    sampling = Sampling(max_output_tokens=max_output_tokens, constrained=output is not None, **written)
    return answerer.answer_many(
        [Request([known_role(message) for message in prompt], output=output) for prompt in prompts], sampling
    )


def score_with(model: str, conversations: Sequence[Sequence[Message]]) -> list[float]:
    """Score the last turn of each conversation with a reward model.

    Args:
        model: ``"backend:model"``.
        conversations: each ends with an assistant turn.

    Returns:
        One score per conversation.

    Raises:
        ConfigError: the backend has no reward models.
        ModelError: this is not a reward model.
        DataError: a conversation does not end with an answer, or is too long.
    """
    return scores_of(backend_of(model))(conversations)


def scores_of(backend: Backend) -> Callable[[Sequence[Sequence[Message]]], list[float]]:
    """Return a backend's function from conversations to scores.

    Args:
        backend: the backend.

    Returns:
        Its ``scores`` method.

    Raises:
        ConfigError: it has none.
    """
    scores: Callable[[Sequence[Sequence[Message]]], list[float]] | None = getattr(backend, "scores", None)
    if scores is None:
        raise ConfigError(f"the backend {backend.name!r} gives no scores; reward models are local")
    return scores


def embedder_of(model: str) -> Embed:
    """Return a function from texts to embeddings. Nothing is loaded or asked yet.

    Args:
        model: ``"backend:model"``.

    Returns:
        The backend's ``embeddings`` method.

    Raises:
        ConfigError: there is no backend of that name, or it has no embeddings.
    """
    backend = backend_of(model)
    embed: Embed | None = getattr(backend, "embeddings", None)
    if embed is None:
        raise ConfigError(
            f"embedder {model!r}: the backend {backend.name!r} gives no embeddings; local models do, and hosts of "
            "OpenAI's API"
        )
    return embed


def known_role(message: Message) -> Message:
    """Replace the role ``developer``, which only OpenAI's reasoning models know, by ``system``.

    Args:
        message: the message.

    Returns:
        The message with a role that every chat template knows.
    """
    return {**message, "role": "system"} if message.get("role") == "developer" else message
