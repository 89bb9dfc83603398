"""The rows, the task and the recipe of a migration: imported from the old job, or given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from ftkit.backends.openai_jobs import OpenAIJobs
from ftkit.backends.openai_jobs.job_import import TunedModel, import_job, tuned_models
from ftkit.data import Dataset, Row
from ftkit.data.formats import text_content
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import MigrationError
from ftkit.evaluation.metrics import Metrics, graded
from ftkit.migration.names import SourceName
from ftkit.migration.state import JobState, MigrationFolder
from ftkit.recipe import SFT, Recipe, load_recipe
from ftkit.results.report_row import prompt_digest
from ftkit.schema import Output, TextOutput, infer_output
from ftkit.task import Task

__all__ = ["TASK", "GivenRows", "MigrationRows", "import_old_job", "prepare_rows", "stops_of"]

TASK = "task.yaml"
"""The task file that a migration writes."""
_JOB = "job"
_CHECKPOINT = ":ckpt-step-"
_LEADS = 1_000
"""Rank of the grader among the metrics: what training went by leads the report."""


@dataclass(frozen=True, slots=True)
class GivenRows:
    """What the user gave in place of the job's files.

    Attributes:
        train: training rows; None for those of the job.
        test: test rows; None for the job's validation rows, or a part of its training rows.
        test_share: share of the training rows to hold out as test rows.
        task: the task; None to take that of ``test``, or to infer the output.
        frozen_task: the task of the old model's report, if it was given.
        recipe: the recipe; None for that of the job.
        seed: seed of the split.
    """

    train: Dataset | None
    test: Dataset | None
    test_share: float | None
    task: Task | None
    frozen_task: Task | None
    recipe: Recipe | None
    seed: int


@dataclass(frozen=True, slots=True)
class MigrationRows:
    """The rows that every candidate gets.

    Attributes:
        train: training rows.
        validation: validation rows; None if there are none.
        test: test rows, with the task that asks them.
        origin: where the test rows come from, and whether the old model may have seen them.
        left_out: number of test rows that are training rows too.
        recipe: the recipe.
        recipe_from_job: whether the recipe is that of the old job.
    """

    train: Dataset
    validation: Dataset | None
    test: Dataset
    origin: str
    left_out: int
    recipe: Recipe
    recipe_from_job: bool

    @property
    def task(self) -> Task:
        """The task with which every model is asked."""
        return self.test.task

    @property
    def metrics(self) -> Metrics:
        """What every model is measured by: the task's metrics, led by the grader where training went by one."""
        grading = self.recipe.grading
        if grading is None:
            return "auto"
        first, *parts = graded(
            grading.grader,
            allow_python=grading.allow_python,
            isolation=grading.isolation,
            embedder=grading.embedder,
        )
        return ["auto", replace(first, headline_rank=_LEADS), *parts]


def import_old_job(folder: MigrationFolder, source: SourceName, *, files: bool) -> None:
    """Find the job, and write its rows and its recipe into the folder, once.

    Args:
        folder: the migration.
        source: the job or its model.
        files: whether to write the files.

    Raises:
        MigrationError: the account has no such model.
        HostError: the host cannot be asked, or the rows are gone.
    """
    if folder.state.job is not None:
        return
    backend = OpenAIJobs("any", profile=source.host)
    tuned = _find(tuned_models(backend), source.name)
    if tuned is None:
        raise MigrationError(
            f"the account at {source.host} has no tuned model or job {source.name!r}; `ftkit import {source.host}` "
            "lists them",
            step="import",
        )
    if files:
        for path in import_job(backend, tuned.job, folder.path / _JOB):
            if path.name == TASK and Task.from_yaml(path) == Task():
                path.unlink()  # the folder gets a task with the output that is inferred
            else:
                folder.add_file(f"{_JOB}/{path.name}")
    checkpoint = source.name if source.name.startswith(f"{tuned.name}{_CHECKPOINT}") else None
    folder.state.job = JobState(
        id=tuned.job, base=tuned.base, method=tuned.method, stops=None if tuned.stops is None else str(tuned.stops)
    )
    folder.state.model = f"{source.host}:{checkpoint or tuned.name}"
    folder.save()


def prepare_rows(folder: MigrationFolder, given: GivenRows) -> MigrationRows:
    """Open the rows, find out the output, and keep training and test rows apart.

    Args:
        folder: the migration, with the job's files unless ``given`` replaces them.
        given: what the user gave.

    Returns:
        The rows.

    Raises:
        MigrationError: there are no test rows, or all of them are training rows.
    """
    files = folder.state.files
    imported = {
        role: Dataset.load(folder.check_file(path))
        for role in ("training", "validation")
        if (path := f"{_JOB}/{role}.jsonl") in files
    }
    train = imported.get("training") if given.train is None else given.train
    if train is None:
        raise MigrationError(ErrorText("there are no training rows; name them with ", Argument("train")), step="rows")
    validation = imported.get("validation")
    if given.test is not None:
        test, origin = given.test, f"given: {', '.join(Path(name).name for name in given.test.source_names)}"
    elif given.test_share is not None:
        train, test = train.split(test=given.test_share, seed=given.seed)
        origin = (
            f"{given.test_share:g} of the training rows, held out from the candidates. The old model was trained on "
            "them, so its result is better than on new rows"
        )
    elif validation is not None:
        test, validation = validation, None
        origin = "the validation rows of the old job, which may have decided between its epochs"
    else:
        raise MigrationError(
            ErrorText(
                "the old job has no validation rows, so there is nothing to compare on. Name rows that it was not "
                "trained on with ",
                Argument("test"),
                ", or hold out a part of its training rows with ",
                Argument("test_share", "0.2", text="test_share=0.2"),
                ", on which the old model has an advantage",
            ),
            step="rows",
        )
    task = given.task
    if task is None:
        task = test.task if test.task != Task() else given.frozen_task
    if task is None and f"{_JOB}/{TASK}" in files:
        task = Task.from_yaml(folder.check_file(f"{_JOB}/{TASK}"))
    output = _output([train, test]) if task is None else task.output
    test = test.with_task(Task(output=output) if task is None else task)
    train = _with_output(train, output)
    validation = None if validation is None else _with_output(validation, output)
    seen = {prompt_digest(row) for row in train}
    kept = [position for position, row in enumerate(test) if prompt_digest(row) not in seen]
    left_out = len(test) - len(kept)
    if not kept:
        raise MigrationError(
            ErrorText(
                f"all {len(test)} test rows have prompts of the training rows, so they show nothing; name others with ",
                Argument("test"),
            ),
            step="rows",
        )
    if left_out:
        test = test.select(kept)
    if folder.state.unanswered:
        gone = set(folder.state.unanswered)
        test = test.select([position for position in range(len(test)) if position not in gone])
    job_recipe = f"{_JOB}/recipe.yaml"
    recipe = given.recipe
    if recipe is None:
        recipe = load_recipe(folder.check_file(job_recipe)) if job_recipe in files else SFT()
    return MigrationRows(
        train=train,
        validation=validation,
        test=test,
        origin=origin,
        left_out=left_out,
        recipe=recipe,
        recipe_from_job=given.recipe is None and job_recipe in files,
    )


def stops_of(folder: MigrationFolder) -> date | None:
    """Return the day on which the old model stops answering.

    Args:
        folder: the migration.

    Returns:
        The day that the import found; None if there is none.
    """
    job = folder.state.job
    return None if job is None or job.stops is None else date.fromisoformat(job.stops)


def _find(models: Iterable[TunedModel], name: str) -> TunedModel | None:
    for model in models:
        if name in (model.job, model.name) or name.startswith(f"{model.name}{_CHECKPOINT}"):
            return model
    return None


def _with_output(rows: Dataset, output: Output) -> Dataset:
    """Conversations with the output of the task; rows of a table keep their own task."""
    return rows.with_task(Task(output=output)) if rows.task.input is None else rows


def _output(parts: Iterable[Dataset]) -> Output:
    """The narrowest output that allows every answer; text if an answer calls tools."""

    def answers() -> Iterator[str]:
        for part in parts:
            for row in part:
                text = _answer(row)
                if text is None:
                    raise _CallsToolsError
                yield text

    try:
        return infer_output(answers())
    except _CallsToolsError:
        return TextOutput()


class _CallsToolsError(Exception):
    """An answer has no text."""


def _answer(row: Row) -> str | None:
    if row.completion is None or row.completion.get("tool_calls"):
        return None
    return text_content(row.completion)
