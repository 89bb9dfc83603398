"""``ftkit runs``: find runs again, watch them, end them, forget them."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ftkit.cli.console import aligned, duration, json_line, json_text, note, stamp

if TYPE_CHECKING:
    from ftkit.runs import Run
    from ftkit.store import Event, RunRecord

__all__ = ["runs"]

runs = typer.Typer(help="Find runs again: wait, cancel, resume, read logs. Alone it lists them.")

RunId = Annotated[str, typer.Argument(metavar="ID", help="Id of the run, or the beginning of one.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")]

_COLOURS = {"queued": "yellow", "running": "cyan", "succeeded": "green", "failed": "red", "cancelled": "yellow"}


@runs.callback(invoke_without_command=True)
def _runs(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_()


@runs.command("list")
def list_(*, json: AsJson = False) -> None:
    """All runs, the newest first."""
    from ftkit.runs import all as every

    records = [_record(run) for run in every()]
    if json:
        typer.echo(json_text([record.model_dump(mode="json") for record in records]))
        return
    if not records:
        note("there are no runs yet; `ftkit train` starts one")
        return
    header = ("ID", "STATE", "MODEL", "ADAPTER", "ROWS", "STARTED", "TOOK")
    head, *lines = aligned([header, *map(_cells, records)])
    typer.echo(head)
    for record, line in zip(records, lines, strict=True):
        state = _state(record)
        typer.echo(line.replace(state, typer.style(state, fg=_COLOURS[record.state]), 1))


def _record(run: Run) -> RunRecord:
    """What is known of a run; when its host cannot be asked (no key here), what was known last."""
    from ftkit.errors import FtkitError
    from ftkit.store import Store

    try:
        return run.record
    except FtkitError as error:
        note(f"run {run.id} may be further than is shown: {error}")
        return Store().get(run.id)


def _state(record: RunRecord) -> str:
    """``"paused"`` is what a host makes of a running job."""
    return "paused" if record.state == "running" and record.handle.get("paused") else record.state


def _cells(record: RunRecord) -> tuple[str, ...]:
    return (
        record.id,
        _state(record),
        f"{record.backend}:{record.model}",
        str(record.recipe.get("adapter", {}).get("kind", "")),
        f"{record.rows:,}",
        stamp(record.created_at),
        "" if record.finished_at is None else duration(record.finished_at - record.created_at),
    )


@runs.command()
def show(run_id: RunId, *, json: AsJson = False) -> None:
    """Everything that is known of a run."""
    run = _get(run_id)
    record = run.record
    steps = run.metrics
    if json:
        more: dict[str, Any] = {"folder": str(run.folder), "last_step": steps[-1] if steps else None}
        typer.echo(json_text(record.model_dump(mode="json") | more))
        return
    lines = _about(run, record, steps)
    for line in aligned([(f"{name}:", text) for name, text in lines.items() if text]):
        typer.echo(line)


def _about(run: Run, record: RunRecord, steps: list[dict[str, Any]]) -> dict[str, str]:
    last = steps[-1] if steps else None
    looks = [event.data for event in run.events() if event.kind == "validation"]
    took = "" if record.finished_at is None else f" ({duration(record.finished_at - record.created_at)})"
    return {
        "run": record.id,
        "state": _state(record) + took,
        "error": record.error or "",
        "base model": f"{record.backend}:{record.model}",
        "tuned model": run.model.name if record.state == "succeeded" else "",
        "started": stamp(record.created_at),
        "progress": "" if last is None else f"step {last['step']} of {last.get('steps', '?')}",
        "loss": _losses(steps),
        "reward": _course(steps, "reward"),
        "validation loss": _losses(looks),
        "validation reward": _course(looks, "reward"),
        "speed": _speed(steps),
        "job": str(record.handle.get("job") or ""),
        "cost": _cost(run, record),
        "rows": f"{record.rows:,} ({record.data_fingerprint[:19]}…)",
        "task": run.task.instructions or "(the rows hold whole conversations)",
        "recipe": json_line(_changed(run)),
        "folder": str(run.folder),
    }


def _cost(run: Run, record: RunRecord) -> str:
    """What a host charged, or estimated beforehand."""
    from ftkit.results.number_format import usd_text

    paid = record.summary.get("cost_usd")
    estimates = [event.data["estimated_usd"] for event in run.events() if "estimated_usd" in event.data]
    parts = [
        "" if paid is None else usd_text(paid),
        f"the host estimated {usd_text(estimates[-1])}" if estimates else "",
    ]
    return "; ".join(filter(None, parts))


def _speed(steps: list[dict[str, Any]]) -> str:
    """The median of the steps' speeds and MFUs, and the peak of memory, as far as the run has said them."""

    def middle(name: str) -> float | None:
        found = [step[name] for step in steps if step.get(name) is not None]
        return statistics.median(found) if found else None

    tokens, mfu = middle("tokens_per_second"), middle("mfu")
    memory = steps[-1].get("peak_memory_bytes") if steps else None
    parts = [
        "" if tokens is None else f"{tokens:,.0f} tokens/s",
        "" if mfu is None else f"MFU {mfu:.0%}",
        "" if memory is None else f"peak memory {memory / 1e9:.2f} GB",
    ]
    return ", ".join(part for part in parts if part)


def _losses(told: list[dict[str, Any]]) -> str:
    """The course of the loss and, where it is told, of the token accuracy."""
    accuracy = _course(told, "token_accuracy", ".1%")
    return _course(told, "loss") + (f", token accuracy {accuracy}" if accuracy else "")


def _course(told: list[dict[str, Any]], name: str, form: str = ".4f") -> str:
    """The first and the last value of that name."""
    found = [one[name] for one in told if one.get(name) is not None]
    return " → ".join(f"{value:{form}}" for value in dict.fromkeys([*found[:1], *found[-1:]]))


def _changed(run: Run) -> dict[str, Any]:
    """The recipe's fields that are not at their defaults."""
    recipe = run.recipe
    found: dict[str, Any] = recipe.model_dump(mode="json", exclude_defaults=True)
    adapter = recipe.adapter.model_dump(mode="json", exclude_defaults=True)
    return {"kind": recipe.kind, **found, "adapter": {"kind": recipe.adapter.kind, **adapter}}


@runs.command()
def wait(run_id: RunId) -> None:
    """Wait until a run has ended, with its progress. Ctrl-C ends the waiting, not the run."""
    from ftkit.cli.run_progress import wait_for

    wait_for(_get(run_id))


@runs.command()
def cancel(run_id: RunId) -> None:
    """End a run. It finishes its step and keeps a checkpoint, from which `ftkit runs resume` goes on."""
    run = _get(run_id)
    if run.state not in ("queued", "running"):
        note(f"run {run.id} had ended already: {run.state}")
        return
    note(f"run {run.id} is {run.cancel().state}")


@runs.command()
def pause(run_id: RunId) -> None:
    """Let a run rest where the host can. `ftkit runs resume` goes on."""
    note(f"run {_get(run_id).pause().id} is paused; go on with `ftkit runs resume {run_id}`")


@runs.command()
def resume(
    run_id: RunId,
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Come back at once; the run goes on.")] = False,
) -> None:
    """Go on with a run that was paused or cancelled, or has failed.

    It goes on from its newest checkpoint, and begins again when there is none.
    """
    from ftkit.cli.run_progress import wait_for

    run = _get(run_id).resume()
    if detach:
        note(f"run {run.id} goes on by itself; watch it with `ftkit runs wait {run.id}`")
    else:
        wait_for(run)


@runs.command()
def download(
    run_id: RunId, folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder.", show_default=False)]
) -> None:
    """Fetch the weights that a host made, to answer on this machine.

    Together, Fireworks and Nebius give them out.
    """
    name = _get(run_id).download(folder).name
    note(f"its model is {name}; measure it with `ftkit evaluate {name} --data FILE --target COLUMN`")


@runs.command()
def log(run_id: RunId) -> None:
    """What the run's process on this machine has written."""
    text = _get(run_id).log()
    if text:
        typer.echo(text, nl=not text.endswith("\n"))
    else:
        note("the log is empty")


@runs.command()
def events(run_id: RunId, *, json: AsJson = False, follow: Follow = False) -> None:
    """What has happened in a run, the oldest first. --json gives one JSON object a line."""
    run = _get(run_id)
    for event in run.follow() if follow else run.events():
        typer.echo(event.model_dump_json() if json else _line(event))


def _line(event: Event) -> str:
    figures = (f"{value:.4g}" if isinstance(value, float) else value for value in event.data.values())
    shown = (
        f"{name}={value if isinstance(value, str | int) else json_line(value)}"
        for name, value in zip(event.data, figures, strict=True)
    )
    return f"{stamp(event.at)}  {event.kind:<10}  {' '.join(shown)}"


@runs.command()
def samples(
    run_id: RunId,
    *,
    last: Annotated[int, typer.Option("--last", min=1, help="Show the latest steps only, so many.")] = 3,
    html: Annotated[Path | None, typer.Option("--html", help="Write all steps to a page instead.")] = None,
    json: AsJson = False,
) -> None:
    """The best and the worst answers of a reinforcement run."""
    from ftkit.files import write_atomically
    from ftkit.render.samples import read_samples, samples_page, samples_text

    run = _get(run_id)
    found = read_samples(run)
    if html is not None:
        write_atomically(html, samples_page(run, found))
        note(f"wrote {html}")
        return
    first = found[-1].step - last
    shown = [one for one in found if one.step > first]
    typer.echo(json_text([one.model_dump() for one in shown]) if json else samples_text(shown))


@runs.command()
def delete(
    run_id: Annotated[str, typer.Argument(metavar="ID", help="The whole id of the run.", show_default=False)],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Forget a run, and remove its model and files.

    The run must have ended. There is no way back.
    """
    from ftkit.errors import ConfigError
    from ftkit.runs import delete as forget

    run = _get(run_id)
    if run.id != run_id:
        raise ConfigError(f"to delete a run, give its whole id: {run.id}")
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Delete run {run.id} ({run.state}) and {run.folder}?", abort=True, err=True)
    forget(run.id)
    note(f"deleted run {run.id}")


def _get(run_id: str) -> Run:
    from ftkit.runs import get

    return get(run_id)
