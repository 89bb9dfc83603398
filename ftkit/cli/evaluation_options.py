"""Options of ``ftkit evaluate``: metrics, comparators, graders, prices, requests and probes."""

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
    "load_graders",
    "parse_comparators",
    "parse_isolation",
    "parse_prices",
    "parse_probes",
    "request_options",
]

MetricNames = Annotated[
    list[str] | None,
    typer.Option("--metric", metavar="NAME", help="Additional metric, e.g. chrf or rouge_l. Repeatable."),
]
GraderFiles = Annotated[
    list[Path] | None,
    typer.Option("--grader", metavar="FILE", help="Grader (.json, .yaml) whose grade becomes a metric. Repeatable."),
]
AllowPython = Annotated[
    bool,
    typer.Option(
        "--allow-python",
        help="Allow Python code of graders to run: python graders in a sandbox, functions as trusted code.",
    ),
]
Embedder = Annotated[
    str | None,
    typer.Option(
        "--embedder",
        metavar="NAME:MODEL",
        help="Embedding model of cosine graders: openai:text-embedding-3-large, or a local one, local:NAME.",
    ),
]
PythonIsolation = Annotated[
    str,
    typer.Option(
        "--python-isolation",
        metavar="HOW",
        help="Sandbox of Python graders. kernel: no network and no files. process: only limits, for trusted code.",
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
Samples = Annotated[int, typer.Option(metavar="N", min=1, help="Answers per row, averaged; needs --temperature.")]
Shots = Annotated[int, typer.Option(metavar="K", min=0, help="Few-shot examples in each prompt, from --examples.")]
ExampleFile = Annotated[
    Path | None, typer.Option("--examples", metavar="FILE", help="Rows for few-shot examples, e.g. the training split.")
]
InputUsd = Annotated[float | None, typer.Option(metavar="USD", min=0, help="Price per million input tokens.")]
OutputUsd = Annotated[float | None, typer.Option(metavar="USD", min=0, help="Price per million output tokens.")]
PriceSource = Annotated[str | None, typer.Option(metavar="TEXT", help="Source of the prices; required with prices.")]
AsOf = Annotated[
    str | None,
    typer.Option("--price-date", metavar="DATE", help="Date of the prices, e.g. 2026-11-24 [default: today]"),
]
TrainingUsd = Annotated[
    float | None, typer.Option(metavar="USD", min=0, help="Cost of training the model, for the break-even.")
]
Constrained = Annotated[bool, typer.Option("--constrained", help="Constrain answers to the schema while decoding.")]
Concurrency = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, help="Concurrent requests. Answers are saved, so that a stopped evaluation resumes."
    ),
]
Batched = Annotated[bool, typer.Option("--batch", help="Use the host's batch API: cheaper, within 24 hours.")]
RequestsPerMinute = Annotated[float | None, typer.Option(metavar="N", min=1e-3, help="Maximum rate of requests.")]
ProbeGeneral = Annotated[
    int | None,
    typer.Option(
        "--probe-general",
        metavar="N",
        min=1,
        help="Number of questions of the general set [default: all, or about --limit]",
    ),
]
NoProbes = Annotated[bool, typer.Option("--no-probes", help="Skip the probes for forgetting and overfitting.")]
TrainFile = Annotated[
    Path | None,
    typer.Option(
        "--train-data", metavar="FILE", help="Training rows of the model, to measure overfitting [default: its run's]"
    ),
]
BaseModel = Annotated[
    str | None,
    typer.Option("--base", metavar="MODEL", help="Base model, to measure forgetting [default: its run's]"),
]


def parse_comparators(given: Sequence[str] | None) -> dict[str, Comparator | str]:
    """Return the comparators by field, from ``field=kind`` or ``field=kind:setting``."""
    from ftkit.schema.comparators import COMPARATORS

    comparators: dict[str, Comparator | str] = {}
    for option in given or ():
        field, equals, value = option.partition("=")
        kind, colon, setting = value.partition(":")
        if not equals or not kind:
            raise typer.BadParameter(f'"{option}" is not FIELD=KIND, like age=numeric:1', param_hint="--comparator")
        try:
            comparators[field] = COMPARATORS.get(kind).from_text(setting) if colon else kind
        except ValueError as error:  # ConfigError is one; a package's comparator may raise any
            raise typer.BadParameter(f'"{option}": {error}', param_hint="--comparator") from None
    return comparators


def parse_isolation(isolation: str) -> Isolation:
    """Validate ``--python-isolation``."""
    if isolation not in ("kernel", "process"):
        raise typer.BadParameter(f'"{isolation}" is not kernel or process', param_hint="--python-isolation")
    return "kernel" if isolation == "kernel" else "process"


def load_graders(
    files: Sequence[Path] | None, allow_python: bool, isolation: str, embedder: str | None
) -> list[GraderMetric]:
    """Load graders as metrics."""
    level = parse_isolation(isolation)
    from ftkit.evaluation import graded
    from ftkit.graders import load_grader

    return [
        metric
        for file in files or ()
        for metric in graded(load_grader(file), allow_python=allow_python, isolation=level, embedder=embedder)
    ]


def parse_prices(
    input_usd: float | None, output_usd: float | None, source: str | None, as_of: str | None
) -> Prices | None:
    """Return the prices of tokens; None if none was given."""
    if all(given is None for given in (input_usd, output_usd, source, as_of)):
        return None
    if input_usd is None or output_usd is None or source is None:
        raise typer.BadParameter("--input-usd, --output-usd and --price-source must be given together")
    from ftkit.evaluation import Prices

    try:
        day = date.today() if as_of is None else date.fromisoformat(as_of)
    except ValueError:
        raise typer.BadParameter(f'"{as_of}" is not a date, e.g. 2026-11-24', param_hint="--price-date") from None
    return Prices(input_usd=input_usd, output_usd=output_usd, source=source, as_of=day)


def request_options(
    concurrency: int | None, requests_per_minute: float | None, batch: bool = False, timeout: float | None = None
) -> Asking | None:
    """Return how requests are sent; None for the default."""
    if batch and (concurrency or requests_per_minute or timeout):
        raise typer.BadParameter("--batch cannot be combined with --concurrency, --requests-per-minute or --timeout")
    if timeout is not None and not timeout > 0:
        raise typer.BadParameter("--timeout must be a number of seconds above 0")
    if concurrency is None and requests_per_minute is None and timeout is None and not batch:
        return None
    from ftkit.evaluation import Asking

    if batch:
        return Asking(batch=True)
    return Asking(concurrency=concurrency, requests_per_minute=requests_per_minute, timeout_s=timeout)


def parse_probes(
    none: bool,
    general: int | None,
    train: Dataset | None,
    base: str | None,
    model: Model,
    limit: int | None,
    *,
    only_named: bool,
) -> Probes | None:
    """Return the probes: the default ones, with the given options.

    Args:
        none: no probes.
        general: number of questions of the general set.
        train: training rows of the model.
        base: name of the base model.
        model: the evaluated model.
        limit: number of evaluated rows, if not all.
        only_named: only probe if an option asks for it.
    """
    if none:
        if general is not None or train is not None or base is not None:
            raise typer.BadParameter("--no-probes cannot be combined with --probe-general, --train-data or --base")
        return None
    if only_named and general is None and train is None and base is None:
        return None
    from ftkit.evaluation import Probes
    from ftkit.evaluation.probes.defaults import default_probes
    from ftkit.model import Model

    options: dict[str, Any] = {"general": general, "train": train}
    if base is not None:
        options["base"] = Model(base, model.task, sampling=model.sampling, other_task=True)
    default = default_probes(model, limit) or Probes()
    return default.model_copy(update={name: value for name, value in options.items() if value is not None})
