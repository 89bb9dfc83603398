"""A client's grader: OpenAI's JSON, held to what a client may ask of this server."""

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
from ftkit.recipe import RFT
from ftkit.server.errors import ApiError
from ftkit.server.model_names import ModelNames
from ftkit.server.settings import Settings

__all__ = ["grader_models", "grader_setting", "parse_grader", "with_sources"]

_TYPES = ("string_check", "text_similarity", "score_model", "python", "multi")
_PARTS = ("string_check", "text_similarity", "score_model", "label_model", "python")
"""What OpenAI's API takes, by itself and inside of ``multi``. ftkit's own types name code and folders of this machine,
which is no matter of a client's."""


def parse_grader(form: Mapping[str, Any], param: str, settings: Settings) -> Grader:
    """The grader that a client asks for. Looks at no model yet, see :func:`grader_models`.

    Args:
        form: as it came.
        param: where it stood in the request.
        settings: whether Python may run, and how it is kept apart.

    Raises:
        ApiError: 400: it is none, a client may not ask for it, or this server cannot run it.
    """
    _check_type(form, param, _TYPES)
    parts = form.get("graders")
    if form["type"] == "multi" and isinstance(parts, dict):
        for name, part in parts.items():
            if isinstance(part, dict):
                _check_type(part, f"{param}.graders.{name}", _PARTS)
    try:
        grader = grader_of(dict(form))
        setting = grader_setting(settings, grader)
    except FtkitError as error:
        raise ApiError(400, f"Invalid grader: {error}.", param=param, code="invalid_value") from None
    if not setting.allow_python and any(isinstance(one, PythonGrader) for one in _graders(grader)):
        raise ApiError(
            400,
            "This server runs no Python graders, because they are foreign code. Its owner allows them, in a "
            "sandbox, with `ftkit serve --allow-python`.",
            param=param,
            code="unsupported_grader",
        )
    try:
        grader.check(setting)
    except (ConfigError, MissingExtraError) as error:
        message = f"This server cannot run this grader: {error}"
        raise ApiError(400, message, param=param, code="unsupported_grader") from None
    return grader


def grader_setting(settings: Settings, grader: Grader) -> GraderContext:
    """What the grader may use here, in jobs and when it is tried out."""
    recipe = settings.recipe_of("rft", grader=grader)
    assert isinstance(recipe, RFT)  # noqa: S101  (by its kind)
    return setting_of(recipe)


def grader_models(grader: Grader, names: ModelNames, project: str, param: str) -> dict[str, str]:
    """The models that the grader asks, each with its name for ftkit's local backend.

    Raises:
        ApiError: 400, this server has no model of that name.
    """
    found = {}
    for one in _graders(grader):
        if isinstance(one, ScoreModelGrader | LabelModelGrader):
            try:
                found[one.model] = names.resolve(one.model, project).source
            except ApiError as error:
                raise ApiError(400, error.message, param=f"{param}.model", code="model_not_found") from None
    return found


def with_sources(grader: Grader, sources: Mapping[str, str]) -> Grader:
    """The grader as a run's worker takes it: its models by their names for the local backend.

    Args:
        sources: see :func:`grader_models`.
    """
    if isinstance(grader, MultiGrader):
        parts = {name: with_sources(part, sources) for name, part in grader.graders.items()}
        return grader.model_copy(update={"graders": parts})
    if isinstance(grader, ScoreModelGrader | LabelModelGrader):
        return grader.model_copy(update={"model": f"local:{sources[grader.model]}"})
    return grader


def _graders(grader: Grader) -> tuple[Grader, ...]:
    return tuple(grader.graders.values()) if isinstance(grader, MultiGrader) else (grader,)


def _check_type(form: Mapping[str, Any], param: str, known: tuple[str, ...]) -> None:
    kind = form.get("type")
    if kind in known:
        return
    listed = ", ".join(known)
    if kind == "label_model":
        message = "A label_model grader stands inside of 'multi' only, as at OpenAI."
    else:
        message = f"Invalid value for '{param}.type': {str(kind)[:40]!r} is none of {listed}."
    raise ApiError(400, message, param=f"{param}.type", code="invalid_value")
