"""``diagnose``: whether tuning is the right next step, or better data, retrieval or prompting."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ftkit.arguments import explain_calls
from ftkit.counts import counted, verb
from ftkit.data import Dataset, Row, check_dataset
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError
from ftkit.evaluation.answer_journal import answers_kept
from ftkit.evaluation.baseline_models import baselines
from ftkit.evaluation.evaluator import evaluate
from ftkit.evaluation.report_comparison import best_report, compare
from ftkit.evaluation.request_runner import EvaluableModel, check_model
from ftkit.evaluation.statistics import critical_value, wilson_interval
from ftkit.evaluation.value_for_money import ValueForMoney, value_for_money
from ftkit.results.json_values import canonical, plain
from ftkit.results.number_format import count_text, file_text, interval_text, percent_text, usd_text, value_text
from ftkit.results.report import Report
from ftkit.results.result import Result
from ftkit.schema import ChoiceOutput
from ftkit.schema.equality import normalize_text, without_outer_space
from ftkit.task import Task

__all__ = ["Diagnosis", "Evidence", "diagnose"]

MAX_CONFLICTS = 0.02
"""Above this share of rows in conflict, the data must be fixed first."""
MAX_ABSENT = 0.5
"""Above this share of rows with facts that are not in the prompt, the task needs retrieval."""
MAX_ROWS_READ = 5_000
"""Largest number of rows that are read for the checks of the data."""
MIN_ROWS = 50
"""Below this number of rows, tuning rarely helps."""

Advice = Literal["fix the data", "retrieve", "prompt", "tune"]

_FACT = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]{3,}")


class Evidence(BaseModel):
    """One piece of evidence for an advice."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    speaks_for: Advice
    sentence: str
    places: tuple[str, ...] = ()
    """At most five rows that show it."""


class Diagnosis(Result, BaseModel):
    """What to do next for a task, and why. Created by :func:`ftkit.diagnose`."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    advice: Advice
    evidence: tuple[Evidence, ...]
    """The evidence for the advice comes first."""
    zero_shot: Report
    """The baseline without examples, to compare with the tuned model."""
    few_shot: Report
    """The baseline with examples."""
    optimised: Report | None = None
    """The baseline with the optimised prompt."""
    tuned: Report | None = None
    """The tuned model."""

    def __str__(self) -> str:
        lines = [f"{self.advice.upper()}. {self.evidence[0].sentence}"]
        for each in self.evidence:
            examples = f" (e.g. {', '.join(each.places)})" if each.places else ""
            lines.append(f"- for {each.speaks_for}: {each.sentence}{examples}")
        return "\n".join(lines)


@explain_calls(instead="ft.diagnose(task, data, model)")
@answers_kept()
def diagnose(
    task: Task,
    data: Dataset,
    model: EvaluableModel,
    *,
    shots: int = 4,
    rows: int = 100,
    good_enough: float = 0.9,
    test: Dataset | None = None,
    optimised: Task | None = None,
    tuned: EvaluableModel | Report | None = None,
    predictions: int | None = None,
    seed: int = 0,
    **options: Any,
) -> Diagnosis:
    """Examine the data and an untuned model, and advise what to try first.

    The checks are made in this order. Rows that ask the same but have different targets must be fixed before training.
    Targets with facts that are not in their prompts need retrieval, because tuning teaches behaviour, not knowledge.
    If the prompt alone, a few examples or an optimised prompt are good enough, tuning is not needed. If a tuned model
    is given, the best of these prompts is compared with it, in quality and in quality per dollar. Otherwise, tune.

    Args:
        task: the task.
        data: rows with targets. Some are asked; examples come from the others.
        model: the model that would be tuned.
        shots: number of examples in the few-shot prompt.
        rows: largest number of rows to ask.
        good_enough: value of the headline metric that would be sufficient. It is reached if the lower end of the
            metric's interval is at least this.
        test: rows to ask, which no model was trained on and no prompt was chosen on. By default a part of ``data``,
            which ``optimised`` and ``tuned`` may have seen: with them it is needed.
        optimised: the task with a prompt that :func:`ftkit.optimise_prompt` found.
        tuned: the tuned model, or its report on ``test``.
        predictions: number of answers over which the cost of training is spread, for the quality per dollar.
        seed: seed of the split and of the choice of examples.
        options: as for :func:`ftkit.evaluate`; without probes unless they are given.

    Returns:
        The advice, its evidence, and the reports.

    Raises:
        ConfigError: fewer than ``2 * shots + 4`` rows; ``optimised`` or ``tuned`` without ``test``.
        ReportError: the report of the tuned model is of other rows.
    """
    check_model(model)
    check_dataset(data)
    data = data.with_task(task)
    if len(data) < 2 * shots + 4:
        raise ConfigError(
            ErrorText(
                f"diagnose needs at least {counted(2 * shots + 4, 'row')} for ",
                Argument("shots", str(shots), text=f"shots={shots}"),
                f", and there are {len(data)}",
            )
        )
    if test is None and (optimised is not None or tuned is not None):
        raise ConfigError(
            ErrorText(
                "a tuned model and an optimised prompt may have seen rows of the data, so they are asked others: give ",
                Argument("test", text="test=…"),
            )
        )
    if predictions is not None and predictions < 1:
        raise ConfigError(ErrorText(Argument("predictions", text="predictions"), " must be a number of answers"))
    sample = list(data if len(data) <= MAX_ROWS_READ else data.shuffle(seed).take(MAX_ROWS_READ))
    if test is None:
        examples, test = data.split(test=min(0.5, rows / len(data)), seed=seed)
    else:
        check_dataset(test, "test")
        examples, test = data, test.with_task(task)
    options = {"probes": None, "seed": seed, **options}
    prompted = baselines(
        model, test, constrained=False, examples=examples, shots=(0, shots), optimised=optimised, **options
    )
    zero, few = prompted[:2]
    tuned_report = tuned if tuned is None or isinstance(tuned, Report) else evaluate(tuned, test, **options)
    evidence = [
        *_conflicts(sample),
        *(() if isinstance(task.output, ChoiceOutput) else _absent_facts(sample)),
        *_good_enough(prompted, good_enough),
        *_against_tuned(prompted, tuned_report, predictions, seed),
        _gap(prompted, good_enough, len(data)),
    ]
    order: dict[Advice, int] = {"fix the data": 0, "retrieve": 1, "prompt": 2, "tune": 3}
    evidence.sort(key=lambda each: order[each.speaks_for])
    return Diagnosis(
        advice=evidence[0].speaks_for,
        evidence=tuple(evidence),
        zero_shot=zero,
        few_shot=few,
        optimised=prompted[2] if optimised is not None else None,
        tuned=tuned_report,
    )


def _conflicts(rows: Sequence[Row]) -> Iterator[Evidence]:
    """Rows with the same prompt and different targets."""
    by_prompt: dict[str, list[Row]] = {}
    for row in rows:
        if row.completion is not None:
            by_prompt.setdefault(normalize_text(canonical(plain(row.prompt))), []).append(row)
    conflicts = [same for same in by_prompt.values() if len({_compared(row) for row in same}) > 1]
    count = sum(map(len, conflicts))
    if count > MAX_CONFLICTS * len(rows):
        yield Evidence(
            speaks_for="fix the data",
            sentence=f"{count_text(count)} of {counted(len(rows), 'row')} {verb(count, 'asks', 'ask')} the "
            f"same as another and {verb(count, 'wants', 'want')} another "
            "answer: contradictory rows cannot be learnt",
            places=_places([row for same in conflicts for row in same[:2]]),
        )


def _compared(row: Row) -> str:
    return canonical(plain(without_outer_space(row.target)))


def _absent_facts(rows: Sequence[Row]) -> Iterator[Evidence]:
    """Rows whose target contains rare words that are not in the prompt."""
    # Numbers and dates may be derived from the prompt, and words in many targets are vocabulary: neither counts. A fact
    # is a word of three letters or more that occurs in at most one target in fifty.
    with_target = [row for row in rows if row.completion is not None]
    words = [{word for word in _words(row.target) if not word[0].isdigit()} for row in with_target]
    occurrences = Counter(word for own in words for word in own)
    rare = max(1, len(with_target) // 50)
    lacking = []
    for row, own in zip(with_target, words, strict=True):
        prompt = normalize_text(canonical(plain(row.prompt)))
        if any(occurrences[word] <= rare and word not in prompt for word in own):
            lacking.append(row)
    if not with_target:
        return
    low, _ = wilson_interval(len(lacking), len(with_target), critical_value(0.95))
    if low > MAX_ABSENT:
        yield Evidence(
            speaks_for="retrieve",
            sentence=f"the wanted answers of {count_text(len(lacking))} of {counted(len(with_target), 'row')} hold "
            "words that their prompts do not: this is knowledge, which must be in the prompt",
            places=_places(lacking),
        )


def _good_enough(prompted: Sequence[Report], good_enough: float) -> Iterator[Evidence]:
    for report in prompted:
        metric = report.headline
        if metric.unit != "rate" or metric.low is None or metric.high is None:
            continue
        if (metric.low if metric.higher_is_better else 1 - metric.high) >= good_enough:
            yield Evidence(
                speaks_for="prompt",
                sentence=f"{report.label} reaches {_reached(report)}, which is above {percent_text(good_enough)}; "
                f"{count_text(report.usage.input_tokens / len(report.rows))} input tokens a row",
            )
            return


def _against_tuned(
    prompted: Sequence[Report], tuned: Report | None, predictions: int | None, seed: int
) -> Iterator[Evidence]:
    """Whether the tuned model beats the best prompt, in quality and in quality per dollar."""
    if tuned is None:
        return
    best = best_report(prompted)
    compared = compare(best, tuned, seed=seed, other_prompts=True)
    sentence = compared.sentence.rstrip(".")
    training = tuned.cost.training_usd
    money = value_for_money(best, tuned, training_usd=training or 0.0, predictions=predictions)
    if money is None:
        sentence += ". Quality per dollar cannot be compared, because a price is not known"
        wins = compared.verdict == "better"
    else:
        wins = money.low > 0 and compared.verdict != "worse"
        sentence += f". {_money_text(money, best.label, tuned.label)}"
    if predictions is not None and training is None:
        sentence += ". What training cost is not known, so it is left out"
    elif training and predictions is None:
        even = compared.break_even
        sentence += f". Training cost {usd_text(training)}"
        if even is not None:
            payback = "never" if even.predictions is None else f"after {counted(even.predictions, 'answer')}"
            sentence += f", which is paid back {payback}"
    yield Evidence(speaks_for="tune" if wins else "prompt", sentence=sentence)


def _money_text(money: ValueForMoney, prompt: str, tuned: str) -> str:
    which = "it is not settled which gives more"
    if money.low > 0 or money.high < 0:
        which = f"{tuned if money.low > 0 else prompt} gives more"
    return (
        f"For a dollar, {which}: {_number(money.after)} {money.what} with {tuned} against {_number(money.before)}, a "
        f"difference of {_number(money.difference)} ({_number(money.low)} to {_number(money.high)})"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _gap(prompted: Sequence[Report], good_enough: float, rows: int) -> Evidence:
    zero, few, *rest = prompted
    found = "".join(f" and {_reached(report)} with the optimised prompt" for report in rest)
    small = (
        f". {counted(rows, 'row')} {verb(rows, 'is', 'are')} few: {MIN_ROWS} clean ones are a start"
        if rows < MIN_ROWS
        else ""
    )
    return Evidence(
        speaks_for="tune",
        sentence=f"{_reached(zero)} without and {_reached(few)} with examples{found}, against the "
        f"{percent_text(good_enough)} that would do{small}",
    )


def _reached(report: Report) -> str:
    metric = report.headline
    interval = interval_text(metric.low, metric.high, metric.unit)
    return f"{metric.name} {value_text(metric.value, metric.unit)} ({interval})"


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from (word.casefold() for word in _FACT.findall(value))
    elif isinstance(value, dict):
        for item in value.values():
            yield from _words(item)
    elif isinstance(value, list):
        for item in value:
            yield from _words(item)


def _places(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(file_text(str(row.place)) for row in rows[:5])
