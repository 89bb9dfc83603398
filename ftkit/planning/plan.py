"""A recipe and rows, planned for one or more backends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from ftkit.backends import Backend, backend_of
from ftkit.backends.hosted import Quote
from ftkit.data import Dataset
from ftkit.errors import ConfigError, FtkitError
from ftkit.linting.training_gate import refuse_errors
from ftkit.recipe import Recipe
from ftkit.results.display import Shown
from ftkit.runs.train_run import check_job
from ftkit.training.estimation.estimate import Estimate
from ftkit.training.estimation.plan_target import named_gpu

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Plan", "PlanEntry", "plan"]


class PlanEntry(BaseModel):
    """What one backend says."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    backend: str
    """As ``"name:model"``."""
    estimate: Estimate | None = None
    """What the run would take there; ``None`` when it cannot be said."""
    quote: Quote | None = None
    """What it would charge, of a place that charges."""
    problem: str | None = None
    """Why not."""

    @property
    def fits(self) -> bool:
        """Whether the run could be made there: it has the memory, or is a host that takes it."""
        return self.quote is not None or (self.estimate is not None and self.estimate.fits)


class Plan(Shown, BaseModel):
    """What a run would take on each backend. ``print`` shows it as a table; ``model_dump_json`` gives all of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    rows: int
    """Training rows."""
    entries: tuple[PlanEntry, ...]
    """One for each backend, in the order asked for."""

    @property
    def fits(self) -> bool:
        """Whether there is a backend where it could run: one that has the memory, or a host that takes it."""
        return any(entry.fits for entry in self.entries)

    def __getitem__(self, backend: str) -> Estimate:
        """The estimate of ``backend``.

        Raises:
            ConfigError: it was not asked, or it could not say; with its reason.
        """
        for entry in self.entries:
            if entry.backend == backend:
                if entry.estimate is None:
                    raise ConfigError(f"{backend}: {entry.problem}")
                return entry.estimate
        raise ConfigError(f"{backend!r} is not in the plan; it has {', '.join(one.backend for one in self.entries)}")

    def __str__(self) -> str:
        from ftkit.render.plan_table import plan_text

        return plan_text(self)

    def _headline(self) -> str:
        said = [f"{one.backend} {'fits' if one.fits else 'does not fit'}" for one in self.entries]
        return f"{self.rows:,} rows; {', '.join(said)}"

    def __rich__(self) -> RenderableType:
        from ftkit.render.plan_table import plan_table

        return plan_table(self)


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
