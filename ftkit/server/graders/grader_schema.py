"""Parse and check the graders that clients send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ftkit.backends.grading import setting_of
from ftkit.errors import ConfigError, FtkitError, MissingExtraError
from ftkit.graders import (
    Grader,
    GraderContext,
    LabelModelGrader,
    MultiGrader,
    PythonGrader,
    ScoreModelGrader,
    grader_of,
)
from ftkit.server.errors import ApiError
from ftkit.server.model_names import ModelNames
from ftkit.server.settings import Settings

__all__ = ["check_grader", "grader_models", "grader_setting", "parse_grader", "with_sources"]

_MAX_PARTS = 32
"""Most graders in a ``multi``. Each may call a model or start a sandbox."""
_MAX_MESSAGE = 2_000
_TYPES = ("string_check", "text_similarity", "score_model", "python", "multi")
_PARTS = ("string_check", "text_similarity", "score_model", "label_model", "python")
"""Types that OpenAI's API accepts, and those that it accepts in ``multi``. ftkit's own types refer to code and folders
of this machine, so clients cannot use them."""


def parse_grader(form: Mapping[str, Any], param: str) -> Grader:
    """Parse a client's grader, in a worker process. :func:`check_grader` says whether this server can run it.

    Args:
        form: the grader as sent by the client.
        param: its parameter in the request.

    Returns:
        The grader.

    Raises:
        ApiError: 400 if the grader is invalid or not available to clients.
    """
    _check_type(form, param, _TYPES)
    parts = form.get("graders")
    if form["type"] == "multi" and isinstance(parts, dict):
        if len(parts) > _MAX_PARTS:
            message = f"Invalid grader: it has {len(parts):,} parts, and the limit is {_MAX_PARTS}."
            raise ApiError(400, message, param=f"{param}.graders", code="invalid_value")
        for name, part in parts.items():
            if isinstance(part, dict):
                _check_type(part, f"{param}.graders.{name}", _PARTS)
    try:
        return grader_of(dict(form))
    except FtkitError as error:
        raise ApiError(400, f"Invalid grader: {_shortened(str(error))}.", param=param, code="invalid_value") from None


def check_grader(grader: Grader, param: str, settings: Settings) -> None:
    """Check that this server can run a client's grader. Its models are resolved by :func:`grader_models`.

    Args:
        grader: the grader.
        param: its parameter in the request.
        settings: whether Python graders are allowed, and their sandbox.

    Raises:
        ApiError: 400 if it cannot.
    """
    try:
        setting = grader_setting(settings, grader)
    except FtkitError as error:
        raise ApiError(400, f"Invalid grader: {_shortened(str(error))}.", param=param, code="invalid_value") from None
    if not setting.allow_python and any(isinstance(part, PythonGrader) for part in _graders(grader)):
        raise ApiError(
            400,
            "This server does not run Python graders, because they are untrusted code. Its owner can allow them, in a "
            "sandbox, with `ftkit serve --allow-python`.",
            param=param,
            code="unsupported_grader",
        )
    try:
        grader.check(setting)
    except (ConfigError, MissingExtraError) as error:
        message = f"This server cannot run this grader: {error}"
        raise ApiError(400, message, param=param, code="unsupported_grader") from None


def grader_setting(settings: Settings, grader: Grader) -> GraderContext:
    """Return the setting in which a grader runs, in jobs and for ``/run``.

    Args:
        settings: the server's settings.
        grader: the grader.

    Returns:
        Sandbox, embedder and other resources of the grader.
    """
    return setting_of(settings.recipe_of("rft", grader=grader))


def grader_models(grader: Grader, names: ModelNames, project: str, param: str) -> dict[str, str]:
    """Resolve the models that a grader calls.

    Args:
        grader: the grader.
        names: the server's models.
        project: the project of the request.
        param: parameter of the grader in the request.

    Returns:
        The local backend's name of each model, by the client's name.

    Raises:
        ApiError: 400 if this server has no such model.
    """
    sources = {}
    for part in _graders(grader):
        if isinstance(part, ScoreModelGrader | LabelModelGrader):
            try:
                sources[part.model] = names.resolve(part.model, project).source
            except ApiError as error:
                raise ApiError(400, error.message, param=f"{param}.model", code="model_not_found") from None
    return sources


def with_sources(grader: Grader, sources: Mapping[str, str]) -> Grader:
    """Replace the names of a grader's models by those of the local backend, for a run's worker.

    Args:
        grader: the grader.
        sources: from :func:`grader_models`.

    Returns:
        The changed grader.
    """
    if isinstance(grader, MultiGrader):
        parts = {name: with_sources(part, sources) for name, part in grader.graders.items()}
        return grader.model_copy(update={"graders": parts})
    if isinstance(grader, ScoreModelGrader | LabelModelGrader):
        return grader.model_copy(update={"model": f"local:{sources[grader.model]}"})
    return grader


def _graders(grader: Grader) -> tuple[Grader, ...]:
    return tuple(grader.graders.values()) if isinstance(grader, MultiGrader) else (grader,)


def _shortened(message: str) -> str:
    return message if len(message) <= _MAX_MESSAGE else message[:_MAX_MESSAGE] + "…"


def _check_type(form: Mapping[str, Any], param: str, known: tuple[str, ...]) -> None:
    kind = form.get("type")
    if kind in known:
        return
    listed = ", ".join(known)
    if kind == "label_model":
        message = "A label_model grader is only supported inside of 'multi', as at OpenAI."
    else:
        message = f"Invalid value for '{param}.type': {str(kind)[:40]!r} is not one of {listed}."
    raise ApiError(400, message, param=f"{param}.type", code="invalid_value")
