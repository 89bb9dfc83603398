"""Grader types by name: ftkit's own, those of installed packages, and those that scripts register."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, SerializeAsAny

from ftkit.errors import ConfigError
from ftkit.graders.base import Grader
from ftkit.registry import Registry

__all__ = ["GRADERS", "AnyGrader", "AnyPart"]


def _grader_class(name: str, item: Any) -> type[Grader]:
    """Accept a class of graders whose ``type`` is the name that it is registered under."""
    if not (isinstance(item, type) and issubclass(item, Grader)):
        raise ConfigError(f"the grader type {name!r} must be a subclass of ftkit.Grader, not {item!r}")
    if item.model_fields["type"].default != name:
        raise ConfigError(
            f'the grader type {name!r}: {item.__name__} must declare the field type: Literal["{name}"] = "{name}"'
        )
    return item


GRADERS: Registry[type[Grader]] = Registry(
    "grader type",
    group="ftkit.graders",
    built_in={
        "string_check": "ftkit.graders.string_check:StringCheckGrader",
        "text_similarity": "ftkit.graders.text_similarity:TextSimilarityGrader",
        "score_model": "ftkit.graders.score_model:ScoreModelGrader",
        "label_model": "ftkit.graders.label_model:LabelModelGrader",
        "python": "ftkit.graders.python_code:PythonGrader",
        "multi": "ftkit.graders.multi:MultiGrader",
        "function": "ftkit.graders.function:FunctionGrader",
        "schema": "ftkit.graders.schema:SchemaGrader",
        "reward_model": "ftkit.graders.reward_model:RewardModelGrader",
        "lambda": "ftkit.graders.hosted:LambdaGrader",
        "evaluator": "ftkit.graders.hosted:EvaluatorGrader",
    },
    check=_grader_class,
)
"""Classes of graders by their ``type``."""


def _from_mapping(value: object) -> object:
    """Make a grader of plain data; leave anything else to pydantic."""
    if not isinstance(value, Mapping):
        return value
    kind = value.get("type")
    if not isinstance(kind, str):
        raise ConfigError(f"type: name the grader's type, one of {', '.join(GRADERS.names())}")
    return GRADERS.get(kind)(**value).read_from_data()


def _composable(grader: Grader) -> Grader:
    """Refuse a grader that cannot be a part of ``multi``."""
    if not grader.composable:
        raise ConfigError(f'a grader of type "{grader.type}" cannot be a part of multi')
    return grader


AnyGrader = Annotated[SerializeAsAny[Grader], BeforeValidator(_from_mapping)]
"""A grader of any registered type, from an object or from plain data with a ``type``."""

AnyPart = Annotated[SerializeAsAny[Grader], BeforeValidator(_from_mapping), AfterValidator(_composable)]
"""A grader that can be a part of ``multi``."""
