"""What ``ftkit runs show`` prints of a run."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from ftkit.cli.console import duration, json_line, note, timestamp
from ftkit.errors import ConfigError

if TYPE_CHECKING:
    from ftkit.runs import Run
    from ftkit.store import RunRecord

__all__ = ["last_refusal", "polled_record", "run_details", "state_of"]


def polled_record(run: Run) -> RunRecord:
    """Return the record of a run; the stored one if its host cannot be asked, e.g. without an API key."""
    from ftkit.errors import FtkitError
    from ftkit.store import Store

    try:
        return run.record
    except FtkitError as error:
        note(f"run {run.id} may have progressed further: {error}")
        return Store().get(run.id)


def state_of(record: RunRecord) -> str:
    """Return the state of a run; ``"paused"`` if a host has paused a running job."""
    return "paused" if record.state == "running" and record.handle.get("paused") else record.state


def run_details(run: Run, record: RunRecord, steps: list[dict[str, Any]]) -> dict[str, str]:
    """Describe a run.

    Args:
        run: the run.
        record: its record.
        steps: its metrics by step.

    Returns:
        Names and texts; empty texts are not printed.
    """
    last = steps[-1] if steps else None
    validations = [event.data for event in run.stored_events() if event.kind == "validation"]
    refusal = last_refusal(run)
    took = "" if record.finished_at is None else f" ({duration(record.finished_at - record.created_at)})"
    return {
        "run": record.id,
        "name": record.name or "",
        "tags": ", ".join(record.tags),
        "notes": record.notes or "",
        "state": state_of(record) + took,
        "error": record.error or "",
        "last refusal": "" if refusal is None else f"{timestamp(refusal['at'])}  {refusal['message']}",
        "base model": f"{record.backend}:{record.model}",
        "tuned model": _tuned_model(run, record),
        "started": timestamp(record.created_at),
        "progress": "" if last is None else f"step {last['step']} of {last.get('steps') or '?'}",
        "loss": _losses(steps),
        "reward": _first_and_last(steps, "reward"),
        "validation loss": _losses(validations),
        "validation reward": _first_and_last(validations, "reward"),
        **_eval_metric(validations),
        "divergence": _harm(record, validations),
        "score": _score(run),
        "tracked by": _trackers(run),
        "speed": _speed(steps),
        "job": str(record.handle.get("job") or ""),
        "cost": _cost(run, record),
        "rows": f"{record.rows:,} ({record.data_fingerprint[:19]}…)",
        "task": run.task.instructions or "(the rows are whole conversations)",
        "recipe": json_line(_changed_fields(run)),
        "folder": str(run.folder),
    }


def _score(run: Run) -> str:
    """Return the headline metric of the last report on the run's model."""
    reports = [event.data for event in run.stored_events() if event.kind == "report"]
    if not reports:
        return ""
    last = reports[-1]
    value = _number((last.get("metrics") or {}).get(last.get("primary")))
    return "" if value is None else f"{last.get('primary')} {value:.4g} on {last.get('rows')} rows"


def _trackers(run: Run) -> str:
    """Return where the run's trackers show it."""
    links = [event.data for event in run.stored_events() if event.data.get("tracker")]
    return "; ".join(f"{link['tracker']}: {link.get('link', '')}" for link in links)


def _tuned_model(run: Run, record: RunRecord) -> str:
    """Return the name of the tuned model; the host's own name for it if the backend cannot be created."""
    from ftkit.errors import FtkitError

    if record.state != "succeeded":
        return ""
    try:
        return run.model.name
    except FtkitError:
        return f"{record.backend}:{record.summary.get('tuned_model') or ''}"


def last_refusal(run: Run) -> dict[str, Any] | None:
    """Return when the host refused something last, and its words."""
    refusals = [event for event in run.stored_events() if event.data.get("refusal")]
    return {"at": refusals[-1].at, "message": str(refusals[-1].data["refusal"])} if refusals else None


def _cost(run: Run, record: RunRecord) -> str:
    """Return the cost that the host charged or estimated."""
    from ftkit.results.number_format import usd_text

    paid = _number(record.summary.get("cost_usd"))
    found = (_number(event.data.get("estimated_usd")) for event in run.stored_events())
    estimates = [estimate for estimate in found if estimate is not None]
    parts = [
        "" if paid is None else usd_text(paid),
        f"the host estimated {usd_text(estimates[-1])}" if estimates else "",
    ]
    return "; ".join(filter(None, parts))


def _speed(steps: list[dict[str, Any]]) -> str:
    """Return the median speed and MFU of the steps and the peak memory, where the run reported them."""

    def median(name: str) -> float | None:
        values = _numbers(steps, name)
        return statistics.median(values) if values else None

    tokens, mfu = median("tokens_per_second"), median("mfu")
    memory = _number(steps[-1].get("peak_memory_bytes")) if steps else None
    parts = [
        "" if tokens is None else f"{tokens:,.0f} tokens/s",
        "" if mfu is None else f"MFU {mfu:.0%}",
        "" if memory is None else f"peak memory {memory / 1e9:.2f} GB",
    ]
    return ", ".join(part for part in parts if part)


def _losses(events: list[dict[str, Any]]) -> str:
    """Return the change of the loss and of the token accuracy, if it was reported."""
    accuracy = _first_and_last(events, "token_accuracy", ".1%")
    return _first_and_last(events, "loss") + (f", token accuracy {accuracy}" if accuracy else "")


def _eval_metric(validations: list[dict[str, Any]]) -> dict[str, str]:
    """Return the change of the metric that the run goes by, under its name."""
    name = next((str(each["eval_metric"]) for each in validations if each.get("eval_metric")), None)
    return {} if name is None else {f"validation {name}": _first_and_last(validations, name)}


def _harm(record: RunRecord, validations: list[dict[str, Any]]) -> str:
    """Return the largest and the last divergence on held-out rehearsal rows, the budget, and what the result keeps."""
    values = _numbers(validations, "preserve_kl")
    if not values:
        return ""
    budget = (record.recipe.get("preserve") or {}).get("budget")
    limit = "no budget" if budget is None else f"budget {budget:g}"
    text = f"{values[-1]:.4f} nats per token on rehearsal rows, at most {max(values):.4f} ({limit})"
    share, left = (_number(record.summary.get(f"preserve_{name}")) for name in ("interpolation", "kl"))
    if share is not None and left is not None and share < 1:
        text += f"; the result keeps {share:.0%} of its update: {left:.4f}"
    return text


def _first_and_last(events: list[dict[str, Any]], name: str, form: str = ".4f") -> str:
    """Return the first and the last value of a metric."""
    values = _numbers(events, name)
    return " → ".join(f"{value:{form}}" for value in dict.fromkeys([*values[:1], *values[-1:]]))


def _numbers(events: list[dict[str, Any]], name: str) -> list[float]:
    """Return the values of a metric. A damaged store, or a host, may have others than numbers."""
    return [number for event in events if (number := _number(event.get(name))) is not None]


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _changed_fields(run: Run) -> dict[str, Any]:
    """Return the recipe's fields that differ from their defaults."""
    try:
        recipe = run.recipe
    except ConfigError:  # a plug-in's recipe, and the plug-in is not installed here
        return run.record.recipe
    fields: dict[str, Any] = recipe.model_dump(mode="json", exclude_defaults=True)
    adapter = recipe.adapter.model_dump(mode="json", exclude_defaults=True)
    return {"kind": recipe.kind, **fields, "adapter": {"kind": recipe.adapter.kind, **adapter}}
