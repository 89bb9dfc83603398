"""Asking a model every row of a dataset, and making the report."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from ftkit import __version__
from ftkit.backends import Request, Sampling
from ftkit.data import Dataset, check_dataset
from ftkit.errors import ConfigError
from ftkit.evaluation.answer_journal import Journal
from ftkit.evaluation.costs import Prices, cost_of, gpu_price
from ftkit.evaluation.few_shot import shot_messages, with_shots
from ftkit.evaluation.metrics import Metrics, chosen_metrics, columns_read, headline, with_graders
from ftkit.evaluation.probes.probes import Probes
from ftkit.evaluation.provenance import training_curve
from ftkit.evaluation.request_runner import Answering, Asking, check_model, send_requests
from ftkit.evaluation.scoring import measure, score_rows
from ftkit.evaluation.statistics import check_confidence, quantile
from ftkit.results.json_values import plain
from ftkit.results.report import Report
from ftkit.results.report_row import RowResult
from ftkit.results.resources import Timing, Usage
from ftkit.schema import TextOutput
from ftkit.schema.comparators import Comparators, comparators_of
from ftkit.task import Task

__all__ = ["evaluate"]


def evaluate(
    model: Answering,
    data: Dataset,
    *,
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
    prices: Prices | None = None,
    gpu_hour_usd: float | None = None,
    gpu: str | None = None,
    training_usd: float | None = None,
    asking: Asking | None = None,
    batch: bool = False,
    probes: Probes | Literal["auto"] | None = "auto",
    progress: bool = True,
) -> Report:
    """Ask ``model`` every row of ``data`` and measure its answers.

    A row that could not be asked, and an answer that cannot be read, is wrong in every accuracy.

    Args:
        model: what answers.
        data: the rows; they are asked with the model's task. Rows without a wanted answer count only in the metrics
            that need none.
        metrics: ``"auto"`` for those of the task's kind of output, names of registered metrics, graders, functions of
            one :class:`RowResult`, or a list of these (``["auto", my_metric]``). A grader that needs permission is
            given as :func:`ftkit.evaluation.graded`.
        comparators: for fields of a JSON output that need more than equality: ``{"age": Numeric(absolute=1), "day":
            "date"}``, from :mod:`ftkit.evaluation`. With them ``record_match`` leads the report.
        primary: the metric that the report leads with; the output's accuracy when left out.
        sampling: how answers are drawn; the model's own way when left out.
        samples: answers drawn for each row, with seeds from ``sampling.seed`` on. They are averaged before anything is
            measured or paired, so they narrow intervals without pretending to be more rows. Above 1 it takes a
            temperature above 0.
        shots: examples from ``examples`` that stand before each question, the same for all (few-shot prompting).
        examples: rows to take them from, of the same task: the training split.
        confidence: of every interval.
        seed: of the bootstrap and of the choice of examples; the same answers and seed give the same report.
        label: what tables call the report; the model's name when left out.
        limit: ask only this many rows, from the first.
        prices: what the model costs, with source and date; goes before the catalogue's prices, by which hosted
            backends price their answers.
        gpu_hour_usd: what an hour of the machine costs, in US dollars; with it the cost is the time taken times this.
        gpu: id of a GPU in the catalogue, e.g. ``"l4-24gb"``: its price, with source and date, in place of
            ``gpu_hour_usd``.
        training_usd: what making the model cost, for the break-even of comparisons. When left out: what the run that
            made it recorded, or its training time at the price of the hour.
        asking: how many questions at once, how fast, and whether an evaluation that was cut off is taken up.
        batch: send the questions to the host's batch API: cheaper, within 24 hours; the same as ``Asking(batch=True)``.
            Cut off, it is taken up by the same call and nothing is paid twice. Probes are asked directly, when named.
        probes: what to ask beside the task, to see whether the model forgot or learnt by heart. ``"auto"`` asks a
            :class:`ftkit.Model` the general set and, when this machine's store knows the run that made it, its training
            rows and its base, with ``shots`` or ``batch`` nothing; ``None`` nothing.
        progress: show a progress bar, when standard error is a terminal.

    Raises:
        ConfigError: no rows, an argument out of range, an unknown metric, or data of another task than the model's.
        DataError: a row cannot be read; names the place.
        RefusedError: ``batch`` of a model whose place has no batch API.
        ModelError, HostError: the model cannot answer at all.
    """
    check_model(model)
    check_dataset(data)
    drawing, how = sampling or model.sampling, asking or Asking()
    if batch:
        how = how.model_copy(update={"batch": True})
    _check(confidence, limit, gpu_hour_usd, samples, drawing)
    if sum(given is not None for given in (gpu, gpu_hour_usd, prices)) > 1:
        raise ConfigError("give one of gpu, gpu_hour_usd and prices: each is the price of the same machine")
    if gpu is not None:
        prices = gpu_price(gpu)
    wanted = with_graders(metrics)  # before anything is asked: a grader may not be able to run
    columns = columns_read(wanted)
    fields = comparators_of(comparators, model.task.output.fields())
    rows_of = _for_task(data, model.task)
    if limit is not None:
        rows_of = rows_of.take(limit)
    rows = list(rows_of)
    if not rows:
        raise ConfigError("the data has no rows to evaluate")
    before = shot_messages(shots, None if examples is None else _for_task(examples, model.task), rows, seed)
    # Free unless asked otherwise, at every place: what holds an answer to its schema hides what the model learnt.
    held = model.task.output if drawing.constrained else TextOutput()
    requests = [Request(messages=with_shots(row.prompt, before), tools=row.tools, output=held) for row in rows]
    about = plain(model.about())
    drawings = [drawing.model_copy(update={"seed": drawing.seed + number}) for number in range(samples)]
    with contextlib.ExitStack() as kept:  # until the report is whole, probes and all
        journals = [
            kept.enter_context(Journal(model.name, about, requests, each)) if how.keeps_answers else None
            for each in drawings
        ]
        started = time.perf_counter()
        drawn = [
            send_requests(model, requests, each, how, journal, progress=progress)
            for each, journal in zip(drawings, journals, strict=True)
        ]
        wall_s = time.perf_counter() - started
        about = plain(model.about())  # again, for what shows only while it answers
        output = model.task.output
        unscored = tuple(
            _row([RowResult.of(row, answers[index], output, columns) for answers in drawn])
            for index, row in enumerate(rows)
        )
        chosen = chosen_metrics(wanted, output, unscored, fields)
        lead = headline(chosen, primary)
        results = score_rows(unscored, chosen)
        every = [answer for row in results for answer in row.answers]
        report = Report(
            label=label or model.name,
            model=model.name,
            about=about,
            task=plain(model.task.model_dump(mode="json")),
            task_fingerprint=model.task.fingerprint,
            dataset_fingerprint=rows_of.fingerprint,
            sources=rows_of.source_names,
            sampling=drawing,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            ftkit_version=__version__,
            confidence=confidence,
            seed=seed,
            primary=lead,
            metrics=measure(results, chosen, confidence=confidence, seed=seed),
            usage=Usage(
                input_tokens=sum(answer.input_tokens for answer in every),
                output_tokens=sum(answer.output_tokens for answer in every),
                cached_tokens=sum(answer.cached_tokens for answer in every),
            ),
            timing=_timing(every, wall_s),
            cost=cost_of(
                results,
                lead,
                wall_s,
                model=model.name,
                about=about,
                prices=prices,
                gpu_hour_usd=gpu_hour_usd,
                training_usd=training_usd,
                batch=how.batch,
            ),
            rows=results,
            comparators=fields,
            samples=samples,
            training=training_curve(model.name),
            shots=tuple(plain(message) for message in before),
        )
        if probes == "auto":
            from ftkit.evaluation.probes.defaults import usual_probes

            probes = None if shots or how.batch else usual_probes(model, limit)
        if probes is not None:
            from ftkit.evaluation.probes.runner import probe  # which evaluates, too

            direct = how.model_copy(update={"batch": False})
            found = probe(model, report, probes, chosen, asking=direct, progress=progress)
            report = report.model_copy(update={"probes": found})
        return report


def _row(answers: Sequence[RowResult]) -> RowResult:
    first, *others = answers
    return first.model_copy(update={"others": tuple(others)})


def _check(confidence: float, limit: int | None, gpu_hour_usd: float | None, samples: int, sampling: Sampling) -> None:
    check_confidence(confidence)
    if limit is not None and limit < 1:
        raise ConfigError(f"limit must be at least 1 row, not {limit}")
    if gpu_hour_usd is not None and not gpu_hour_usd >= 0:
        raise ConfigError(f"gpu_hour_usd must be a price in US dollars, not {gpu_hour_usd}")
    if samples < 1:
        raise ConfigError(f"samples must be at least 1 answer a row, not {samples}")
    if samples > 1 and sampling.temperature == 0:
        raise ConfigError(
            f"samples={samples} at temperature 0 would ask for the same answer again; give "
            "sampling=ft.Sampling(temperature=…) above 0"
        )


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


def _timing(rows: Sequence[RowResult], wall_s: float) -> Timing:
    latencies = [row.latency_s for row in rows if row.finish_reason != "error"]
    output_tokens = sum(row.output_tokens for row in rows)
    return Timing(
        wall_s=wall_s,
        latency_p50_s=quantile(latencies, 0.5),
        latency_p95_s=quantile(latencies, 0.95),
        output_tokens_per_s=output_tokens / wall_s if wall_s > 0 and latencies else None,
    )
