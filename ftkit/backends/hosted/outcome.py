"""What has become of a job, written into the store: its events, its end, what it cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ftkit.backends.hosted.failure import advised
from ftkit.backends.hosted.host import Leavings, RemoteEvent, RemoteJob
from ftkit.catalog import load_catalog
from ftkit.store import OPEN_STATES, RunRecord, RunState, Store

__all__ = ["end", "write_outcome"]


def write_outcome(
    record: RunRecord, job: RemoteJob, events: Sequence[RemoteEvent], left: Leavings, store: Store
) -> None:
    """Bring a run up to date; events first, so that the end comes last.

    Args:
        left: what the job has left; steps that its events have told already are not told again.
    """
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
    if job.state == "running":
        store.update(record.id, expect=("queued",), state="running")
    elif job.state == "succeeded":
        summary: dict[str, Any] = {
            "tuned_model": job.tuned_model,
            "job": job.id,
            "trained_tokens": job.trained_tokens,
            "cost_usd": _paid(record, job),
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


def _paid(record: RunRecord, job: RemoteJob) -> float | None:
    """What training cost: the host's word, else its count of tokens at the catalogue's price."""
    if job.cost_usd is not None or job.trained_tokens is None:
        return job.cost_usd
    adapter: Any = "full" if record.recipe["adapter"]["kind"] == "full" else "lora"
    price = load_catalog().training_price(record.backend, record.model, record.recipe["kind"], adapter)
    return None if price is None else price.cost(job.trained_tokens)
