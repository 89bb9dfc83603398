"""Every kind of recipe by name, and reading recipes from YAML."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ftkit.arguments import explain_calls
from ftkit.errors import ConfigError
from ftkit.named_files import read_small_text
from ftkit.recipe.base import Recipe
from ftkit.registry import Registry, subclass_check
from ftkit.schema.validation_errors import refusals
from ftkit.yaml_text import read_yaml

__all__ = ["LOSSES", "RecipeFile", "load_recipe", "load_recipe_file", "parse_recipe"]


_SECTIONS = {"run": "`ftkit train` and `ftkit sweep`", "grid": "`ftkit sweep`"}
_RUN_KEYS = ("name", "tags", "notes", "trackers")


LOSSES: Registry[type[Recipe]] = Registry(
    "loss",
    group="ftkit.losses",
    built_in={
        "sft": "ftkit.recipe.sft:SFT",
        "dpo": "ftkit.recipe.dpo:DPO",
        "kto": "ftkit.recipe.kto:KTO",
        "orpo": "ftkit.recipe.orpo:ORPO",
        "simpo": "ftkit.recipe.simpo:SimPO",
        "cpt": "ftkit.recipe.cpt:CPT",
        "distillation": "ftkit.recipe.distillation:Distillation",
        "gkd": "ftkit.recipe.gkd:GKD",
        "reward": "ftkit.recipe.reward_model:RewardModel",
        "rft": "ftkit.recipe.rft:RFT",
    },
    check=subclass_check("loss", Recipe, "ftkit.recipe.Recipe"),
)
"""Every kind of recipe by its ``kind``. Packages add theirs in the entry-point group ``ftkit.losses``, scripts with
``@LOSSES.register("name")``."""


def parse_recipe(data: Mapping[str, Any], *, place: str = "") -> Recipe:
    """Make a recipe from its dumped form.

    Args:
        data: ``kind`` and any of the recipe's fields.
        place: where the data were read, as the beginning of a message, e.g. ``"recipe.yaml: "``.

    Returns:
        The recipe.

    Raises:
        ConfigError: an unknown ``kind``, or a field that is unknown or out of range.
    """
    kind = data.get("kind")
    recipe = LOSSES.find(kind) if isinstance(kind, str) else None
    if recipe is None:
        raise ConfigError(f"{place}kind: there is no recipe {kind!r}; known are {', '.join(sorted(LOSSES.names()))}")
    try:
        return recipe.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{place}{refusals(error, recipe, data)}") from None


@explain_calls(instead='ft.load_recipe("recipe.yaml")')
def load_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read a recipe from a YAML file: a mapping with ``kind`` and any of the recipe's fields.

    Args:
        path: the file.

    Returns:
        The recipe.

    Raises:
        ConfigError: no such file, not YAML, an unknown ``kind``, or a field that is unknown or out of range.
    """
    return load_recipe_file(path).recipe


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """What a file of a recipe holds.

    Attributes:
        recipe: the recipe.
        run: the section ``run``: ``name``, ``tags``, ``notes`` and ``trackers`` of runs with the recipe.
        grid: the section ``grid``: values by field, for a sweep.
    """

    recipe: Recipe
    run: dict[str, Any]
    grid: dict[str, list[Any]]


def load_recipe_file(path: str | os.PathLike[str], sections: Collection[str] = ()) -> RecipeFile:
    """Read a recipe from a YAML file, with the sections beside it that the caller honours.

    Args:
        path: the file.
        sections: ``"run"`` and ``"grid"``, if the caller uses them.

    Returns:
        The recipe and the sections; empty ones where the file has none.

    Raises:
        ConfigError: as for :func:`load_recipe`; or there is a section that the caller does not use, or it is malformed.
    """
    source = Path(path)
    try:
        text = read_small_text(source)
    except OSError as error:
        raise ConfigError(f"{source}: cannot read the recipe: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source}: not valid YAML: {error}") from None
    data = read_yaml(text, str(source), "`kind: sft`")
    found: dict[str, dict[str, Any]] = {}
    for name, used_by in _SECTIONS.items():
        section = data.pop(name, {})
        if section and name not in sections:
            raise ConfigError(f"{source}: the section {name!r} is read by {used_by}; leave it out here")
        if not isinstance(section, dict):
            raise ConfigError(f"{source}: {name} must be a mapping, not {section!r}")
        found[name] = section
    run, grid = found["run"], found["grid"]
    for key in run:
        if key not in _RUN_KEYS:
            raise ConfigError(f"{source}: run has no field {key!r}; it has {', '.join(_RUN_KEYS)}")
        if key in ("tags", "trackers") and not _are_texts(run[key]):
            raise ConfigError(f"{source}: run.{key} must be a list of texts, not {run[key]!r}")
    for key, values in grid.items():
        if not isinstance(key, str) or not isinstance(values, list):
            raise ConfigError(f"{source}: grid.{key} must be a list of values, not {values!r}")
    return RecipeFile(parse_recipe(data, place=f"{source}: "), run, grid)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
