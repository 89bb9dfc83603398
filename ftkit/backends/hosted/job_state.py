"""What has become of a job, written into the store: its events, its end, what it cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ftkit.backends.hosted.errors import advised
from ftkit.backends.hosted.host import Host, Leavings, Order, RemoteEvent, RemoteJob
from ftkit.backends.hosted.retry import Patience
from ftkit.catalog import TrainingPrice, load_catalog
from ftkit.errors import HostError, RefusedError
from ftkit.store import OPEN_STATES, RunRecord, RunState, Store

__all__ = ["bring_home", "end", "note_estimate"]


def note_estimate(host: Host, patience: Patience, order: Order, record: RunRecord, store: Store) -> None:
    """Write down what the host expects to charge, and refuse what is more than the run's ``max_cost``. A run that it
    cannot say that of begins all the same, if the catalogue has a price, by which it was let through.

    Raises:
        HostError: the account may not spend so much.
        RefusedError: it would cost too much, or nobody knows what it would cost.
    """
    usd, why = None, "it gives none"
    try:
        usd = patience(lambda: host.estimate(order))
    except HostError as error:
        if error.status is None and not error.passing:
            raise
        why = str(error)
    most = record.handle.get("max_cost")
    if usd is not None:
        store.append(record.id, "log", {"message": f"the host estimates ${usd:,.2f}", "estimated_usd": usd})
    if most is None or (usd is not None and usd <= most):
        return
    where = f"{record.backend}:{record.model}"
    if usd is not None:
        told = f"the host itself estimates ${usd:,.2f}"
    elif _training_price(record, host.url) is None:
        told = f"the price is not known: the catalogue has none, and of the host's own word: {why}"
    else:
        return
    raise RefusedError(
        f"{where}: max_cost is ${most:,g}, and {told}. No job was created, and nothing was charged",
        backend=record.backend,
    )


def bring_home(host: Host, patience: Patience, record: RunRecord, job: RemoteJob, store: Store) -> None:
    """Write what has become of ``job`` into its run.

    Raises:
        HostError: the host cannot say now.
    """
    try:
        events = host.events(job.id, set(record.handle.get("seen", ())))
    except HostError as error:
        if error.passing:
            raise
        events = ()  # some hosts have none; the job has ended or goes on all the same
    left = Leavings()
    if job.state == "succeeded":
        try:
            left = patience(lambda: host.leavings(job.id))
        except HostError as error:  # the run ends without it all the same
            store.append(record.id, "warning", {"message": f"{error}; the run's results and checkpoints are not shown"})
    _write(record, job, events, left, host.url, store)


def _write(
    record: RunRecord, job: RemoteJob, events: Sequence[RemoteEvent], left: Leavings, url: str, store: Store
) -> None:
    """Bring a run up to date; events first, so that the end comes last. Steps of files that events have told already
    are not told again."""
    seen = set(record.handle.get("seen", ()))
    told = {(event.kind, event.data.get("step")) for event in store.events(record.id)} if left.events else set()
    told |= {(event.kind, event.data.get("step")) for event in events}
    events = [*events, *(event for event in left.events if (event.kind, event.data["step"]) not in told)]
    for event in events:
        if event.id not in seen:
            seen.add(event.id)
            store.append(record.id, event.kind, event.data)
    if events:
        store.update(record.id, handle=store.get(record.id).handle | {"seen": sorted(seen)})
    paused = job.status == "paused"
    if paused != record.handle.get("paused", False):
        store.update(record.id, handle=store.get(record.id).handle | {"paused": paused})
        store.append(record.id, "log", {"message": "paused at the host" if paused else "the host goes on with it"})
    if job.state == "running":
        store.update(record.id, expect=("queued",), state="running")
    elif job.state == "succeeded":
        summary: dict[str, Any] = {
            "tuned_model": job.tuned_model,
            "job": job.id,
            "trained_tokens": job.trained_tokens,
            "cost_usd": _paid(record, job, url),
        }
        if left.checkpoints:
            summary["checkpoints"] = list(left.checkpoints)
        store.update(record.id, expect=OPEN_STATES, state="succeeded", summary=summary, finished_at=time.time())
    elif job.state not in OPEN_STATES:
        reason = advised(job.error or f"the host says {job.status} and no more")
        end(record.id, store, job.state, reason if job.state == "failed" else None)


def end(run_id: str, store: Store, state: RunState, error: str | None) -> None:
    """End an open run without a model."""
    changed = store.update(run_id, expect=OPEN_STATES, reason=error, state=state, error=error, finished_at=time.time())
    if error is not None and changed.error == error:
        store.append(run_id, "error", {"message": error})


def _paid(record: RunRecord, job: RemoteJob, url: str) -> float | None:
    """What training cost: the host's word, else its count of tokens at the catalogue's price for that address."""
    if job.cost_usd is not None or job.trained_tokens is None:
        return job.cost_usd
    price = _training_price(record, url)
    return None if price is None else price.cost(job.trained_tokens)


def _training_price(record: RunRecord, url: str) -> TrainingPrice | None:
    adapter: Any = "full" if record.recipe["adapter"]["kind"] == "full" else "lora"
    known, model = load_catalog(), record.model.rpartition("#")[2]  # before "#" may stand the address
    return known.training_price(known.provider_at(url), model, record.recipe["kind"], adapter)
