"""What graders need of the backends: models that answer, reward models that score."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
    """A setting in which graders reach every model that :class:`ftkit.Model` and :class:`ftkit.Scorer` reach.

    Args:
        allow_python: whether ``python`` graders may run.
        isolation: how they are kept apart.
        limits: what they may use; OpenAI's limits when left out.
        embedder: the model that embeds texts for ``cosine``, e.g. ``"openai:text-embedding-3-large"``.
        workers: graders, and sandboxes, that run at the same time.

    Raises:
        ConfigError: no such embedder.
    """
    return GraderContext(
        ask=ask_model,
        scores=score_with,
        embed=None if embedder is None else embedder_of(embedder),
        workers=workers,
        allow_python=allow_python,
        isolation=isolation,
        limits=limits or Limits(),
    )


def setting_of(recipe: Recipe) -> GraderContext:
    """Return what a recipe allows its grader.

    Args:
        recipe: of any kind; one that grades nothing allows nothing.

    Returns:
        What the grader may use.
    """
    options = recipe.grading
    if options is None:
        return GraderContext()
    return grading_setting(allow_python=options.allow_python, isolation=options.isolation, embedder=options.embedder)


def ask_model(
    model: str,
    prompts: Sequence[Sequence[Message]],
    *,
    output: Output | None,
    max_output_tokens: int,
    temperature: float,
    top_p: float,
    seed: int,
) -> list[Answer]:
    """See :class:`ftkit.graders.Ask`. A local model is held to ``output`` token by token, a hosted one where its host
    can do so.

    Raises:
        ConfigError: no backend of that name.
        ModelError: the model cannot answer at all.
    """
    prefix = model.partition(":")[0]
    answerer = backend_of(model if prefix in known_backends() else f"openai:{model}").answerer()
    drawn = Sampling(
        max_output_tokens=max_output_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        constrained=output is not None,
    )
    return answerer.answer_many(
        [Request([known_role(one) for one in prompt], output=output) for prompt in prompts], drawn
    )


def score_with(model: str, conversations: Sequence[Sequence[Message]]) -> list[float]:
    """The scores that a reward model gives to the last turn of each conversation.

    Raises:
        ConfigError: the backend gives no scores.
        ModelError: this is no reward model.
        DataError: a conversation does not end with an answer, or is too long.
    """
    return scores_of(backend_of(model))(conversations)


def scores_of(backend: Backend) -> Callable[[Sequence[Sequence[Message]]], list[float]]:
    """The backend's function from conversations to scores.

    Raises:
        ConfigError: it has none.
    """
    scores: Callable[[Sequence[Sequence[Message]]], list[float]] | None = getattr(backend, "scores", None)
    if scores is None:
        raise ConfigError(f"the backend {backend.name!r} gives no scores; reward models are local")
    return scores


def embedder_of(model: str) -> Embed:
    """The function from texts to embeddings of a model that a backend names. Nothing is loaded or asked yet.

    Raises:
        ConfigError: no backend of that name, or one that gives no embeddings.
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
    """``developer`` is ``system`` to OpenAI's reasoning models, which take both; templates of others lack it."""
    return {**message, "role": "system"} if message.get("role") == "developer" else message
