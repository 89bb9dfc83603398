"""Every kind of recipe by name, and reading recipes from YAML."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ftkit.errors import ConfigError
from ftkit.named_files import read_small_text
from ftkit.recipe.base import Recipe
from ftkit.registry import Registry, subclass_check
from ftkit.schema.validation_errors import refusals
from ftkit.yaml_text import read_yaml

__all__ = ["LOSSES", "load_recipe", "parse_recipe"]


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


def load_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read a recipe from a YAML file: a mapping with ``kind`` and any of the recipe's fields.

    Args:
        path: the file.

    Returns:
        The recipe.

    Raises:
        ConfigError: no such file, not YAML, an unknown ``kind``, or a field that is unknown or out of range.
    """
    source = Path(path)
    try:
        text = read_small_text(source)
    except OSError as error:
        raise ConfigError(f"{source}: cannot read the recipe: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source}: not valid YAML: {error}") from None
    return parse_recipe(read_yaml(text, str(source), "`kind: sft`"), place=f"{source}: ")
