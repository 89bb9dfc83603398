"""What a recipe's evaluations are measured by: a metric's name or a grader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter

from ftkit.errors import ConfigError
from ftkit.graders import AnyGrader, Grader

__all__ = ["EvalMetric"]

_GRADER: TypeAdapter[Grader] = TypeAdapter(AnyGrader)


def _read(value: object) -> object:
    """A grader of its plain form; anything else that is neither a name nor a grader is refused by name."""
    if value is None or isinstance(value, Grader):
        return value
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("is empty; write the name of a metric")
        return value
    if isinstance(value, Mapping):
        try:
            return _GRADER.validate_python(value)
        except ConfigError as error:
            raise ValueError(str(error)) from None
    name = getattr(value, "name", None) or getattr(value, "__name__", None)
    advice = "name one metric, or give one grader"
    if callable(value) or name is not None:
        advice = "register it with @ftkit.evaluation.metric(name) in a module that can be imported, and give the name"
    raise ValueError(f"{name or type(value).__name__} is neither the name of a metric nor a grader; {advice}")


EvalMetric = Annotated[
    str | Grader | None,
    BeforeValidator(_read),
    PlainSerializer(lambda value: value.model_dump(mode="json") if isinstance(value, Grader) else value),
]
"""The name of a metric, a grader (or its JSON), or None."""
