"""Asking a model every row of a dataset, and making the report."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from ftkit import __version__
from ftkit.backends import Answer, OnAnswer, Request, Sampling
from ftkit.data import Dataset, Row
from ftkit.errors import ConfigError, ModelError
from ftkit.evaluation.metrics import Metrics, chosen_metrics, headline
from ftkit.evaluation.plain import plain
from ftkit.evaluation.report import Cost, Report, Timing, Usage
from ftkit.evaluation.row import RowResult
from ftkit.evaluation.scoring import measure, score_rows
from ftkit.evaluation.statistics import quantile
from ftkit.task import Task

__all__ = ["Answering", "evaluate"]


class Answering(Protocol):
    """What can be evaluated: :class:`ftkit.Model`, or any object that answers requests for a task."""

    @property
    def name(self) -> str: ...

    @property
    def task(self) -> Task: ...

    @property
    def sampling(self) -> Sampling: ...

    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling | None = None, on_answer: OnAnswer | None = None
    ) -> list[Answer]: ...

    def about(self) -> dict[str, Any]: ...


def evaluate(
    model: Answering,
    data: Dataset,
    *,
    metrics: Metrics = "auto",
    primary: str | None = None,
    sampling: Sampling | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    label: str | None = None,
    limit: int | None = None,
    gpu_hour_usd: float | None = None,
    progress: bool = True,
) -> Report:
    """Ask ``model`` every row of ``data`` and measure its answers.

    A row that could not be asked, and an answer that cannot be read, is wrong in every accuracy.

    Args:
        model: what answers.
        data: the rows; they are asked with the model's task. Rows without a wanted answer count only in the metrics
            that need none.
        metrics: ``"auto"`` for those of the task's kind of output, names of registered metrics, functions of one
            :class:`RowResult`, or a list of these (``["auto", my_metric]``).
        primary: the metric that the report leads with; the output's accuracy when left out.
        sampling: how answers are drawn; the model's own way when left out.
        confidence: of every interval.
        seed: of the bootstrap; the same answers and seed give the same report.
        label: what tables call the report; the model's name when left out.
        limit: ask only this many rows, from the first.
        gpu_hour_usd: what an hour of the machine costs, in US dollars; with it the cost is the time taken times this,
            whatever the backend charges.
        progress: show a progress bar, when standard error is a terminal.

    Raises:
        ConfigError: no rows, an argument out of range, an unknown metric, or data of another task than the model's.
        DataError: a row cannot be read; names the place.
        ModelError: the model cannot answer at all.
    """
    _check(confidence, limit, gpu_hour_usd)
    rows_of = _for_task(data, model.task)
    if limit is not None:
        rows_of = rows_of.take(limit)
    rows = list(rows_of)
    if not rows:
        raise ConfigError("the data has no rows to evaluate")
    drawing = sampling or model.sampling
    started = time.perf_counter()
    answers = _ask(model, rows, drawing, progress)
    wall_s = time.perf_counter() - started
    output = model.task.output
    unscored = tuple(RowResult.of(row, answer, output) for row, answer in zip(rows, answers, strict=True))
    chosen = chosen_metrics(metrics, output, unscored)
    lead = headline(chosen, primary)
    results = score_rows(unscored, chosen)
    return Report(
        label=label or model.name,
        model=model.name,
        about=plain(model.about()),
        task=plain(model.task.model_dump(mode="json")),
        task_fingerprint=model.task.fingerprint,
        dataset_fingerprint=rows_of.fingerprint,
        sources=tuple(str(source) for source in rows_of.sources),
        sampling=drawing,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        ftkit_version=__version__,
        confidence=confidence,
        seed=seed,
        primary=lead,
        metrics=measure(results, chosen, confidence=confidence, seed=seed),
        usage=Usage(
            input_tokens=sum(row.input_tokens for row in results),
            output_tokens=sum(row.output_tokens for row in results),
            cached_tokens=sum(row.cached_tokens for row in results),
        ),
        timing=_timing(results, wall_s),
        cost=_cost(results, lead, wall_s, gpu_hour_usd),
        rows=results,
    )


def _check(confidence: float, limit: int | None, gpu_hour_usd: float | None) -> None:
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence must lie between 0 and 1 (e.g. 0.95), not {confidence}")
    if limit is not None and limit < 1:
        raise ConfigError(f"limit must be at least 1 row, not {limit}")
    if gpu_hour_usd is not None and not gpu_hour_usd >= 0:
        raise ConfigError(f"gpu_hour_usd must be a price in US dollars, not {gpu_hour_usd}")


def _for_task(data: Dataset, task: Task) -> Dataset:
    """The data with the model's task: a row must be asked as the model was trained to be asked."""
    if data.task.fingerprint == task.fingerprint:
        return data
    if data.task != Task():  # data loaded without a task takes the model's
        raise ConfigError(
            f"the data was loaded with another task ({data.task.fingerprint[:19]}…) than the model answers "
            f"({task.fingerprint[:19]}…), so prompts or answers would not match. "
            "Evaluate data.with_task(model.task), or give the model the data's task."
        )
    return data.with_task(task)


def _ask(model: Answering, rows: Sequence[Row], sampling: Sampling, progress: bool) -> list[Answer]:
    requests = [Request(messages=row.prompt, tools=row.tools) for row in rows]
    if progress and sys.stderr.isatty():
        answers = _ask_with_bar(model, requests, sampling)
    else:
        answers = model.answer_many(requests, sampling)
    if len(answers) != len(requests):
        raise ModelError(f"{model.name} gave {len(answers)} answers to {len(requests)} requests")
    return answers


def _ask_with_bar(model: Answering, requests: Sequence[Request], sampling: Sampling) -> list[Answer]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        shown = bar.add_task(f"asking {model.name}".replace("[", "\\["), total=len(requests))
        return model.answer_many(requests, sampling, lambda index, answer: bar.advance(shown))


def _timing(rows: Sequence[RowResult], wall_s: float) -> Timing:
    latencies = [row.latency_s for row in rows if row.finish_reason != "error"]
    output_tokens = sum(row.output_tokens for row in rows)
    return Timing(
        wall_s=wall_s,
        latency_p50_s=quantile(latencies, 0.5),
        latency_p95_s=quantile(latencies, 0.95),
        output_tokens_per_s=output_tokens / wall_s if wall_s > 0 and latencies else None,
    )


def _cost(rows: Sequence[RowResult], primary: str, wall_s: float, gpu_hour_usd: float | None) -> Cost:
    answered = [row for row in rows if row.finish_reason != "error"]
    priced = [row.cost_usd for row in answered if row.cost_usd is not None]
    total: float | None = None
    if gpu_hour_usd is not None:
        total, source = wall_s / 3600 * gpu_hour_usd, f"time taken at ${gpu_hour_usd:g} an hour"
    elif not answered:
        source = "no row was answered"
    elif not priced:
        source = "no price is known for this model; for your own machine pass gpu_hour_usd"
    elif len(priced) < len(answered):
        source = f"{len(answered) - len(priced)} of {len(answered)} answers came without a price"
    else:
        total, source = sum(priced), "summed over the answers, as the backend priced them"
    right = sum((row.scores.get(primary) or 0.0) >= 1 - 1e-9 for row in rows)
    return Cost(
        total_usd=total,
        per_1000_usd=None if total is None else total / len(rows) * 1000,
        per_success_usd=None if total is None or right == 0 else total / right,
        source=source,
    )
