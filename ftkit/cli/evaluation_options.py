"""Options of ``ftkit evaluate``: how answers are compared, what they cost, how fast to ask, what to probe."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ftkit.data import Dataset
    from ftkit.evaluation import Asking, Prices, Probes
    from ftkit.evaluation.metrics import GraderMetric
    from ftkit.graders import Isolation
    from ftkit.model import Model
    from ftkit.schema.comparators import Comparator

__all__ = [
    "AllowPython",
    "AsOf",
    "BaseModel",
    "Batched",
    "ComparatorNames",
    "Concurrency",
    "Constrained",
    "Embedder",
    "ExampleFile",
    "GraderFiles",
    "InputUsd",
    "MetricNames",
    "OutputUsd",
    "PriceSource",
    "ProbeGeneral",
    "PythonIsolation",
    "RequestsPerMinute",
    "Samples",
    "Shots",
    "TrainFile",
    "TrainingUsd",
    "asking_of",
    "comparators_of",
    "graders_of",
    "prices_of",
    "probes_of",
    "walls_of",
]

MetricNames = Annotated[
    list[str] | None,
    typer.Option("--metric", metavar="NAME", help="A metric besides those of the output: chrf, rouge_l. Repeatable."),
]
GraderFiles = Annotated[
    list[Path] | None,
    typer.Option("--grader", metavar="FILE", help="A grader (.json, .yaml) whose grade is a metric too. Repeatable."),
]
AllowPython = Annotated[
    bool, typer.Option("--allow-python", help="Let the Python code of graders run, in a sandbox. It is foreign code.")
]
Embedder = Annotated[
    str | None,
    typer.Option(
        "--embedder",
        metavar="NAME:MODEL",
        help="What embeds texts for graders of cosine: openai:text-embedding-3-large, or a model here, local:NAME.",
    ),
]
PythonIsolation = Annotated[
    str,
    typer.Option(
        "--python-isolation",
        metavar="HOW",
        help="Of that code. kernel: without network and files. process: with limits alone, on machines to be spared.",
    ),
]
ComparatorNames = Annotated[
    list[str] | None,
    typer.Option(
        "--comparator",
        metavar="FIELD=KIND",
        help="How to compare a field: exact, normalised, numeric:0.5 (largest difference), numeric:1% (of the target), "
        "date:2 (days), set, aligned, null, or a comparator of an installed package. Repeatable.",
    ),
]
Samples = Annotated[int, typer.Option(metavar="N", min=1, help="Answers a row, averaged; needs a --temperature.")]
Shots = Annotated[int, typer.Option(metavar="K", min=0, help="Examples before each question, from --examples.")]
ExampleFile = Annotated[
    Path | None, typer.Option("--examples", metavar="FILE", help="Rows to take examples from: the training split.")
]
InputUsd = Annotated[float | None, typer.Option(metavar="USD", min=0, help="Price of a million input tokens.")]
OutputUsd = Annotated[float | None, typer.Option(metavar="USD", min=0, help="Price of a million output tokens.")]
PriceSource = Annotated[str | None, typer.Option(metavar="TEXT", help="Where the prices stand; needed with them.")]
AsOf = Annotated[
    str | None, typer.Option("--price-date", metavar="DATE", help="When they were read, 2026-11-24 [default: today]")
]
TrainingUsd = Annotated[
    float | None, typer.Option(metavar="USD", min=0, help="What making the model cost, for the break-even.")
]
Constrained = Annotated[bool, typer.Option("--constrained", help="Hold answers to the schema, token by token.")]
Concurrency = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Calls open at once; answers are kept, so that it can be taken up again."),
]
Batched = Annotated[
    bool, typer.Option("--batch", help="Send the questions to the host's batch API: cheaper, within 24 hours.")
]
RequestsPerMinute = Annotated[float | None, typer.Option(metavar="N", min=1e-3, help="Calls begin no faster.")]
ProbeGeneral = Annotated[
    int | None,
    typer.Option(
        "--probe-general",
        metavar="N",
        min=1,
        help="Questions on general abilities that are asked beside the rows [default: all 172, or about --limit]",
    ),
]
NoProbes = Annotated[bool, typer.Option("--no-probes", help="Ask nothing beside the rows.")]
TrainFile = Annotated[
    Path | None,
    typer.Option(
        "--train-data", metavar="FILE", help="The rows it was tuned on, to see whether it overfits [default: its run's]"
    ),
]
BaseModel = Annotated[
    str | None,
    typer.Option("--base", metavar="MODEL", help="The model before tuning, to see what was lost [default: its run's]"),
]


def comparators_of(given: Sequence[str] | None) -> dict[str, Comparator | str]:
    """Return the comparators by field, from ``field=kind`` or ``field=kind:setting``."""
    from ftkit.errors import ConfigError
    from ftkit.schema.comparators import COMPARATORS

    comparators: dict[str, Comparator | str] = {}
    for option in given or ():
        field, equals, value = option.partition("=")
        kind, colon, setting = value.partition(":")
        if not equals or not kind:
            raise typer.BadParameter(f'"{option}" is not FIELD=KIND, like age=numeric:1', param_hint="--comparator")
        try:
            comparators[field] = COMPARATORS.get(kind).from_text(setting) if colon else kind
        except ConfigError as error:
            raise typer.BadParameter(f'"{option}": {error}', param_hint="--comparator") from None
    return comparators


def walls_of(isolation: str) -> Isolation:
    """What ``--python-isolation`` says."""
    if isolation not in ("kernel", "process"):
        raise typer.BadParameter(f'"{isolation}" is neither kernel nor process', param_hint="--python-isolation")
    return "kernel" if isolation == "kernel" else "process"


def graders_of(
    files: Sequence[Path] | None, allow_python: bool, isolation: str, embedder: str | None
) -> list[GraderMetric]:
    """The metrics of graders in files."""
    walls = walls_of(isolation)
    from ftkit.evaluation import graded
    from ftkit.graders import load_grader

    return [
        metric
        for file in files or ()
        for metric in graded(load_grader(file), allow_python=allow_python, isolation=walls, embedder=embedder)
    ]


def prices_of(
    input_usd: float | None, output_usd: float | None, source: str | None, as_of: str | None
) -> Prices | None:
    """The prices of tokens; ``None`` when none were given."""
    if all(given is None for given in (input_usd, output_usd, source, as_of)):
        return None
    if input_usd is None or output_usd is None or source is None:
        raise typer.BadParameter("prices take --input-usd, --output-usd and --price-source together")
    from ftkit.evaluation import Prices

    try:
        day = date.today() if as_of is None else date.fromisoformat(as_of)
    except ValueError:
        raise typer.BadParameter(f'"{as_of}" is no date like 2026-11-24', param_hint="--price-date") from None
    return Prices(input_usd=input_usd, output_usd=output_usd, source=source, as_of=day)


def asking_of(concurrency: int | None, requests_per_minute: float | None, batch: bool = False) -> Asking | None:
    """How the model is asked; ``None`` for all at once."""
    if batch and (concurrency or requests_per_minute):
        raise typer.BadParameter("--batch sends all questions at once: leave --concurrency and the pace out")
    if concurrency is None and requests_per_minute is None and not batch:
        return None
    from ftkit.evaluation import Asking

    if batch:
        return Asking(batch=True)
    return Asking(concurrency=concurrency, requests_per_minute=requests_per_minute)


def probes_of(
    none: bool,
    general: int | None,
    train: Dataset | None,
    base: str | None,
    model: Model,
    limit: int | None,
    *,
    unasked: bool,
) -> Probes | None:
    """What to probe: the usual, but for what was named.

    Args:
        limit: how many rows are asked, when not all.
        unasked: whether nothing is probed that was not named.
    """
    if none:
        if general is not None or train is not None or base is not None:
            raise typer.BadParameter("--no-probes leaves nothing for --probe-general, --train-data and --base")
        return None
    if unasked and general is None and train is None and base is None:
        return None
    from ftkit.evaluation import Probes
    from ftkit.evaluation.probes.defaults import default_probes
    from ftkit.model import Model

    named: dict[str, Any] = {"general": general, "train": train}
    if base is not None:
        named["base"] = Model(base, model.task, sampling=model.sampling, other_task=True)
    usual = default_probes(model, limit) or Probes()
    return usual.model_copy(update={name: value for name, value in named.items() if value is not None})
