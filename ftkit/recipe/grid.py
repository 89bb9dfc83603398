"""A grid of recipes: one for each combination of values of its fields."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ftkit.arguments import other_name
from ftkit.errors import ConfigError
from ftkit.recipe.base import Recipe
from ftkit.schema.validation_errors import refusals

__all__ = ["expand_grid", "field_values"]

_MOST_RECIPES = 1_000


def expand_grid(recipe: Recipe, grid: Mapping[str, Sequence[Any]]) -> list[Recipe]:
    """Make a recipe for each combination of values.

    Args:
        recipe: the recipe whose fields are changed.
        grid: values by field: ``{"learning_rate": [1e-4, 3e-4], "adapter.rank": [8, 16]}``. An ``adapter`` may be
            changed as a whole, to adapters.

    Returns:
        The recipes; the values of the last field change fastest.

    Raises:
        ConfigError: there is no such field, a value is out of range, a field has no values, or there are more than
            1,000 combinations.
    """
    for name, values in grid.items():
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise ConfigError(f"grid: {name} must be a list of at least one value, not {values!r}")
    count = math.prod(len(values) for values in grid.values())
    if count > _MOST_RECIPES:
        raise ConfigError(f"grid: {count:,} combinations; at most {_MOST_RECIPES:,}")
    return [_changed(recipe, dict(zip(grid, values, strict=True))) for values in itertools.product(*grid.values())]


def field_values(recipe: Recipe) -> dict[str, Any]:
    """Return the fields of a recipe in one mapping, to tell recipes apart.

    Args:
        recipe: the recipe.

    Returns:
        Its dumped fields; ``adapter`` is the adapter's kind, and its fields are ``adapter.<field>``.
    """
    fields: dict[str, Any] = {}
    for name, value in recipe.model_dump(mode="json").items():
        if name == "adapter" and isinstance(value, dict):
            fields["adapter"] = value.get("kind")
            fields |= {f"adapter.{inner}": held for inner, held in value.items() if inner != "kind"}
        else:
            fields[name] = value
    return fields


def _changed(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    data = recipe.model_dump(mode="json")
    for path in sorted(changes, key=lambda name: name.count(".")):  # a whole adapter before its fields
        value = changes[path]
        *parents, last = path.split(".")
        inside: Any = data
        for step in parents:
            inside = inside.get(step) if isinstance(inside, dict) else None
        if not isinstance(inside, dict) or last not in inside:
            fields = field_values(recipe)
            inside_of = {name.rpartition(".")[2] for name in fields if name.rpartition(".")[0] == ".".join(parents)}
            other = other_name(last, inside_of) or f"its fields are {', '.join(fields)}"
            raise ConfigError(f"grid: the recipe has no field {path!r}; {other}")
        inside[last] = value.model_dump(mode="json") if hasattr(value, "model_dump") else value
    try:
        return type(recipe).model_validate(data)
    except ValidationError as error:
        said = ", ".join(f"{name}={value!r}" for name, value in changes.items())
        raise ConfigError(f"grid: {said}: {refusals(error, type(recipe), data)}") from None
