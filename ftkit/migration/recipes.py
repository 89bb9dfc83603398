"""The old job's recipe at another backend."""

from __future__ import annotations

from ftkit.backends import Backend
from ftkit.errors import RefusedError
from ftkit.migration.rows import MigrationRows
from ftkit.recipe import Recipe

__all__ = ["fit_recipe"]

_FROM_JOB = (
    *("epochs", "batch_size", "seed", "beta"),
    *("eval_steps", "eval_generations", "compute_multiplier", "reasoning_effort"),
)


def fit_recipe(backend: Backend, rows: MigrationRows) -> tuple[Recipe, list[str]]:
    """Return the recipe for a backend.

    A value that the old job had and this backend refuses becomes the backend's own, because nobody chose it for this
    backend. A recipe that the user gave is never changed.

    Args:
        backend: the backend.
        rows: the rows and the recipe.

    Returns:
        The recipe, and one sentence for each changed value.

    Raises:
        RefusedError: the backend does not support the recipe.
    """
    recipe, changes = rows.recipe, []
    while True:
        try:
            backend.check(recipe, rows.train, rows.validation)
        except RefusedError as error:
            own = {name: field.default for name, field in type(recipe).model_fields.items()}
            given = [name for name in error.fields if name in _FROM_JOB and getattr(recipe, name) != own[name]]
            if not rows.recipe_from_job or not given or len(given) != len(error.fields):
                raise
            changes += [
                f"{name} is {backend.name}'s own, because it refuses the old job's {getattr(recipe, name)}"
                for name in given
            ]
            recipe = recipe.model_copy(update={name: own[name] for name in given})
        else:
            return recipe, changes
