"""``ftkit migrate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ftkit.cli.console import note, show
from ftkit.cli.data_options import (
    ColumnNames,
    Columns,
    FormatName,
    GroupColumn,
    IdColumn,
    TargetColumn,
    TaskFile,
    read_task,
)
from ftkit.cli.evaluation_options import Batched, RequestsPerMinute
from ftkit.cli.model_options import MaxOutputTokens, MaxReasoningTokens, ReasoningEffort, Temperature, sampling_of

__all__ = ["migrate"]


def migrate(
    source: Annotated[
        str,
        typer.Argument(
            help="Tuned model to replace: openai:ftjob-… or openai:ft:…, or another host's.", metavar="SOURCE"
        ),
    ],
    *,
    to: Annotated[
        list[str],
        typer.Option(
            metavar="CANDIDATE",
            help="BACKEND:MODEL to train it, prompt:BACKEND:MODEL to ask it with the prompt alone, "
            "optimised-prompt:BACKEND:MODEL to search for its prompt. Repeatable.",
        ),
    ],
    margin: Annotated[
        float,
        typer.Option(metavar="LOSS", help="Largest acceptable loss of quality, e.g. 0.02. It is recorded first."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder of the migration.")] = Path(
        "migration"
    ),
    test: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Test rows that the old model was not trained on [default: the job's validation rows]"
        ),
    ] = None,
    test_share: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Hold out a share of the training rows instead.")
    ] = None,
    train: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Training rows in place of the job's files. Repeatable.")
    ] = None,
    task: TaskFile = None,
    target: TargetColumn = None,
    recipe: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Recipe (YAML) in place of the old job's.")
    ] = None,
    frozen: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Report of the old model from `ftkit freeze`; it is not asked again then."),
    ] = None,
    primary: Annotated[
        str | None, typer.Option(metavar="METRIC", help="Headline metric [default: the accuracy of the task's output]")
    ] = None,
    shots: Annotated[
        int, typer.Option(metavar="N", min=0, help="Examples before each question of prompt: candidates.")
    ] = 0,
    max_output_tokens: MaxOutputTokens = None,
    temperature: Temperature = None,
    reasoning_effort: ReasoningEffort = None,
    max_reasoning_tokens: MaxReasoningTokens = None,
    confidence: Annotated[float, typer.Option(help="Confidence level of the verdicts.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Seed of the split and of the choice of examples.")] = 0,
    batch: Batched = False,
    requests_per_minute: RequestsPerMinute = None,
    gpu_hour_usd: Annotated[
        float | None, typer.Option(metavar="USD", min=0, help="Price of this machine per hour, for local candidates.")
    ] = None,
    gpu: Annotated[str | None, typer.Option(metavar="GPU", help="GPU of this machine, whose price is used.")] = None,
    lint: Annotated[
        bool, typer.Option("--lint/--no-lint", help="Refuse rows with errors found by `ftkit lint`.")
    ] = True,
    leave_out_failed: Annotated[
        bool, typer.Option("--leave-out-failed", help="Leave out test rows that the old model cannot answer.")
    ] = False,
    max_cost: Annotated[
        float | None, typer.Option(metavar="USD", min=0, help="Refuse if the migration is estimated to cost more.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Go on whatever it costs.")] = False,
    format_: FormatName = "auto",
    columns: ColumnNames = None,
    id_: IdColumn = None,
    group: GroupColumn = None,
) -> None:
    """Find a replacement for a tuned model, with a certificate.

    Imports the job's rows and recipe, freezes the old model's answers, trains and asks every candidate, and tests each
    for non-inferiority within the margin. The costs are printed first; --yes or --max-cost goes on. If the command is
    stopped, the same command goes on where it was; only requests that were open then are sent again. The exit status is
    1 if no candidate is certified.
    """
    from ftkit.data import Dataset
    from ftkit.evaluation import Report
    from ftkit.migration import migrate as run_migration
    from ftkit.recipe import load_recipe

    task_ = read_task(task)
    reading = Columns(target, format=format_, columns=columns, id=id_, group=group)
    certificate = run_migration(
        source,
        to=to,
        margin=margin,
        folder=output,
        test=reading.load(test, task_) if test else None,
        test_share=test_share,
        train=Dataset.load(list(train)) if train else None,
        task=task_,
        recipe=None if recipe is None else load_recipe(recipe),
        frozen=None if frozen is None else Report.load(frozen),
        primary=primary,
        sampling=sampling_of(
            max_output_tokens, temperature, reasoning_effort=reasoning_effort, max_reasoning_tokens=max_reasoning_tokens
        ),
        shots=shots,
        confidence=confidence,
        seed=seed,
        batch=batch,
        requests_per_minute=requests_per_minute,
        gpu_hour_usd=gpu_hour_usd,
        gpu=gpu,
        lint=lint,
        leave_out_failed=leave_out_failed,
        max_cost=max_cost,
        yes=yes,
        on_step=note,
    )
    show(certificate)
    note(f"wrote {output / 'certificate.json'} and {output / 'certificate.html'}")
    if not certificate.certified:
        raise typer.Exit(1)
