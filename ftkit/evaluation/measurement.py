"""Ask a model every row of a dataset and measure its answers: an evaluation without probes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from ftkit.arguments import check_amount
from ftkit.backends import Request, Sampling
from ftkit.backends.answer_limit import has_bound, with_automatic_limit
from ftkit.data import Dataset, Row, check_dataset
from ftkit.data.assistant_turns import Turns, rows_of_turns
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError
from ftkit.evaluation.answer_journal import Journal
from ftkit.evaluation.costs import Prices, cost_of
from ftkit.evaluation.few_shot import few_shot_messages, with_examples
from ftkit.evaluation.metrics import (
    Metric,
    MetricContext,
    Metrics,
    columns_read,
    expand_graders,
    headline,
    select_metrics,
)
from ftkit.evaluation.provenance import training_curve
from ftkit.evaluation.request_runner import EvaluableModel, RequestOptions, check_model, send_requests
from ftkit.evaluation.scoring import measure, score_rows
from ftkit.evaluation.statistics import check_confidence, quantile
from ftkit.results.answer import DEFAULT_OUTPUT_TOKENS
from ftkit.results.json_values import plain
from ftkit.results.report import Report
from ftkit.results.report_row import RowResult
from ftkit.results.resources import ReusedAnswers, Timing, Usage
from ftkit.schema import TextOutput
from ftkit.schema.comparators import Comparators, comparators_of
from ftkit.task import Task
from ftkit.version import __version__

__all__ = ["measured_report"]


@contextlib.contextmanager
def measured_report(
    model: EvaluableModel,
    data: Dataset,
    *,
    options: RequestOptions,
    metrics: Metrics = "auto",
    comparators: Comparators | None = None,
    primary: str | None = None,
    sampling: Sampling | None = None,
    samples: int = 1,
    shots: int = 0,
    examples: Dataset | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    label: str | None = None,
    limit: int | None = None,
    turns: Turns = "last",
    prices: Prices | None = None,
    gpu_hour_usd: float | None = None,
    training_usd: float | None = None,
    progress: bool = True,
    activity: str = "asking",
    answers_in: Path | None = None,
) -> Iterator[tuple[Report, tuple[Metric, ...]]]:
    """Ask a model every row and measure its answers.

    Answers that are kept on disk stay there until the block ends without an error, so that work done in the block
    (probes) can fail without losing them.

    Args:
        model: the model.
        data: the rows.
        options: how requests are sent.
        metrics: as for :func:`ftkit.evaluate`.
        comparators: comparators by field of a JSON output.
        primary: the metric that leads the report.
        sampling: how answers are sampled; by default the model's own options.
        samples: answers per row.
        shots: few-shot examples before each question.
        examples: rows to take them from.
        confidence: confidence level of every interval.
        seed: seed of the choice of examples, and of tests that flip signs.
        label: name of the report in tables.
        limit: ask only this many rows, from the first.
        turns: which assistant turns of a conversation are asked.
        prices: the model's prices.
        gpu_hour_usd: price of an hour of the machine, in US dollars.
        training_usd: cost of training the model, in US dollars.
        progress: show the progress, as :meth:`ftkit.Run.wait` does.
        activity: what the progress bar says that is done.
        answers_in: folder in which answers are kept until then. By default ftkit's home, where any evaluation that asks
            the same finds them.

    Yields:
        The report without probes, and its metrics.

    Raises:
        ConfigError: no rows, an argument out of range, an unknown metric, or data of another task than the model's.
    """
    check_model(model)
    check_dataset(data)
    sampling = sampling or model.sampling
    _check(confidence, limit, gpu_hour_usd, samples, sampling)
    check_amount(training_usd, "training_usd")
    if turns not in get_args(Turns):
        raise ConfigError(
            ErrorText(Argument("turns", str(turns), text=f"turns={turns!r}"), ' is not known; it is "last" or "all"')
        )
    expanded = expand_graders(metrics)  # before any request: a grader may be unable to run
    columns = columns_read(expanded)
    task, output = model.task, model.task.output
    if task.answer_type is None and data.task.fingerprint == task.fingerprint:
        task = data.task  # which may know the Python class that says which answers are equal
    fields = comparators_of(comparators, output.fields())
    dataset = _with_task(data, task)
    if limit is not None:
        dataset = dataset.take(limit)
    rows = list(dataset) if turns == "last" else [turn for row in dataset for turn in rows_of_turns(row, task)]
    if not rows:
        raise ConfigError("the data has no rows to evaluate")
    sampling, limit_source = _limited(model, sampling, rows)
    few_shot = few_shot_messages(shots, None if examples is None else _with_task(examples, task), rows, seed)
    # Unconstrained by default, on every backend: constrained decoding would hide what the model has learnt.
    request_output = output if sampling.constrained else TextOutput()
    requests = [Request(with_examples(row.prompt, few_shot), row.tools, request_output) for row in rows]
    draws = [sampling.with_seed(sampling.seed + number) for number in range(samples)]
    with contextlib.ExitStack() as stack:
        about = plain(model.about())
        journals = [
            stack.enter_context(Journal(model.name, about, requests, draw, answers_in))
            if options.keeps_answers
            else None
            for draw in draws
        ]
        started = time.perf_counter()
        answers = [
            send_requests(model, requests, draw, options, journal, progress=progress, activity=activity)
            for draw, journal in zip(draws, journals, strict=True)
        ]
        # What interrupted evaluations took counts too: a price by the hour is paid for all answers.
        wall_s = time.perf_counter() - started + sum(0.0 if one is None else one.earlier_s for one in journals)
        about = plain(model.about())  # again, because some facts are known only after answering
        unscored = tuple(
            _merge([RowResult.of(row, draw[index], task, columns) for draw in answers])
            for index, row in enumerate(rows)
        )
        selected = select_metrics(expanded, MetricContext(output, unscored, fields))
        primary = headline(selected, primary)
        results = score_rows(unscored, selected)
        all_answers = [answer for row in results for answer in row.answers]
        report = Report(
            label=label or model.name,
            model=model.name,
            about=about,
            task=plain(task.model_dump(mode="json")),
            task_fingerprint=task.fingerprint,
            dataset_fingerprint=dataset.fingerprint,
            sources=dataset.source_names,
            sampling=sampling,
            limit_source=limit_source,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            ftkit_version=__version__,
            confidence=confidence,
            seed=seed,
            primary=primary,
            metrics=measure(results, selected, confidence=confidence),
            usage=Usage(
                input_tokens=sum(answer.input_tokens for answer in all_answers),
                output_tokens=sum(answer.output_tokens for answer in all_answers),
                cached_tokens=sum(answer.cached_tokens for answer in all_answers),
                reasoning_tokens=sum(answer.reasoning_tokens for answer in all_answers),
            ),
            timing=_timing(all_answers, wall_s),
            cost=cost_of(
                results,
                primary,
                next(metric.higher_is_better for metric in selected if metric.name == primary),
                wall_s,
                model=model.name,
                about=about,
                prices=prices,
                gpu_hour_usd=gpu_hour_usd,
                training_usd=training_usd,
                batch=options.batch,
            ),
            rows=results,
            comparators=fields,
            samples=samples,
            training=training_curve(model.name),
            shots=tuple(plain(message) for message in few_shot),
            turns=turns,
            reused=_reused(journals),
        )
        yield report, selected


def _reused(journals: Sequence[Journal | None]) -> ReusedAnswers | None:
    """The answers of interrupted evaluations in all journals together."""
    found = [one.reused for one in journals if one is not None and one.reused is not None]
    if not found:
        return None
    return ReusedAnswers(
        count=sum(one.count for one in found),
        first_at=min((one.first_at for one in found if one.first_at is not None), default=None),
        last_at=max((one.last_at for one in found if one.last_at is not None), default=None),
    )


def _limited(model: EvaluableModel, sampling: Sampling, rows: Sequence[Row]) -> tuple[Sampling, str | None]:
    """The options with a number in place of ``max_output_tokens="auto"``, and where it comes from."""
    if "max_output_tokens" in sampling.model_fields_set and sampling.max_output_tokens != "auto":
        return sampling, None
    targets = [str(row.completion.get("content") or "") for row in rows if row.completion is not None]
    # Calls may be longer than answers, and of rows without a target nothing is known.
    known = bool(targets) and len(targets) == len(rows) and not any(row.tools for row in rows)
    ask = getattr(model, "thought_tokens", None)
    output = model.task.output
    if not known and not has_bound(output):
        return sampling.with_output_tokens(DEFAULT_OUTPUT_TOKENS), "nothing bounds the answer"
    limited, source = with_automatic_limit(
        sampling, output, targets if known else (), thought_tokens=None if ask is None else ask()
    )
    return limited, source


def _merge(answers: Sequence[RowResult]) -> RowResult:
    """One row of several answers to the same prompt."""
    first, *others = answers
    return first.model_copy(update={"others": tuple(others)})


def _check(confidence: float, limit: int | None, gpu_hour_usd: float | None, samples: int, sampling: Sampling) -> None:
    check_confidence(confidence)
    if limit is not None and limit < 1:
        raise ConfigError(ErrorText(Argument("limit", text="limit"), f" must be at least 1 row, not {limit}"))
    check_amount(gpu_hour_usd, "gpu_hour_usd")
    if samples < 1:
        raise ConfigError(
            ErrorText(Argument("samples", text="samples"), f" must be at least 1 answer a row, not {samples}")
        )
    reasons = sampling.reasoning_effort not in (None, "none")  # such models sample whatever the temperature
    if samples > 1 and sampling.temperature == 0 and not reasons:
        raise ConfigError(
            ErrorText(
                Argument("samples", str(samples), text=f"samples={samples}"),
                " at temperature 0 would ask for the same answer again; give ",
                Argument("temperature", text="sampling=ft.Sampling(temperature=…)"),
                " above 0",
            )
        )


def _with_task(data: Dataset, task: Task) -> Dataset:
    """The data with the model's task, so that rows are asked with the prompts of training."""
    if data.task.fingerprint == task.fingerprint:
        return data if data.task.answer_type is not None or task.answer_type is None else data.with_task(task)
    if data.task != Task():  # data loaded without a task takes the model's
        raise ConfigError(
            f"the data was loaded with another task ({data.task.fingerprint[:19]}…) than the model answers "
            f"({task.fingerprint[:19]}…), so prompts or answers would not match. "
            "Evaluate data.with_task(model.task), or give the model the data's task."
        )
    return data.with_task(task)


def _timing(answers: Sequence[RowResult], wall_s: float) -> Timing:
    latencies = [answer.latency_s for answer in answers if answer.finish_reason != "error"]
    output_tokens = sum(answer.output_tokens for answer in answers)
    return Timing(
        wall_s=wall_s,
        latency_p50_s=quantile(latencies, 0.5),
        latency_p95_s=quantile(latencies, 0.95),
        output_tokens_per_s=output_tokens / wall_s if wall_s > 0 and latencies else None,
    )
