"""``ftkit evaluate``."""

from __future__ import annotations

from typing import Annotated, Literal

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
    load_graders,
    parse_comparators,
    parse_prices,
    parse_probes,
    request_options,
)
from ftkit.cli.model_options import (
    ChatTemplateFile,
    EngineName,
    Label,
    Limit,
    MaxCost,
    MaxOutputTokens,
    MaxReasoningTokens,
    ModelName,
    OtherTask,
    ReasoningEffort,
    Temperature,
    check_cost,
    load_model,
    sampling_of,
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
        str | None, typer.Option(metavar="METRIC", help="Headline metric [default: the accuracy of the task's output]")
    ] = None,
    max_output_tokens: MaxOutputTokens = None,
    temperature: Temperature = None,
    reasoning_effort: ReasoningEffort = None,
    max_reasoning_tokens: MaxReasoningTokens = None,
    gpu_hour_usd: Annotated[
        float | None, typer.Option(metavar="USD", min=0, help="Price of this machine per hour, to compute the cost.")
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option(metavar="GPU", help="GPU of this machine, to compute the cost: an id of `ftkit catalog --gpus`."),
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
    turns: Annotated[
        Literal["last", "all"],
        typer.Option(help="Which assistant turns of a conversation to ask for; all: each one that is learned."),
    ] = "last",
    examples: ExampleFile = None,
    concurrency: Concurrency = None,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Give up a try of a request after this time [default: the backend's]"),
    ] = None,
    requests_per_minute: RequestsPerMinute = None,
    batch: Batched = False,
    no_probes: NoProbes = False,
    probe_general: ProbeGeneral = None,
    train_data: TrainFile = None,
    base: BaseModel = None,
    confidence: Annotated[float, typer.Option(help="Confidence level of all intervals.")] = 0.95,
    other_task: OtherTask = False,
    chat_template: ChatTemplateFile = None,
    engine: EngineName = None,
    format_: FormatName = "auto",
    columns: ColumnNames = None,
    id_: IdColumn = None,
    group: GroupColumn = None,
) -> None:
    """Evaluate a model on rows and print a report.

    A model fine-tuned by ftkit has a task; other models need --task. For preferences, the target is the chosen answer.
    A report saved as .json contains every answer, so it can be compared later without the model. For hosted models,
    the estimated cost is printed first.
    """
    paths = check_result_files(output, "report")
    from ftkit.evaluation import estimate_cost
    from ftkit.evaluation import evaluate as run_evaluation
    from ftkit.evaluation.answer_journal import answers_kept

    sampling = sampling_of(
        max_output_tokens,
        temperature,
        constrained,
        reasoning_effort=reasoning_effort,
        max_reasoning_tokens=max_reasoning_tokens,
    )
    evaluated = load_model(model, task, other_task, sampling, chat_template=chat_template, engine=engine)
    fields = parse_comparators(comparator)
    graders = load_graders(grader, allow_python, python_isolation, embedder)
    prices = parse_prices(input_usd, output_usd, price_source, price_date)
    reading = Columns(target, chosen, rejected, margin, format_, columns, id_, group)
    rows = reading.load(data, evaluated.task)
    train = None if train_data is None else reading.load([train_data], evaluated.task)
    probes = parse_probes(no_probes, probe_general, train, base, evaluated, limit, only_named=bool(shots) or batch)
    few_shot = None if examples is None else reading.load([examples], evaluated.task)
    self_hosted = gpu_hour_usd is not None or gpu is not None
    hosted = evaluated.backend_name != "local" and bool(evaluated.about().get("host")) and not self_hosted
    if hosted or max_cost is not None:
        first = rows if limit is None else rows.take(limit)
        cost = estimate_cost(
            evaluated,
            first,
            batch=batch,
            samples=samples,
            shots=shots,
            examples=few_shot,
            turns=turns,
            probes=probes,
            prices=prices,
        )
        check_cost(cost, max_cost)
    # Answers are kept until the report is saved, so that a process that is killed always has them or the report.
    with answers_kept():
        result = run_evaluation(
            evaluated,
            rows,
            metrics=["auto", *(metric or ()), *graders],
            comparators=fields,
            primary=primary,
            samples=samples,
            shots=shots,
            turns=turns,
            examples=few_shot,
            prices=prices,
            training_usd=training_usd,
            asking=request_options(concurrency, requests_per_minute, batch, timeout),
            probes=probes,
            confidence=confidence,
            label=label,
            limit=limit,
            gpu_hour_usd=gpu_hour_usd,
            gpu=gpu,
        )
        save_result(result, paths)
    show(result)
