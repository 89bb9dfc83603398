"""``evaluate``: ask a model every row, measure its answers, and probe for forgetting and overfitting."""

from __future__ import annotations

from typing import Literal

from ftkit.arguments import check_kind, explain_calls
from ftkit.backends import Sampling
from ftkit.data import Dataset
from ftkit.data.assistant_turns import Turns
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError
from ftkit.evaluation.costs import Prices, gpu_price
from ftkit.evaluation.measurement import measured_report
from ftkit.evaluation.metrics import Metrics
from ftkit.evaluation.probes.defaults import default_probes
from ftkit.evaluation.probes.probes import Probes
from ftkit.evaluation.probes.runner import run_probes
from ftkit.evaluation.provenance import note_report
from ftkit.evaluation.request_runner import EvaluableModel, RequestOptions
from ftkit.results.report import Report
from ftkit.schema.comparators import Comparators

__all__ = ["evaluate"]


@explain_calls(
    instead="ft.evaluate(model, data)",
    fields=lambda: {
        "sampling=ft.Sampling": Sampling.model_fields,
        "asking=ft.RequestOptions": RequestOptions.model_fields,
        "probes=ft.Probes": Probes.model_fields,
    },
)
def evaluate(
    model: EvaluableModel,
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
    turns: Turns = "last",
    prices: Prices | None = None,
    gpu_hour_usd: float | None = None,
    gpu: str | None = None,
    training_usd: float | None = None,
    asking: RequestOptions | None = None,
    batch: bool = False,
    probes: Probes | Literal["auto", False] | None = "auto",
    progress: bool = True,
) -> Report:
    """Ask a model every row of a dataset and measure its answers.

    A row whose request failed, and an answer that cannot be parsed, is wrong in every accuracy.

    Args:
        model: the model to evaluate.
        data: the rows, asked with the model's task. Rows without a target count only in metrics that need none.
        metrics: ``"auto"`` for the metrics of the task's output, names of registered metrics, graders, functions of
            one :class:`RowResult`, or a list of these (``["auto", my_metric]``). Pass a grader that needs permission
            through :func:`ftkit.evaluation.graded`.
        comparators: comparators for fields of a JSON output where equality is too strict: ``{"age":
            Numeric(absolute=1), "day": "date"}``, from :mod:`ftkit.evaluation`. With them ``record_match`` leads the
            report.
        primary: the metric that leads the report; by default the accuracy of the output.
        sampling: how answers are sampled; by default the model's own options.
        samples: answers per row, with consecutive seeds from ``sampling.seed``. They are averaged before anything is
            measured or paired, so they narrow intervals without counting as more rows. More than 1 needs a
            temperature above 0.
        shots: number of examples from ``examples`` before each question, the same for all (few-shot prompting).
        examples: rows of the same task to take examples from, e.g. the training split.
        confidence: confidence level of every interval.
        seed: seed of the choice of examples, and of tests that flip signs. The same answers and seed give the same
            report.
        label: name of the report in tables; by default the model's name.
        limit: ask only this many rows, from the first.
        turns: ``"last"`` asks each conversation for its last assistant turn. ``"all"`` asks for every assistant turn
            except those of weight 0, each after the turns of the data before it; intervals treat the turns of a
            conversation as dependent.
        prices: the model's prices, with source and date. They take precedence over the catalogue's prices, which
            hosted backends use.
        gpu_hour_usd: price of an hour of the machine, in US dollars. The cost is then wall time times this price.
        gpu: id of a GPU in the catalogue, e.g. ``"l4-24gb"``, whose price is used instead of ``gpu_hour_usd``.
        training_usd: cost of training the model, for the break-even of comparisons. By default what the run that
            trained it recorded, or its training time at the price of the hour.
        asking: how requests are sent: concurrency, rate limits, attempts, resuming.
        batch: send the requests to the host's batch API: cheaper, within 24 hours; the same as
            ``RequestOptions(batch=True)``. If interrupted, the same call resumes it, and nothing is paid twice. Probes
            that are given are asked directly.
        probes: what to ask besides the task, to detect forgetting and overfitting. ``"auto"`` asks a
            :class:`ftkit.Model` the general set and, if this machine's store knows the run that trained it, its
            training rows and its base model; with ``shots`` or ``batch``, nothing. ``None`` or False asks nothing.
        progress: show the progress, as :meth:`ftkit.Run.wait` does.

    Returns:
        The report, with every answer.

    Raises:
        ConfigError: no rows, an argument out of range, an unknown metric, or data of another task than the model's.
        DataError: a row cannot be read; names the place.
        RefusedError: ``batch`` with a backend that has no batch API.
        ModelError: the model cannot answer at all.
        HostError: the host failed.
    """
    if probes is False:
        probes = None
    if probes is not None and probes != "auto":
        check_kind(probes, Probes, "probes", 'ft.Probes(train=train), "auto", or None to ask nothing')
    if asking is not None:
        check_kind(asking, RequestOptions, "asking", "ft.RequestOptions(concurrency=4)")
    options = asking or RequestOptions()
    if batch:
        options = options.model_copy(update={"batch": True})
    if sum(given is not None for given in (gpu, gpu_hour_usd, prices)) > 1:
        raise ConfigError(
            ErrorText(
                "give one of ",
                Argument("gpu", text="gpu"),
                ", ",
                Argument("gpu_hour_usd", text="gpu_hour_usd"),
                " and prices: each is the price of the same machine",
            )
        )
    with measured_report(
        model,
        data,
        options=options,
        metrics=metrics,
        comparators=comparators,
        primary=primary,
        sampling=sampling,
        samples=samples,
        shots=shots,
        examples=examples,
        confidence=confidence,
        seed=seed,
        label=label,
        limit=limit,
        turns=turns,
        prices=prices if gpu is None else gpu_price(gpu),
        gpu_hour_usd=gpu_hour_usd,
        training_usd=training_usd,
        progress=progress,
    ) as (report, selected):
        if probes == "auto":
            probes = None if shots or options.batch else default_probes(model, limit)
        if probes is None:
            note_report(report)
            return report
        direct = options.model_copy(update={"batch": False})
        results = run_probes(model, report, probes, selected, options=direct, progress=progress)
        report = report.model_copy(update={"probes": results})
        note_report(report)
        return report
