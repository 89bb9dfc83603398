"""``ftkit evaluate``: ask a model every row, and report how good its answers are."""

from __future__ import annotations

from typing import Annotated

import typer

from ftkit.cli.console import show
from ftkit.cli.data_options import (
    ChosenColumn,
    ColumnNames,
    Columns,
    DataFiles,
    FormatName,
    GroupColumn,
    IdColumn,
    MarginColumn,
    RejectedColumn,
    TargetColumn,
    TaskFile,
)
from ftkit.cli.evaluation_options import (
    AllowPython,
    AsOf,
    BaseModel,
    Batched,
    ComparatorNames,
    Concurrency,
    Constrained,
    Embedder,
    ExampleFile,
    GraderFiles,
    InputUsd,
    MetricNames,
    NoProbes,
    OutputUsd,
    PriceSource,
    ProbeGeneral,
    PythonIsolation,
    RequestsPerMinute,
    Samples,
    Shots,
    TrainFile,
    TrainingUsd,
    asking_of,
    comparators_of,
    graders_of,
    prices_of,
    probes_of,
)
from ftkit.cli.model_options import (
    Label,
    Limit,
    MaxCost,
    MaxOutputTokens,
    ModelName,
    OtherTask,
    Temperature,
    model_of,
    sampling_of,
    say_cost,
)
from ftkit.cli.output_files import ResultFiles, check_result_files, save_result

__all__ = ["evaluate"]


def evaluate(
    model: ModelName,
    *,
    data: DataFiles,
    task: TaskFile = None,
    target: TargetColumn = None,
    chosen: ChosenColumn = None,
    rejected: RejectedColumn = None,
    margin: MarginColumn = None,
    output: ResultFiles = None,
    limit: Limit = None,
    max_cost: MaxCost = None,
    label: Label = None,
    primary: Annotated[
        str | None, typer.Option(metavar="METRIC", help="The metric to lead with [default: the output's accuracy]")
    ] = None,
    max_output_tokens: MaxOutputTokens = None,
    temperature: Temperature = None,
    gpu_hour_usd: Annotated[
        float | None, typer.Option(metavar="USD", min=0, help="What an hour of this machine costs, for the cost.")
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option(metavar="GPU", help="The machine's GPU, for the cost: an id of `ftkit catalog --gpus`."),
    ] = None,
    input_usd: InputUsd = None,
    output_usd: OutputUsd = None,
    price_source: PriceSource = None,
    price_date: AsOf = None,
    training_usd: TrainingUsd = None,
    metric: MetricNames = None,
    grader: GraderFiles = None,
    allow_python: AllowPython = False,
    python_isolation: PythonIsolation = "kernel",
    embedder: Embedder = None,
    comparator: ComparatorNames = None,
    samples: Samples = 1,
    constrained: Constrained = False,
    shots: Shots = 0,
    examples: ExampleFile = None,
    concurrency: Concurrency = None,
    requests_per_minute: RequestsPerMinute = None,
    batch: Batched = False,
    no_probes: NoProbes = False,
    probe_general: ProbeGeneral = None,
    train_data: TrainFile = None,
    base: BaseModel = None,
    confidence: Annotated[float, typer.Option(help="Of every interval.")] = 0.95,
    other_task: OtherTask = False,
    format_: FormatName = "auto",
    columns: ColumnNames = None,
    id_: IdColumn = None,
    group: GroupColumn = None,
) -> None:
    """Ask a model every row and measure its answers.

    A model tuned by ftkit knows its task; any other needs --task. Of preferences the chosen answer is the wanted one.
    A report saved as .json keeps every answer, so that it can be compared when the model is gone. What a host will
    charge is said first.
    """
    paths = check_result_files(output)
    from ftkit.evaluation import estimate_cost
    from ftkit.evaluation import evaluate as measure

    asked = model_of(model, task, other_task, sampling_of(max_output_tokens, temperature, constrained))
    fields = comparators_of(comparator)
    graders = graders_of(grader, allow_python, python_isolation, embedder)
    prices = prices_of(input_usd, output_usd, price_source, price_date)
    named = Columns(target, chosen, rejected, margin, format_, columns, id_, group)
    rows = named.load(data, asked.task)
    train = None if train_data is None else named.load([train_data], asked.task)
    probes = probes_of(no_probes, probe_general, train, base, asked, limit, unasked=bool(shots) or batch)
    shown = None if examples is None else named.load([examples], asked.task)
    by_the_hour = gpu_hour_usd is not None or gpu is not None
    charged = asked.backend_name != "local" and bool(asked.about().get("host")) and not by_the_hour
    if charged or max_cost is not None:
        first = rows if limit is None else rows.take(limit)
        expected = estimate_cost(
            asked, first, batch=batch, samples=samples, shots=shots, examples=shown, probes=probes, prices=prices
        )
        say_cost(expected, max_cost)
    found = measure(
        asked,
        rows,
        metrics=["auto", *(metric or ()), *graders],
        comparators=fields,
        primary=primary,
        samples=samples,
        shots=shots,
        examples=shown,
        prices=prices,
        training_usd=training_usd,
        asking=asking_of(concurrency, requests_per_minute, batch),
        probes=probes,
        confidence=confidence,
        label=label,
        limit=limit,
        gpu_hour_usd=gpu_hour_usd,
        gpu=gpu,
    )
    save_result(found, paths)
    show(found)
