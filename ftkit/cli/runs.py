"""``ftkit runs``."""

from __future__ import annotations

import statistics
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ftkit.cli.console import duration, field_lines, json_line, json_text, note, out, table_lines, timestamp
from ftkit.errors import ConfigError

if TYPE_CHECKING:
    from ftkit.runs import Run
    from ftkit.store import Event, RunRecord

__all__ = ["runs"]

runs = typer.Typer(help="List, watch, cancel, resume and delete runs. Without a command, list them.")

RunId = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the run, or a unique prefix of it.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Print new events until the run ends.")]

_COLOURS = {"queued": "yellow", "running": "cyan", "succeeded": "green", "failed": "red", "cancelled": "yellow"}


@runs.callback(invoke_without_command=True)
def _runs(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_()


@runs.command("list")
def list_(*, json: AsJson = False) -> None:
    """List all runs, newest first."""
    from ftkit.runs import all as all_runs
    from ftkit.store import StoreWarning

    with warnings.catch_warnings(record=True) as problems:
        warnings.simplefilter("always", StoreWarning)
        records = [_record(run) for run in all_runs()]
    for problem in problems:
        if issubclass(problem.category, StoreWarning):
            note(f"warning: {problem.message}")
        else:
            warnings.showwarning(problem.message, problem.category, problem.filename, problem.lineno)
    if json:
        out(json_text([record.model_dump(mode="json") for record in records]))
        return
    if not records:
        note("no runs yet; start one with `ftkit train`")
        return
    columns = ("ID", "STATE", "MODEL", "ADAPTER", "ROWS", "STARTED", "TOOK")
    header, *lines = table_lines(columns, [_cells(record) for record in records])
    out(header)
    for record, line in zip(records, lines, strict=True):
        out(line, colours={_state(record): _COLOURS[record.state]})


def _record(run: Run) -> RunRecord:
    """Return the record of a run; the stored one if its host cannot be asked, e.g. without an API key."""
    from ftkit.errors import FtkitError
    from ftkit.store import Store

    try:
        return run.record
    except FtkitError as error:
        note(f"run {run.id} may have progressed further: {error}")
        return Store().get(run.id)


def _state(record: RunRecord) -> str:
    """Return the state; ``"paused"`` if a host has paused a running job."""
    return "paused" if record.state == "running" and record.handle.get("paused") else record.state


def _cells(record: RunRecord) -> tuple[str, ...]:
    adapter = record.recipe.get("adapter")
    return (
        record.id,
        _state(record),
        f"{record.backend}:{record.model}",
        str(adapter.get("kind", "")) if isinstance(adapter, dict) else "",
        f"{record.rows:,}",
        timestamp(record.created_at),
        "" if record.finished_at is None else duration(record.finished_at - record.created_at),
    )


@runs.command()
def show(run_id: RunId, *, json: AsJson = False) -> None:
    """Show the details of a run."""
    from ftkit.runs.run import step_metrics

    run = _get(run_id)
    record = _record(run)
    steps = step_metrics(run.stored_events())
    if json:
        refusal = _last_refusal(run)
        extra: dict[str, Any] = {"folder": str(run.folder), "last_step": steps[-1] if steps else None}
        out(json_text(record.model_dump(mode="json") | extra | {"last_refusal": refusal}))
        return
    for line in field_lines(_details(run, record, steps)):
        out(line)


def _details(run: Run, record: RunRecord, steps: list[dict[str, Any]]) -> dict[str, str]:
    last = steps[-1] if steps else None
    validations = [event.data for event in run.stored_events() if event.kind == "validation"]
    refusal = _last_refusal(run)
    took = "" if record.finished_at is None else f" ({duration(record.finished_at - record.created_at)})"
    return {
        "run": record.id,
        "state": _state(record) + took,
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
        "speed": _speed(steps),
        "job": str(record.handle.get("job") or ""),
        "cost": _cost(run, record),
        "rows": f"{record.rows:,} ({record.data_fingerprint[:19]}…)",
        "task": run.task.instructions or "(the rows are whole conversations)",
        "recipe": json_line(_changed_fields(run)),
        "folder": str(run.folder),
    }


def _tuned_model(run: Run, record: RunRecord) -> str:
    """Return the name of the tuned model; the host's own name for it if the backend cannot be created."""
    from ftkit.errors import FtkitError

    if record.state != "succeeded":
        return ""
    try:
        return run.model.name
    except FtkitError:
        return f"{record.backend}:{record.summary.get('tuned_model') or ''}"


def _last_refusal(run: Run) -> dict[str, Any] | None:
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
    """Return the largest and the last divergence on held-out rehearsal rows, and the budget."""
    values = _numbers(validations, "preserve_kl")
    if not values:
        return ""
    budget = (record.recipe.get("preserve") or {}).get("budget")
    limit = "no budget" if budget is None else f"budget {budget:g}"
    return f"{values[-1]:.4f} nats per token on rehearsal rows, at most {max(values):.4f} ({limit})"


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


@runs.command()
def wait(run_id: RunId) -> None:
    """Wait until a run ends and show its progress. Ctrl-C stops waiting, not the run."""
    from ftkit.cli.run_progress import wait_for

    wait_for(_get(run_id))


@runs.command()
def cancel(run_id: RunId) -> None:
    """Cancel a run. It finishes its step and saves a checkpoint, from which `ftkit runs resume` continues."""
    run = _get(run_id)
    if run.state not in ("queued", "running"):
        note(f"run {run.id} has already ended: {run.state}")
        return
    note(f"run {run.id} is {run.cancel().state}")


@runs.command()
def pause(run_id: RunId) -> None:
    """Pause a run, where the host supports it. `ftkit runs resume` continues it."""
    note(f"run {_get(run_id).pause().id} is paused; continue with `ftkit runs resume {run_id}`")


@runs.command()
def resume(
    run_id: RunId,
    *,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return at once; the run continues in the background.")
    ] = False,
) -> None:
    """Resume a run that was paused or cancelled, or has failed.

    It continues from its newest checkpoint, or starts again if there is none.
    """
    from ftkit.cli.run_progress import wait_for

    run = _get(run_id).resume()
    if detach:
        note(f"run {run.id} continues in the background; wait for it with `ftkit runs wait {run.id}`")
    else:
        wait_for(run)


@runs.command()
def download(
    run_id: RunId, folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder.", show_default=False)]
) -> None:
    """Download the weights of a hosted run, to use them on this machine.

    Together, Fireworks and Nebius support this.
    """
    name = _get(run_id).download(folder).name
    note(f"its model is {name}; evaluate it with `ftkit evaluate {name} --data FILE --target COLUMN`")


@runs.command()
def log(run_id: RunId) -> None:
    """Print the log of the run's local process."""
    text = _get(run_id).log().replace("\r\n", "\n").replace("\r", "\n")  # libraries' progress bars
    if text:
        out(text, nl=not text.endswith("\n"))
    else:
        note("the log is empty")


@runs.command()
def events(run_id: RunId, *, json: AsJson = False, follow: Follow = False) -> None:
    """Print the events of a run, oldest first. With --json, one JSON object per line."""
    run = _get(run_id)
    if not follow:
        _record(run)  # polls the backend
    for event in run.follow() if follow else run.stored_events():
        out(event.model_dump_json() if json else _line(event))


def _line(event: Event) -> str:
    values = (f"{value:.4g}" if isinstance(value, float) else value for value in event.data.values())
    fields = (
        f"{name}={value if isinstance(value, str | int) else json_line(value)}"
        for name, value in zip(event.data, values, strict=True)
    )
    return f"{timestamp(event.at)}  {event.kind:<10}  {' '.join(fields)}"


@runs.command()
def samples(
    run_id: RunId,
    *,
    last: Annotated[int, typer.Option("--last", min=1, help="Number of steps to show, from the last.")] = 3,
    html: Annotated[Path | None, typer.Option("--html", help="Write all steps to an HTML page instead.")] = None,
    json: AsJson = False,
) -> None:
    """Show the best and the worst answers of a reinforcement run."""
    from ftkit.files import write_atomically
    from ftkit.render.samples import read_samples, samples_page, samples_text

    run = _get(run_id)
    _record(run)  # polls the backend
    steps = read_samples(run)
    if html is not None:
        write_atomically(html, samples_page(run, steps))
        note(f"wrote {html}")
        return
    shown = [sample for sample in steps if sample.step > steps[-1].step - last]
    out(json_text([sample.model_dump() for sample in shown]) if json else samples_text(shown))


@runs.command()
def delete(
    run_id: Annotated[str, typer.Argument(metavar="ID", help="Complete id of the run.", show_default=False)],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Delete a run with its model and files.

    The run must have ended. This cannot be undone.
    """
    from ftkit.errors import ConfigError
    from ftkit.runs import delete as delete_run
    from ftkit.store import Store, UnreadableRunError

    try:
        run = _get(run_id)
    except UnreadableRunError as error:
        note(f"warning: {error}")
        full_id, state, folder = run_id, "unreadable", Store().run_folder(run_id)
    else:
        full_id, state, folder = run.id, run.state, run.folder
    if full_id != run_id:
        raise ConfigError(f"to delete a run, give its complete id: {full_id}")
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Delete run {full_id} ({state}) and {folder}?", abort=True, err=True)
    delete_run(full_id)
    note(f"deleted run {full_id}")


def _get(run_id: str) -> Run:
    from ftkit.runs import get

    return get(run_id)
