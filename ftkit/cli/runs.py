"""``ftkit runs``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ftkit.cli.console import field_lines, json_line, json_text, note, out, timestamp
from ftkit.cli.run_details import last_refusal, polled_record, run_details
from ftkit.cli.run_list import Sort, Where, annotate, delete, list_, plot

if TYPE_CHECKING:
    from ftkit.runs import Run
    from ftkit.store import Event

__all__ = ["runs"]

runs = typer.Typer(help="List, watch, cancel, resume and delete runs. Without a command, list them.")

RunId = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the run, or a unique prefix of it.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Print new events until the run ends.")]


@runs.callback(invoke_without_command=True)
def _runs(context: typer.Context, *, where: Where = None, sort: Sort = None) -> None:
    if context.invoked_subcommand is None:
        list_(where=where, sort=sort)


runs.command("list")(list_)
runs.command("plot")(plot)
runs.command("annotate")(annotate)
runs.command("delete")(delete)


@runs.command()
def show(run_id: RunId, *, json: AsJson = False) -> None:
    """Show the details of a run."""
    from ftkit.runs.metric_events import step_metrics

    run = _get(run_id)
    record = polled_record(run)
    steps = step_metrics(run.stored_events())
    if json:
        refusal = last_refusal(run)
        extra: dict[str, Any] = {"folder": str(run.folder), "last_step": steps[-1] if steps else None}
        out(json_text(record.model_dump(mode="json") | extra | {"last_refusal": refusal}))
        return
    for line in field_lines(run_details(run, record, steps)):
        out(line)


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
        polled_record(run)  # polls the backend
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
    polled_record(run)  # polls the backend
    steps = read_samples(run)
    if html is not None:
        write_atomically(html, samples_page(run, steps))
        note(f"wrote {html}")
        return
    shown = [sample for sample in steps if sample.step > steps[-1].step - last]
    out(json_text([sample.model_dump() for sample in shown]) if json else samples_text(shown))


def _get(run_id: str) -> Run:
    from ftkit.runs import get

    return get(run_id)
