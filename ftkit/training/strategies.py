"""How several workers hold the model that they train together. Quick: loads no torch."""

from __future__ import annotations

from ftkit.errors import ConfigError, RefusedError
from ftkit.recipe import Recipe

__all__ = ["STRATEGIES", "check_sharding", "check_strategy"]

STRATEGIES = ("ddp", "fsdp2")
"""``"ddp"``: each worker holds the whole model. ``"fsdp2"``: each holds a part of every weight, and gathers the weights
of a layer while it computes the layer (PyTorch's ``fully_shard``). If every weight is trained, it holds a part of each
gradient and optimiser state, too; an adapter is whole at each worker."""


def check_strategy(strategy: object, backend: str) -> str:
    """Refuse a name that is no strategy.

    Args:
        strategy: what a user wrote.
        backend: name of the backend, for the message.

    Returns:
        The strategy.

    Raises:
        ConfigError: there is no such strategy.
    """
    if strategy not in STRATEGIES:
        known = " or ".join(f'"{name}"' for name in STRATEGIES)
        raise ConfigError(f"{backend}: strategy={strategy!r}: write {known}")
    return str(strategy)


def check_sharding(strategy: str, recipe: Recipe, backend: str = "local") -> None:
    """Refuse a recipe that a strategy does not train.

    Args:
        strategy: one of :data:`STRATEGIES`.
        recipe: as the user wrote it.
        backend: name of the backend, for the error.

    Raises:
        RefusedError: names the fields.
    """
    if strategy != "fsdp2":
        return
    problems = {
        "optimizer": recipe.adapter.trains_base_weights
        and recipe.optimizer == "paged_adamw_8bit"
        and 'bitsandbytes holds the state of "paged_adamw_8bit" outside the shards; take "auto" or "adamw"',
        "preserve": recipe.preserve is not None
        and 'preserve compares with the whole model of before the run, which no worker holds; take strategy="ddp"',
    }
    for field, problem in problems.items():
        if problem:
            raise RefusedError(f'strategy="fsdp2": {problem}', backend=backend, fields=("strategy", field))
