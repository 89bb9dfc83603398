"""Plan a run on one or more backends."""

from __future__ import annotations

from collections.abc import Iterable

from ftkit.arguments import explain_calls
from ftkit.backends import Backend, backend_of
from ftkit.data import Dataset
from ftkit.errors import ConfigError, FtkitError
from ftkit.linting.training_gate import refuse_errors
from ftkit.recipe import SFT, Recipe
from ftkit.results.plan import Plan, PlanEntry
from ftkit.runs.train_run import check_job
from ftkit.training.estimation.plan_target import named_gpu

__all__ = ["plan"]


@explain_calls(
    instead='ft.plan(recipe, data, "local:smollm2-135m")', fields=lambda: {"recipe=ft.SFT": SFT.model_fields}
)
def plan(
    recipe: Recipe,
    data: Dataset,
    backends: str | Backend | Iterable[str | Backend],
    *,
    validation: Dataset | None = None,
    device: str | None = None,
    lint: bool = True,
) -> Plan:
    """Estimate what training would take on each backend: memory, tokens, steps, time, price. Load no weights.

    Args:
        recipe: What to train.
        data: Training rows.
        backends: One or more backends, as ``"name:model"`` or backend objects.
        validation: Validation rows.
        device: Name of a GPU to plan local training for, for example ``"h100-80gb"`` (see ``ftkit catalog --gpus``),
            or for several workers also its nodes: ``"8xh100-80gb@8xinfiniband-ndr"``. Defaults to this machine.
        lint: Whether to lint the rows first, as :func:`ftkit.train` does. Errors are the entries' ``problem``.

    Returns:
        The plan, with one entry for each backend. What a backend refuses is its entry's ``problem``.

    Raises:
        ConfigError: There is no such backend or GPU.
        DataError: There are no rows.
    """
    if device is not None:
        named_gpu(device)
    check_job(recipe, data, validation)
    chosen = list(backends) if isinstance(backends, Iterable) and not isinstance(backends, str) else [backends]
    if not chosen:
        raise ConfigError('backends: name at least one, e.g. "local:smollm2-135m"')
    entries = [_entry(backend_of(one), recipe, data, validation, device, lint=lint) for one in chosen]
    return Plan(rows=len(data), entries=tuple(entries))


def _entry(
    backend: Backend, recipe: Recipe, data: Dataset, validation: Dataset | None, device: str | None, *, lint: bool
) -> PlanEntry:
    name = f"{backend.name}:{backend.model}"
    quote_method = getattr(backend, "quote", None)
    if quote_method is None and not hasattr(backend, "estimate"):  # a plug-in that is older than this method
        return PlanEntry(backend=name, problem=f"the backend {backend.name!r} makes no estimates")
    try:
        # The host's refusals (an unknown model or field) come before the rows are linted.
        quote = None if quote_method is None else quote_method(recipe, data, validation)
        if lint:
            refuse_errors(data, validation, backend=backend)
        if quote is not None:
            return PlanEntry(backend=name, quote=quote)
        return PlanEntry(backend=name, estimate=backend.estimate(recipe, data, validation, device=device))
    except FtkitError as error:
        return PlanEntry(backend=name, problem=str(error))
