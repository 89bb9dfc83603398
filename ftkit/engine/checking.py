"""What the local engine refuses, known before a worker is started. Quick: imports torch only for who asks for CUDA."""

from __future__ import annotations

from ftkit.engine.source import Source, find_source
from ftkit.errors import RefusedError
from ftkit.recipe import Recipe, RecipeFacts

__all__ = ["check_recipe"]


def check_recipe(recipe: Recipe, model: str, rows: int) -> Source:
    """Refuse what this machine cannot do with ``model``; returns where the model is. Reads no weights.

    Raises:
        RefusedError: names the fields.
        ConfigError: the recipe cannot be resolved for so many rows.
        ModelError: there is no such model.
    """
    recipe.resolve(RecipeFacts(rows=rows))
    if recipe.kind != "sft":
        raise RefusedError(f"the local engine does not train {recipe.kind!r}", backend="local", fields=("kind",))
    if recipe.optimizer == "paged_adamw_8bit" and not _has_cuda():
        raise RefusedError(
            'optimizer: "paged_adamw_8bit" pages between GPU and CPU memory, and this machine has no CUDA GPU; use '
            '"auto" or "adamw"',
            backend="local",
            fields=("optimizer",),
        )
    source = find_source(model)
    if source.adapter is not None:
        raise RefusedError(
            f"{model!r} is an adapter; the local engine trains from a base model", backend="local", fields=("model",)
        )
    return source


def _has_cuda() -> bool:
    from ftkit.engine.machine import device

    return device().type == "cuda"
