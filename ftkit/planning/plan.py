"""A recipe and rows, planned for one or more backends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ftkit.backends import Backend, backend_of
from ftkit.data import Dataset
from ftkit.errors import ConfigError, FtkitError
from ftkit.linting.training_gate import refuse_errors
from ftkit.recipe import Recipe
from ftkit.results.plan import Plan, PlanEntry
from ftkit.runs.train_run import check_job
from ftkit.training.estimation.plan_target import named_gpu

if TYPE_CHECKING:
    pass

__all__ = ["plan"]


def plan(
    recipe: Recipe,
    data: Dataset,
    backends: str | Backend | Iterable[str | Backend],
    *,
    validation: Dataset | None = None,
    device: str | None = None,
    lint: bool = True,
) -> Plan:
    """What training would take on each backend: parameters, memory, tokens, steps, time. Loads no weights.

    Args:
        recipe: what to train.
        data: the training rows with their task.
        backends: one or more, as ``"name:model"`` or backend objects.
        validation: rows whose loss would be watched.
        device: a GPU by name to plan local training for, e.g. ``"h100-80gb"`` (see ``ftkit catalog --gpus``); ``None``
            is this machine.
        lint: look at all rows first, as :func:`ftkit.train` does; errors are each entry's ``problem``.

    Raises:
        ConfigError: no such backend or GPU.
        DataError: no rows. What else a backend objects to is its entry's ``problem``.
    """
    if device is not None:
        named_gpu(device)
    check_job(recipe, data, validation)
    asked = list(backends) if isinstance(backends, Iterable) and not isinstance(backends, str) else [backends]
    if not asked:
        raise ConfigError('backends: name at least one, e.g. "local:smollm2-135m"')
    return Plan(
        rows=len(data),
        entries=tuple(_entry(backend_of(one), recipe, data, validation, device, lint=lint) for one in asked),
    )


def _entry(
    where: Backend, recipe: Recipe, data: Dataset, validation: Dataset | None, device: str | None, *, lint: bool
) -> PlanEntry:
    name = f"{where.name}:{where.model}"
    ask = getattr(where, "quote", None)
    # Backends that plug in may be older than this method.
    if ask is None and not hasattr(where, "estimate"):
        return PlanEntry(backend=name, problem=f"the backend {where.name!r} makes no estimates")
    try:
        # A host's own refusals (a model that is gone, a field that it has not) come before all rows are looked at.
        quote = None if ask is None else ask(recipe, data, validation)
        if lint:
            refuse_errors(data, validation, backend=where)
        if quote is not None:
            return PlanEntry(backend=name, quote=quote)
        return PlanEntry(backend=name, estimate=where.estimate(recipe, data, validation, device=device))
    except FtkitError as error:
        return PlanEntry(backend=name, problem=str(error))
