"""Start a run."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from collections.abc import Sequence

from ftkit.arguments import check_amount, check_kind, explain_calls
from ftkit.backends import Backend, TrainingJob, backend_of
from ftkit.counts import counted
from ftkit.data import Dataset, check_dataset
from ftkit.data.unread_columns import describe_unread_columns
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError, DataError, RefusedError, RunNotFoundError, StorageError
from ftkit.files import says_disk_full
from ftkit.linting.training_gate import refuse_errors
from ftkit.recipe import SFT, LoRA, Recipe
from ftkit.runs.labels import label_fields
from ftkit.runs.run import Run
from ftkit.runs.trackers import Tracker, check_tracker, check_trackers
from ftkit.schema.answer_type import AnswerT
from ftkit.store import OPEN_STATES, RunRecord, Store
from ftkit.store.run_lock import starting

__all__ = ["check_job", "train"]

_UNREAD_ADVICE = "If the answers need one of them, put it into the messages"


@explain_calls(
    instead='ft.train(recipe, data, backend="local:smollm2-135m")',
    fields=lambda: {"recipe=ft.SFT": SFT.model_fields, "recipe=ft.SFT(adapter=ft.LoRA(…)), ft.LoRA": LoRA.model_fields},
)
def train(
    recipe: Recipe,
    data: Dataset[AnswerT],
    *,
    backend: str | Backend,
    validation: Dataset | None = None,
    lint: bool = True,
    max_cost: float | None = None,
    run_id: str | None = None,
    name: str | None = None,
    tags: Sequence[str] = (),
    notes: str | None = None,
    trackers: Sequence[str | Tracker] = (),
    chat_template: str | os.PathLike[str] | None = None,
) -> Run[AnswerT]:
    """Start training and return at once with a durable :class:`Run`.

    Args:
        recipe: what to train, e.g. ``ft.SFT(epochs=2, adapter=ft.QLoRA())``.
        data: the training rows with their task.
        backend: where to train, as ``"name:model"`` or a backend object. The only argument that differs between places.
        validation: rows that are evaluated during training.
        lint: check all rows first by the rules of :func:`ftkit.lint` that find errors, and refuse if there are any.
            ``False`` leaves it to the backend.
        max_cost: the most that training may cost, in US dollars, by the catalogue's prices, and by the host's own
            estimate where it makes one. Training on this machine costs nothing.
        run_id: id of the run: letters, digits and ``-``. Derived from the time by default.
        name: a name for lists and trackers. Several runs may share one.
        tags: words by which runs are found again: ``ftkit runs --where tag=baseline``.
        notes: anything that is worth knowing of the run later.
        trackers: receive the run's events: names such as ``"trackio"``, ``"wandb:visits"`` or ``"jsonl"``, or objects.
            Names are stored with the run, so that any process that polls the run delivers its events. Objects receive
            events in this process only.
        chat_template: file of a Jinja template that replaces the model's own, for training on this machine. It is saved
            with the tuned model.

    Returns:
        The run.

    Raises:
        RefusedError: the backend does not support a field of the recipe, or training would cost more than
            ``max_cost``, or its price is not known. Nothing was started.
        DataError: there are rows that cannot be trained on; names files and lines.
        ConfigError: ``run_id`` is not valid, there is no such tracker, or an argument has the wrong type.
        MissingExtraError: a tracker's package is not installed.
    """
    if run_id is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}", run_id):
        raise ConfigError(f"run_id {run_id!r} is no name for a run: letters, digits and -, at most 64")
    check_job(recipe, data, validation)
    check_amount(max_cost, "max_cost")
    names, objects = _split_trackers(trackers)
    labels = label_fields(name, tags, notes)
    place = backend_of(backend, chat_template=chat_template)
    if validation is not None and validation.task.fingerprint != data.task.fingerprint:
        raise DataError("the validation rows have another task than the training rows")
    place.check(recipe, data, validation)
    if lint:
        refuse_errors(data, validation, backend=place)
    if max_cost is not None:
        _check_cost(place, recipe, data, validation, max_cost)
    store = Store()
    record = RunRecord(
        id=run_id or _new_run_id(store),
        backend=place.name,
        model=place.model,
        created_at=time.time(),
        recipe=recipe.model_dump(mode="json"),
        task=data.task.model_dump(mode="json"),
        answer_class=data.task.answer_class,
        rows=len(data),
        data_fingerprint=data.fingerprint,
        **labels,
    )
    # The run is stored before anything starts, so that nothing that was started can be lost. While the lock is held,
    # nobody takes it for a run that was left behind.
    with starting(store.run_folder(record.id)):
        store.create(record, trackers=names)
        if unread := {name: count for name, count in data.unread_columns().items() if name not in recipe.read_columns}:
            store.append(record.id, "warning", {"message": f"{describe_unread_columns(unread)}. {_UNREAD_ADVICE}"})
        try:
            place.submit(TrainingJob(record.id, recipe, data, validation, max_cost), store)
        except BaseException as error:
            if says_disk_full(error):
                error = StorageError(f"the run cannot be started: the disk is full ({error})", full=True)
            if not isinstance(error, Exception) and store.get(record.id).handle:
                raise  # interrupted half-way: the next poll finds out whether the job exists
            reason = f"could not be started: {error or type(error).__name__}"
            with contextlib.suppress(StorageError):  # on a full disk the next reader finds that nothing was started
                store.update(record.id, expect=OPEN_STATES, state="failed", error=reason, finished_at=time.time())
            raise error
    return Run(store.get(record.id), store, place, data.task, objects)


def check_job(recipe: Recipe, data: Dataset, validation: Dataset | None) -> None:
    """Check that there is something to train, before any backend is asked.

    Args:
        recipe: the recipe.
        data: the training rows.
        validation: the validation rows.

    Raises:
        DataError: there are no rows.
    """
    check_kind(recipe, Recipe, "recipe", "a recipe such as ft.SFT(epochs=2)")
    check_dataset(data)
    if validation is not None:
        check_dataset(validation, "validation")
    if not len(data):
        raise DataError("there are no rows to train on")


def _split_trackers(trackers: Sequence[str | Tracker]) -> tuple[list[str], list[Tracker]]:
    """Names and objects. Each named tracker is created once here, so that a wrong name is found before the run."""
    if isinstance(trackers, str) or not isinstance(trackers, Sequence):
        check_kind(trackers, (), "trackers", 'a list, e.g. ["jsonl"]')
    names = [tracker for tracker in trackers if isinstance(tracker, str)]
    check_trackers(names)
    objects = [tracker for tracker in trackers if not isinstance(tracker, str)]
    for tracker in objects:
        check_tracker(tracker, tracker)
    return names, objects


def _check_cost(place: Backend, recipe: Recipe, data: Dataset, validation: Dataset | None, max_cost: float) -> None:
    """Refuse what costs too much. Only backends that charge have a ``quote``."""
    get_quote = getattr(place, "quote", None)
    if get_quote is None:
        return
    quote = get_quote(recipe, data, validation)
    cost = quote.training_usd
    if cost is None and quote.estimated_by_host:
        return  # the host estimates the cost when it has the rows, and the job is refused then if it is too much
    if cost is None:
        reason = "the price of training there is not known" + (f": {quote.unlisted}" if quote.unlisted else "")
    elif cost > max_cost:
        reason = (
            f"training would cost ${cost:,.2f}: {quote.tokens_per_epoch:,} tokens × "
            f"{counted(quote.epochs, 'epoch')}, at the price of {quote.price_source}, read {quote.price_as_of}"
        )
    else:
        return
    raise RefusedError(
        ErrorText(
            f"{place.name}:{place.model}: ",
            Argument("max_cost", text="max_cost"),
            f" is ${max_cost:,g}, and {reason}",
        ),
        backend=place.name,
    )


def _new_run_id(store: Store) -> str:
    """An unused id that sorts by time and is short enough to type: ``20261123-141530-7f3a``."""
    while True:
        run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        try:
            store.get(run_id)
        except RunNotFoundError:
            return run_id
