"""Bring a run up to date with its job at the host: events, end, results and cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ftkit.backends.hosted.host import Host, JobRequest, JobResults, RemoteEvent, RemoteJob
from ftkit.backends.hosted.host_errors import with_advice
from ftkit.backends.hosted.job_handle import JobHandle
from ftkit.backends.hosted.retry import RetryPolicy
from ftkit.catalog import TrainingPrice, load_catalog
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import HostError, RefusedError
from ftkit.store import OPEN_STATES, RunRecord, RunState, RunTransaction, Store

__all__ = ["check_host_estimate", "end_run", "sync_run"]

_MAX_EVENTS = 500_000
"""Events of one job that are stored."""


def check_host_estimate(
    host: Host, retry_policy: RetryPolicy, request: JobRequest, record: RunRecord, store: Store
) -> None:
    """Store the host's price estimate as an event, and refuse a job above the run's ``max_cost``.

    If the host gives no estimate, the catalogue's price decides, by which the run was admitted.

    Args:
        host: the host.
        retry_policy: how failing calls are retried.
        request: the job.
        record: its run.
        store: the store of runs.

    Raises:
        HostError: the host says that the account may not spend as much.
        RefusedError: the job would cost too much, or its price is not known.
    """
    estimate, reason = None, "it gives none"
    try:
        estimate = retry_policy(lambda: host.estimate_price(request))
    except HostError as error:
        if error.status is None and not error.passing:
            raise
        reason = str(error)
    max_cost = JobHandle.require(record).max_cost
    if estimate is not None:
        message = f"the host estimates ${estimate:,.2f}"
        store.append(record.id, "log", {"message": message, "estimated_usd": estimate})
    if max_cost is None or (estimate is not None and estimate <= max_cost):
        return
    if estimate is not None:
        problem = f"the host itself estimates ${estimate:,.2f}"
    elif _training_price(record, host.url) is None:
        problem = f"the price is not known: the catalogue has none, and the host's own estimate is missing: {reason}"
    else:
        return
    raise RefusedError(
        ErrorText(
            f"{record.backend}:{record.model}: ",
            Argument("max_cost", text="max_cost"),
            f" is ${max_cost:,g}, and {problem}. No job was created, and nothing was charged",
        ),
        backend=record.backend,
    )


def sync_run(host: Host, retry_policy: RetryPolicy, record: RunRecord, job: RemoteJob, store: Store) -> None:
    """Write the state, events and results of a job into its run, in one transaction.

    Several processes may do so at the same time: each event is stored once, and the run ends once.

    Args:
        host: the host.
        retry_policy: how failing calls are retried.
        record: the run.
        job: its job, as it is now.
        store: the store of runs.

    Raises:
        HostError: the host cannot be asked now.
    """
    seen = {*JobHandle.require(record).seen, *store.source_ids(record.id)}
    try:
        events = host.events(job.id, seen)
    except HostError as error:
        if error.passing:
            raise
        events = ()  # some hosts have no events
    if len(seen) >= _MAX_EVENTS:
        message = f"the host has sent {len(seen):,} events; further ones are not stored"
        events = (RemoteEvent("event-limit", "warning", {"message": message}),)
    results, problem = JobResults(), None
    if job.state == "succeeded":
        try:
            results = retry_policy(lambda: host.results(job.id))
        except HostError as error:  # the run succeeds without them
            problem = str(error)
    with store.transaction(record.id) as run:
        if problem is not None and run.record.state in OPEN_STATES:
            run.append("warning", {"message": f"{problem}; the job's result files and checkpoints are not shown"})
        _add_events(run, events, results.events)
        _set_state(run, job, results, host.url)


def _add_events(run: RunTransaction, events: Sequence[RemoteEvent], result_events: Sequence[RemoteEvent]) -> None:
    """Store new events; of those in result files only the steps that no event has reported."""
    if result_events:
        reported = {(event.kind, event.data.get("step")) for event in run.events()}
        reported |= {(event.kind, event.data.get("step")) for event in events}
        new = [one for one in result_events if "step" not in one.data or (one.kind, one.data["step"]) not in reported]
        events = [*events, *new]
    seen = set(JobHandle.require(run.record).seen)
    for event in events:
        if event.id not in seen:
            run.append(event.kind, event.data, source_id=event.id)


def _set_state(run: RunTransaction, job: RemoteJob, results: JobResults, url: str) -> None:
    handle, paused = JobHandle.require(run.record), job.status.lower() == "paused"
    if paused != handle.paused:
        handle.save(run, paused=paused)
        run.append("log", {"message": "the host has paused the job" if paused else "the host has resumed the job"})
    if run.record.state not in OPEN_STATES:
        return
    if job.state == "running" and run.record.state == "queued":
        run.update(state="running")
    elif job.state == "succeeded":
        summary: dict[str, Any] = {
            "tuned_model": job.tuned_model,
            "job": job.id,
            "trained_tokens": job.trained_tokens,
            "cost_usd": _cost(run.record, job, url),
        }
        if results.checkpoints:
            summary["checkpoints"] = list(results.checkpoints)
        run.update(state="succeeded", summary=summary, finished_at=time.time())
    elif job.state not in OPEN_STATES:
        reason = with_advice(job.error or f"the host reports {job.status} and gives no reason")
        _end(run, job.state, reason if job.state == "failed" else None)


def end_run(run_id: str, store: Store, state: RunState, error: str | None) -> None:
    """End an open run without a model. A run that has ended is left unchanged.

    Args:
        run_id: id of the run.
        store: the store of runs.
        state: its last state.
        error: why it failed.
    """
    with store.transaction(run_id) as run:
        if run.record.state in OPEN_STATES:
            _end(run, state, error)


def _end(run: RunTransaction, state: RunState, error: str | None) -> None:
    run.update(reason=error, state=state, error=error, finished_at=time.time())
    if error is not None:
        run.append("error", {"message": error})


def _cost(record: RunRecord, job: RemoteJob, url: str) -> float | None:
    """The cost in US dollars: as the host says, else its token count times the catalogue's price for its address."""
    if job.cost_usd is not None or job.trained_tokens is None:
        return job.cost_usd
    price = _training_price(record, url)
    return None if price is None else price.cost(job.trained_tokens)


def _training_price(record: RunRecord, url: str) -> TrainingPrice | None:
    adapter: Any = "full" if record.recipe["adapter"]["kind"] == "full" else "lora"
    catalog, model = load_catalog(), record.model.rpartition("#")[2]  # the address may precede "#"
    return catalog.training_price(catalog.provider_at(url), model, record.recipe["kind"], adapter)
