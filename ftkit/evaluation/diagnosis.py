"""Whether to tune at all: labels in conflict, facts that no prompt holds, and how far a few examples already go."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ftkit.data import Dataset, Row, check_dataset
from ftkit.errors import ConfigError
from ftkit.evaluation.baseline_models import baselines
from ftkit.evaluation.request_runner import EvaluableModel, check_model
from ftkit.evaluation.statistics import critical_value, wilson_interval
from ftkit.results.json_values import canonical, plain
from ftkit.results.number_format import count_text, file_text, interval_text, percent_text, value_text
from ftkit.results.report import Report
from ftkit.results.result import Result
from ftkit.schema import ChoiceOutput
from ftkit.schema.equality import normalised
from ftkit.task import Task

__all__ = ["Diagnosis", "Evidence", "diagnose"]

CONFLICTS = 0.02
"""Share of rows in conflict from which on the data comes first."""
ABSENT = 0.5
"""Share of rows with facts that the prompt does not hold, from which on the task is knowledge."""
LOOKED_AT = 5_000
"""Rows that are read at most for what the data itself tells."""
FEW = 50
"""Rows below which tuning rarely pays."""

Advice = Literal["fix the data", "retrieve", "prompt", "tune"]

_FACT = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]{3,}")


class Evidence(BaseModel):
    """One finding."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    speaks_for: Advice
    sentence: str
    places: tuple[str, ...] = ()
    """Rows that show it, at most five."""


class Diagnosis(Result, BaseModel):
    """What to do with a task, and why; made by :func:`ftkit.diagnose`."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    advice: Advice
    evidence: tuple[Evidence, ...]
    """The finding behind the advice first."""
    zero_shot: Report
    """The baselines that it rests on, for :func:`ftkit.compare` with the tuned model."""
    few_shot: Report

    def __str__(self) -> str:
        lines = [f"{self.advice.upper()}. {self.evidence[0].sentence}"]
        for one in self.evidence:
            shown = f" (e.g. {', '.join(one.places)})" if one.places else ""
            lines.append(f"- for {one.speaks_for}: {one.sentence}{shown}")
        return "\n".join(lines)


def diagnose(
    task: Task,
    data: Dataset,
    model: EvaluableModel,
    *,
    shots: int = 4,
    rows: int = 100,
    good_enough: float = 0.9,
    seed: int = 0,
    **options: Any,
) -> Diagnosis:
    """Look at the data and at what ``model`` can do without tuning, and say which way is worth trying first.

    In this order: labels in conflict must be mended before anything is learnt from them; answers with facts that their
    prompts do not hold ask for retrieval, because tuning teaches behaviour and not knowledge; where the prompt alone,
    or with a few examples, is good enough there is nothing to tune; else tune.

    Args:
        task: what the model must do.
        data: rows with wanted answers; a part is asked, examples come from the rest.
        model: the model that would be tuned.
        shots: examples in the few-shot prompt.
        rows: how many rows to ask at most.
        good_enough: the headline metric that would do; it is reached when the lower end of its interval is above.
        seed: of the split and the examples.
        options: as for :func:`ftkit.evaluate`; without probes unless they are named.

    Raises:
        ConfigError: fewer than ``2 * shots + 4`` rows.
    """
    check_model(model)
    check_dataset(data)
    data = data.with_task(task)
    if len(data) < 2 * shots + 4:
        raise ConfigError(f"diagnose needs at least {2 * shots + 4} rows for shots={shots}, and there are {len(data)}")
    whole = list(data if len(data) <= LOOKED_AT else data.shuffle(seed).take(LOOKED_AT))
    share = min(0.5, rows / len(data))
    examples, asked = data.split(test=share, seed=seed)
    zero, few = baselines(model, asked, examples=examples, shots=(0, shots), seed=seed, **{"probes": None, **options})
    found = [
        *_conflicts(whole),
        *(() if isinstance(task.output, ChoiceOutput) else _absent_facts(whole)),
        *_good_already(zero, few, good_enough),
        _gap(zero, few, good_enough, len(data)),
    ]
    order: dict[Advice, int] = {"fix the data": 0, "retrieve": 1, "prompt": 2, "tune": 3}
    found.sort(key=lambda one: order[one.speaks_for])
    return Diagnosis(advice=found[0].speaks_for, evidence=tuple(found), zero_shot=zero, few_shot=few)


def _conflicts(rows: Sequence[Row]) -> Iterator[Evidence]:
    """Rows that ask the same and want something else."""
    by_prompt: dict[str, list[Row]] = {}
    for row in rows:
        if row.completion is not None:
            by_prompt.setdefault(normalised(canonical(plain(row.prompt))), []).append(row)
    torn = [same for same in by_prompt.values() if len({canonical(plain(row.target)) for row in same}) > 1]
    count = sum(map(len, torn))
    if count > CONFLICTS * len(rows):
        yield Evidence(
            speaks_for="fix the data",
            sentence=f"{count_text(count)} of {count_text(len(rows))} rows ask the same as another and want another "
            "answer: what contradicts itself cannot be learnt",
            places=_places([row for same in torn for row in same[:2]]),
        )


def _absent_facts(rows: Sequence[Row]) -> Iterator[Evidence]:
    """Rows whose wanted answer holds names that are neither in the prompt nor usual among the answers.

    Numbers and dates may be worked out from the prompt, and words that many answers share are its vocabulary: neither
    counts. A fact is a word of three letters or more in a wanted text that stands in no more than one row in fifty.
    """
    wanted = [row for row in rows if row.completion is not None]
    words = [{word for word in _words(row.target) if not word[0].isdigit()} for row in wanted]
    times: dict[str, int] = {}
    for own in words:
        for word in own:
            times[word] = times.get(word, 0) + 1
    rare = max(1, len(wanted) // 50)
    lacking = []
    for row, own in zip(wanted, words, strict=True):
        asked = normalised(canonical(plain(row.prompt)))
        absent = [word for word in own if times[word] <= rare and word not in asked]
        if absent:
            lacking.append(row)
    if not wanted:
        return
    low, _ = wilson_interval(len(lacking), len(wanted), critical_value(0.95))
    if low > ABSENT:
        yield Evidence(
            speaks_for="retrieve",
            sentence=f"the wanted answers of {count_text(len(lacking))} of {count_text(len(wanted))} rows hold words "
            "that their prompts do not: that is knowledge, which belongs into the prompt",
            places=_places(lacking),
        )


def _good_already(zero: Report, few: Report, good_enough: float) -> Iterator[Evidence]:
    for report in (zero, few):
        metric = report.headline
        if metric.low is not None and metric.low >= good_enough:
            yield Evidence(
                speaks_for="prompt",
                sentence=f"{report.label} reaches {_reached(report)}, which is above {percent_text(good_enough)}; "
                f"{count_text(report.usage.input_tokens / len(report.rows))} input tokens a row",
            )
            return


def _gap(zero: Report, few: Report, good_enough: float, rows: int) -> Evidence:
    small = f". {count_text(rows)} rows are few: {FEW} clean ones are a start" if rows < FEW else ""
    return Evidence(
        speaks_for="tune",
        sentence=f"{_reached(zero)} without and {_reached(few)} with examples, against the {percent_text(good_enough)} "
        f"that would do{small}",
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
