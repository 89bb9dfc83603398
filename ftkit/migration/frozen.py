"""Ask a model every test row once and keep its report, so that no paid answer is asked twice."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ftkit.backends import Sampling
from ftkit.counts import counted, verb
from ftkit.data import Dataset
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import MigrationError, ModelError, ReportError
from ftkit.evaluation.measurement import measured_report
from ftkit.evaluation.metrics import MetricContext, Metrics, select_metrics
from ftkit.evaluation.request_runner import RequestOptions
from ftkit.evaluation.scoring import measure
from ftkit.migration.rows import MigrationRows
from ftkit.migration.sampling import model_to_ask
from ftkit.migration.state import MigrationFolder
from ftkit.model import Model
from ftkit.results.report import Report
from ftkit.results.report_row import prompt_digest

__all__ = ["FROZEN", "failed_rows", "freeze", "load_report", "request_options"]

FROZEN = "frozen.json"
_ANSWERS = "frozen"
_CONCURRENCY = 8


def request_options(model: Model, *, batch: bool = False, requests_per_minute: float | None = None) -> RequestOptions:
    """Return how a model is asked, so that answers are kept on disk until the report is written.

    Args:
        model: the model.
        batch: whether to use the host's batch API.
        requests_per_minute: highest rate at a host.

    Returns:
        The options.
    """
    if not model.about().get("host"):  # on this machine, which wants all requests in one call
        return RequestOptions(resume=True)
    if batch:
        return RequestOptions(batch=True)
    return RequestOptions(concurrency=_CONCURRENCY, requests_per_minute=requests_per_minute)


def freeze(
    folder: MigrationFolder,
    rows: MigrationRows,
    *,
    given: Report | None,
    sampling: Sampling,
    batch: bool,
    requests_per_minute: float | None,
    leave_out_failed: bool,
    primary: str | None,
    confidence: float,
    seed: int,
    progress: bool,
) -> Report:
    """Freeze the old model's answers, once.

    The report is in the state before the kept answers are deleted, so that no moment is without one of the two.

    Args:
        folder: the migration.
        rows: its rows.
        given: the old model's report from an earlier time; then it is not asked.
        sampling: how answers are sampled.
        batch: whether to use the host's batch API.
        requests_per_minute: highest rate at the host.
        leave_out_failed: leave rows that it cannot answer out of the comparison.
        primary: the headline metric; by default the accuracy of the output.
        confidence: confidence level.
        seed: seed of the report.
        progress: show the progress.

    Returns:
        The report.

    Raises:
        MigrationError: rows failed, or ``given`` is of other rows.
    """
    state = folder.state
    if state.frozen is not None:
        folder.drop_answers(_ANSWERS)  # a process that was killed may have left them
        return load_report(folder, FROZEN)
    if given is not None:
        _check_given(given, rows, str(state.model))
        known = {metric.name for metric in given.metrics}
        if rows.recipe.grading is not None and rows.recipe.grading.grader.name not in known:
            report = given.rescore(rows.metrics, primary=primary)
        else:
            report = given if primary is None else given.rescore(primary=primary)
        _keep(folder, report)
        return report
    model = model_to_ask(str(state.model), rows.task, sampling)
    with measured_report(
        model,
        rows.test,
        options=request_options(model, batch=batch, requests_per_minute=requests_per_minute),
        metrics=rows.metrics,
        primary=primary,
        confidence=confidence,
        seed=seed,
        progress=progress,
        answers_in=folder.answers_of(_ANSWERS),
    ) as (measured, _):
        report, failed = measured, failed_rows(measured)
        if failed and (not leave_out_failed or len(failed) == len(report.rows)):
            raise MigrationError(
                ErrorText(
                    f"{len(failed)} of {counted(len(report.rows), 'row')} {verb(len(failed), 'has', 'have')} "
                    "no answer: "
                    f"{report.rows[failed[0]].error}. ",
                    "Run the same again: rows with an answer are not asked again. ",
                    "If these rows fail every time, add ",
                    Argument("leave_out_failed", text="leave_out_failed=True"),
                ),
                step="freeze",
            )
        if failed:
            report = _without(report, rows.test, failed, rows.metrics)
            state.unanswered = failed
        _keep(folder, report)
    folder.drop_answers(_ANSWERS)
    return report


def load_report(folder: MigrationFolder, path: str) -> Report:
    """Load a report that the migration wrote. A later version of ftkit loads it, too.

    Args:
        folder: the migration.
        path: its path below the folder.

    Returns:
        The report.

    Raises:
        MigrationError: it is gone, or another report is in its place.
    """
    file = folder.check_file(path)
    try:
        return Report.load(file)
    except ReportError as error:
        raise MigrationError(f"{error}. Put the report back, or begin again in another folder", step="check") from None


def failed_rows(report: Report) -> list[int]:
    """List the rows whose request failed.

    Args:
        report: a report.

    Returns:
        Their positions.
    """
    return [position for position, row in enumerate(report.rows) if row.finish_reason == "error"]


def _keep(folder: MigrationFolder, report: Report) -> None:
    report.save(folder.path / FROZEN)
    folder.add_file(FROZEN)
    folder.state.frozen = report.digest
    folder.save()


def _without(report: Report, test: Dataset, failed: Sequence[int], metrics: Metrics) -> Report:
    """The same report without some rows, measured again by the scores that the rows have: no grader is asked."""
    gone = set(failed)
    kept = [position for position in range(len(report.rows)) if position not in gone]
    rows = tuple(report.rows[position] for position in kept)
    selected = select_metrics(metrics, MetricContext(report.output, rows, report.comparators))
    fields = {name: getattr(report, name) for name in type(report).model_fields}
    fields |= {
        "rows": rows,
        "metrics": measure(rows, selected, confidence=report.confidence),
        "dataset_fingerprint": test.select(kept).fingerprint,
        "cost": report.cost.model_copy(update={"failed_share": 0.0}),
    }
    return Report.model_construct(**fields)


def _check_given(report: Report, rows: MigrationRows, old: str) -> None:
    if _name_at_host(report.model) != _name_at_host(old):
        raise MigrationError(
            ErrorText(
                *(Argument("frozen", text="frozen"), f": the report is of {report.model}, not of {old}; "),
                "give the report of the model that is replaced, or name the model of the report",
            ),
            step="freeze",
        )
    if report.output != rows.task.output:
        raise MigrationError(
            ErrorText(
                *(Argument("frozen", text="frozen"), ": the report is of a task with another output than "),
                *(Argument("task", text="task"), ", so answers cannot be compared; give the task of the report"),
            ),
            step="freeze",
        )
    expected = [prompt_digest(row) for row in rows.test]
    if [row.prompt_hash for row in report.rows] != expected:
        raise MigrationError(
            ErrorText(
                *(
                    Argument("frozen", text="frozen"),
                    f": the report has {counted(len(report.rows), 'row')} and the test rows are ",
                ),
                f"{len(expected)}, or their prompts or order differ; give the rows that the report was made of with ",
                Argument("test"),
            ),
            step="freeze",
        )
    failed = failed_rows(report)
    if failed:
        raise ModelError(
            f"{len(failed)} of {counted(len(report.rows), 'row')} of the given report "
            f"{verb(len(failed), 'has', 'have')} no answer, which would "
            "make the old model look worse than it is; freeze them again"
        )


def _name_at_host(model: str) -> str:
    """The name without the host, which other tools write as ``openai/name``."""
    return re.split(r"[:/]", model, maxsplit=1)[-1]
