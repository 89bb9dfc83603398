"""Starting runs."""

from __future__ import annotations

import re
import secrets
import time

from ftkit.backends import Backend, TrainingJob, backend_of
from ftkit.data import Dataset, check_dataset
from ftkit.errors import ConfigError, DataError, RefusedError, RunNotFoundError
from ftkit.linting.training_gate import refuse_errors
from ftkit.recipe import Recipe
from ftkit.runs.run import Run
from ftkit.store import OPEN_STATES, RunRecord, Store
from ftkit.type_checks import check_kind

__all__ = ["check_job", "train"]


def train(
    recipe: Recipe,
    data: Dataset,
    *,
    backend: str | Backend,
    validation: Dataset | None = None,
    lint: bool = True,
    max_cost: float | None = None,
    run_id: str | None = None,
) -> Run:
    """Start training and come back at once with a durable :class:`Run`.

    Args:
        recipe: what to train, e.g. ``ft.SFT(epochs=2, adapter=ft.QLoRA())``.
        data: the training rows with their task.
        backend: where, as ``"name:model"`` or a backend object. The only argument that differs between places.
        validation: rows whose loss is watched during training.
        lint: look at all rows first, by the rules of :func:`ftkit.lint` whose findings are errors, and refuse when
            there are any. ``False`` starts anyway, and leaves it to the backend.
        max_cost: the most that training may cost, in US dollars, by the catalogue's prices, and by the host's own
            estimate where it makes one. Training on this machine costs nothing.
        run_id: name of the run: letters, digits and ``-``. Drawn from the time by default.

    Raises:
        RefusedError: the backend cannot honour a field of the recipe, or training would cost more than ``max_cost``,
            or its price is not known; nothing was started.
        DataError: rows that cannot be trained on; names the files and lines.
        ModelError, MissingExtraError: what the backend needs is not there.
        ConfigError: ``run_id`` is no name, or an argument of another kind than stated.
        RunError: there is a run of that name.
    """
    if run_id is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}", run_id):
        raise ConfigError(f"run_id {run_id!r} is no name for a run: letters, digits and -, at most 64")
    check_job(recipe, data, validation)
    where = backend_of(backend)
    if validation is not None and validation.task.fingerprint != data.task.fingerprint:
        raise DataError("the validation rows have another task than the training rows")
    where.check(recipe, data, validation)
    if lint:
        refuse_errors(data, validation, backend=where)
    if max_cost is not None:
        _check_cost(where, recipe, data, validation, max_cost)
    store = Store()
    record = RunRecord(
        id=run_id or _new_run_id(store),
        backend=where.name,
        model=where.model,
        created_at=time.time(),
        recipe=recipe.model_dump(mode="json"),
        task=data.task.model_dump(mode="json"),
        rows=len(data),
        data_fingerprint=data.fingerprint,
    )
    # The run is in the store before anything starts, so that nothing started can be lost.
    store.create(record)
    try:
        where.submit(TrainingJob(record.id, recipe, data, validation, max_cost), store)
    except BaseException as error:
        if not isinstance(error, Exception) and store.get(record.id).handle:
            raise  # cut off half-way: whoever looks next finds out what became of it
        reason = f"could not be started: {error or type(error).__name__}"
        store.update(record.id, expect=OPEN_STATES, state="failed", error=reason, finished_at=time.time())
        raise
    return Run(store.get(record.id), store, where, data.task)


def check_job(recipe: Recipe, data: Dataset, validation: Dataset | None) -> None:
    """See that there is something to train, before any place is asked.

    Raises:
        ConfigError: an argument of another kind.
        DataError: there are no rows.
    """
    check_kind(recipe, Recipe, "recipe", "a recipe such as ft.SFT(epochs=2)")
    check_dataset(data)
    if validation is not None:
        check_dataset(validation, "validation")
    if not len(data):
        raise DataError("there are no rows to train on")


def _check_cost(where: Backend, recipe: Recipe, data: Dataset, validation: Dataset | None, max_cost: float) -> None:
    """Refuse what costs too much; only places that charge have a ``quote``."""
    ask = getattr(where, "quote", None)
    if ask is None:
        return
    quote = ask(recipe, data, validation)
    cost = quote.training_usd
    if cost is None and quote.estimated_by_host:
        return  # asked for once the rows are there, and refused then when it is too much
    if cost is None:
        reason = "the price of training there is not known" + (f": {quote.unlisted}" if quote.unlisted else "")
    elif cost > max_cost:
        reason = (
            f"training would cost ${cost:,.2f}: {quote.tokens_per_epoch:,} tokens × {quote.epochs} epochs, at the "
            f"price of {quote.price_source}, read {quote.price_as_of}"
        )
    else:
        return
    raise RefusedError(f"{where.name}:{where.model}: max_cost is ${max_cost:,g}, and {reason}", backend=where.name)


def _new_run_id(store: Store) -> str:
    """A name no run has, that sorts by time and is short enough to type: ``20261123-141530-7f3a``."""
    while True:
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        try:
            store.get(name)
        except RunNotFoundError:
            return name
