"""The model that a command line names, ready to be asked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ftkit.cli.console import note
from ftkit.cli.data_options import read_task

if TYPE_CHECKING:
    from ftkit.backends import Sampling
    from ftkit.evaluation import CostEstimate
    from ftkit.model import Model

__all__ = [
    "Label",
    "Limit",
    "MaxCost",
    "MaxOutputTokens",
    "ModelName",
    "OtherTask",
    "Temperature",
    "model_of",
    "sampling_of",
    "say_cost",
]

_RUN_ID = re.compile(r"\d{8}-\d{6}(-[0-9a-f]*)?")

ModelName = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="backend:model, e.g. local:smollm2-135m or local:RUN_ID.", show_default=False),
]
OtherTask = Annotated[
    bool, typer.Option("--other-task", help="Let a tuned model do another task than it was tuned for.")
]
MaxOutputTokens = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="The longest answer, in tokens [default: 512]"),
]
Temperature = Annotated[
    float | None,
    typer.Option(metavar="T", min=0, max=2, help="0 takes the likeliest token each time [default: 0]"),
]
Limit = Annotated[int | None, typer.Option(metavar="N", min=1, help="Ask only the first N rows.")]
MaxCost = Annotated[
    float | None, typer.Option(metavar="USD", min=0, help="Refuse before asking when it would cost more.")
]
Label = Annotated[
    str | None, typer.Option(metavar="TEXT", help="What tables call the report [default: the model's name]")
]


def model_of(
    name: str, task: Path | None, other_task: bool, sampling: Sampling | None, *, conversations: bool = False
) -> Model:
    """The model called ``name``, with the task in the file, or with the one that it was tuned for.

    Args:
        conversations: one that knows no task, and is given none, answers rows that hold whole conversations.

    Raises:
        ConfigError: it knows no task and none was given, or it knows another.
        RunError: the run of that id is not there, or has no model (yet).
    """
    from ftkit.backends import backend_of
    from ftkit.errors import ConfigError
    from ftkit.model import Model
    from ftkit.task import Task

    backend = backend_of(_tuned(name))
    given, known = read_task(task), backend.known_task()
    if given is None and known is None and conversations:
        given = Task()
    if given is None and known is None:
        raise ConfigError(f"{name} was not tuned by ftkit, so it knows no task: give one with --task FILE")
    if given is not None and known is not None and given.fingerprint != known.fingerprint and not other_task:
        raise ConfigError(
            f"{name} was tuned for another task than {task}: its instructions, input template or schema differ. "
            "Leave --task out to use its own, or add --other-task"
        )
    return Model(backend, given, sampling=sampling, other_task=other_task)


def say_cost(expected: CostEstimate, max_cost: float | None) -> None:
    """Say what asking will cost, before anything is asked.

    Raises:
        RefusedError: it is more than ``max_cost``, or not known.
    """
    from ftkit.errors import RefusedError
    from ftkit.results.number_format import usd_text

    note(str(expected))
    total = expected.total_usd
    if max_cost is not None and (total is None or total > max_cost):
        why = "no price is known" if total is None else f"it would cost up to {usd_text(total)}"
        raise RefusedError(
            f"--max-cost is {usd_text(max_cost)}, and {why}. Nothing was asked",
            backend=expected.model.partition(":")[0],
        )


def _tuned(name: str) -> str:
    """The model of a run, when ``name`` is the id of one; else ``name``.

    Asking the run first tells one that goes on, or has failed, from a model that nobody knows.
    """
    from ftkit import runs

    backend, _, model = name.rpartition(":")
    if not _RUN_ID.fullmatch(model) or Path(model).exists():
        return name
    found = runs.get(model).model.name
    if backend and not found.startswith(f"{backend}:"):
        return name
    return found


def sampling_of(
    max_output_tokens: int | None, temperature: float | None = None, constrained: bool | None = None
) -> Sampling | None:
    """How answers are drawn; ``None`` when nothing was said of it."""
    from ftkit.backends import Sampling

    given = {"max_output_tokens": max_output_tokens, "temperature": temperature, "constrained": constrained or None}
    said = {name: value for name, value in given.items() if value is not None}
    return Sampling.model_validate(said) if said else None
