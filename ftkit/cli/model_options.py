"""Options of the model and of sampling."""

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
    "ChatTemplateFile",
    "EngineName",
    "Label",
    "Limit",
    "MaxCost",
    "MaxOutputTokens",
    "MaxReasoningTokens",
    "ModelName",
    "OtherTask",
    "ReasoningEffort",
    "Temperature",
    "check_cost",
    "load_model",
    "sampling_of",
]

_RUN_ID = re.compile(r"\d{8}-\d{6}(-[0-9a-f]*)?")

ModelName = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="backend:model, e.g. local:smollm2-135m or local:RUN_ID.", show_default=False),
]
OtherTask = Annotated[
    bool, typer.Option("--other-task", help="Allow another task than the one that the model was fine-tuned for.")
]
MaxOutputTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, help="Maximum length of an answer in tokens [default: as long as the task's answers can be]"
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(metavar="T", min=0, max=2, help="Sampling temperature; 0 is greedy [default: 0]"),
]
ReasoningEffort = Annotated[
    str | None,
    typer.Option(
        metavar="EFFORT",
        help="How much a hosted model reasons: none, minimal, low, medium, high, xhigh or max [default: as its maker "
        "advises]",
    ),
]
MaxReasoningTokens = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Tokens that reasoning may take beside --max-output-tokens; hosted models."),
]
ChatTemplateFile = Annotated[
    Path | None,
    typer.Option(
        "--chat-template", metavar="FILE", help="Jinja template that replaces the model's own; models on this machine."
    ),
]
EngineName = Annotated[
    str | None,
    typer.Option("--engine", metavar="NAME", help="What runs a model on this machine: torch or vllm [default: torch]"),
]
Limit = Annotated[int | None, typer.Option(metavar="N", min=1, help="Use only the first N rows.")]
MaxCost = Annotated[
    float | None,
    typer.Option(metavar="USD", min=0, help="Refuse, before any request, if the estimated cost is higher."),
]
Label = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Name of the report in tables [default: the model's name]")
]


def load_model(
    name: str,
    task: Path | None,
    other_task: bool,
    sampling: Sampling | None,
    *,
    conversations: bool = False,
    chat_template: Path | None = None,
    engine: str | None = None,
) -> Model:
    """Return a model with the task of a file, or with the one that it was fine-tuned for.

    Args:
        name: ``backend:model``, or the id of a run.
        task: file of the task.
        other_task: allow another task than the one that the model was fine-tuned for.
        sampling: how answers are sampled; None uses the defaults.
        conversations: use an empty task if there is none, for rows that hold whole conversations.
        chat_template: file of the template that replaces the model's own.
        engine: what runs a model on this machine.

    Returns:
        The model.

    Raises:
        ConfigError: there is no task, or the model was fine-tuned for another one.
        RunError: the run does not exist or has no model yet.
    """
    from ftkit.backends import backend_of
    from ftkit.errors import ConfigError
    from ftkit.model import Model
    from ftkit.task import Task

    backend = backend_of(_resolve_run(name), chat_template=chat_template, engine=engine)
    task_given, known = read_task(task), backend.known_task()
    if task_given is None and known is None and conversations:
        task_given = Task()
    if task_given is None and known is None:
        raise ConfigError(f"{name} was not fine-tuned by ftkit, so it has no task; add --task FILE")
    if task_given is not None and known is not None and task_given.fingerprint != known.fingerprint and not other_task:
        raise ConfigError(
            f"{name} was fine-tuned for another task than {task}: instructions, input template or schema differ. "
            "Omit --task to use the model's own task, or add --other-task"
        )
    return Model(backend, task_given, sampling=sampling, other_task=other_task)


def check_cost(estimate: CostEstimate, max_cost: float | None) -> None:
    """Print the estimated cost before any request is sent.

    Raises:
        ConfigError: ``max_cost`` is no amount of money.
        RefusedError: the cost is higher than ``max_cost``, or unknown.
    """
    from ftkit.arguments import check_amount
    from ftkit.errors import RefusedError
    from ftkit.results.number_format import usd_text

    check_amount(max_cost, "max_cost")
    note(str(estimate))
    total = estimate.total_usd
    if max_cost is not None and (total is None or total > max_cost):
        reason = "no price is known" if total is None else f"the estimated cost is up to {usd_text(total)}"
        raise RefusedError(
            f"--max-cost is {usd_text(max_cost)}, but {reason}. No request was sent",
            backend=estimate.model.partition(":")[0],
        )


def _resolve_run(name: str) -> str:
    """Return the name of a run's model if ``name`` is the id of a run, else ``name``.

    A run that is still running or has failed raises a better error than an unknown model.
    """
    from ftkit import runs

    backend, _, model = name.rpartition(":")
    if not _RUN_ID.fullmatch(model) or Path(model).exists():
        return name
    tuned = runs.get(model).model.name
    return name if backend and not tuned.startswith(f"{backend}:") else tuned


def sampling_of(
    max_output_tokens: int | None,
    temperature: float | None = None,
    constrained: bool | None = None,
    *,
    reasoning_effort: str | None = None,
    max_reasoning_tokens: int | None = None,
) -> Sampling | None:
    """Return the sampling options; None if none was given."""
    from ftkit.backends import Sampling

    values = {
        "max_output_tokens": max_output_tokens,
        "temperature": temperature,
        "constrained": constrained or None,
        "reasoning_effort": reasoning_effort,
        "max_reasoning_tokens": max_reasoning_tokens,
    }
    options = {name: value for name, value in values.items() if value is not None}
    return Sampling(**options) if options else None
