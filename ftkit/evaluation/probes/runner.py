"""Asking a model what beside its task tells whether tuning did harm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from ftkit.backends import Answer, OnAnswer, Request, Sampling
from ftkit.data import Dataset
from ftkit.errors import HostError, MissingExtraError, ModelError, RefusedError
from ftkit.evaluation.evaluator import evaluate
from ftkit.evaluation.metrics import Metric, RowMetric
from ftkit.evaluation.probes.base_answers import keep, kept
from ftkit.evaluation.probes.canaries import Canary, extracted
from ftkit.evaluation.probes.drift import mean_with_interval
from ftkit.evaluation.probes.general import (
    GENERAL_OUTPUT_TOKENS,
    GENERAL_TASK,
    general_metrics,
    general_set,
    passages,
)
from ftkit.evaluation.probes.overfitting import gap_between, memory_metric
from ftkit.evaluation.probes.probes import Probes
from ftkit.evaluation.request_runner import Answering, Asking, send_requests
from ftkit.results.probe_results import BaseDrift, Overfitting, TextLosses
from ftkit.results.report import Probed, Report
from ftkit.schema import TextOutput
from ftkit.task import Message, Task

__all__ = ["probe"]

_GENERAL = Sampling(max_output_tokens=GENERAL_OUTPUT_TOKENS)


class _Other:
    """The model, asked another task than its own."""

    def __init__(self, model: Answering, task: Task, sampling: Sampling) -> None:
        self._model, self.task, self.sampling = model, task, sampling

    @property
    def name(self) -> str:
        return self._model.name

    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling | None = None, on_answer: OnAnswer | None = None
    ) -> list[Answer]:
        return self._model.answer_many(requests, sampling or self.sampling, on_answer)

    def about(self) -> dict[str, Any]:
        return self._model.about()


def probe(
    model: Answering,
    report: Report,
    probes: Probes,
    metrics: Sequence[Metric],
    *,
    asking: Asking,
    progress: bool,
) -> Probed:
    """Run ``probes`` on ``model``, whose answers to the held-out rows, measured by ``metrics``, are in ``report``.

    A base that cannot be asked is left out with the reason: the answers that there are took time or money.
    """
    how: dict[str, Any] = {"confidence": report.confidence, "seed": report.seed, "asking": asking, "progress": progress}
    found = _beside(model, probes, report, how)
    base, drift, left_out = None, None, []
    room = getattr(model, "room_for_another", None)
    if probes.base is not None and room is not None and not room():
        left_out.append(
            f"no memory for {probes.base.name} beside this model; evaluate it by itself and compare the two reports"
        )
    elif probes.base is not None:
        try:
            drift = _drift(model, probes.base, report, probes.base_rows, asking, progress)
            base = _beside(probes.base, probes, report, how, again=False)
        except (HostError, ModelError, RefusedError, MissingExtraError) as error:
            left_out.append(f"the base {probes.base.name} could not be asked: {error}")
    overfitting = _overfitting(model, report, probes, metrics, how)
    return found.model_copy(
        update={"base": base, "drift": drift, "overfitting": overfitting, "left_out": tuple(left_out)}
    )


def _beside(model: Answering, probes: Probes, report: Report, how: dict[str, Any], *, again: bool = True) -> Probed:
    """What is asked of a model and of its base alike; the general set only if it was not before, unless ``again``."""
    general = retention = None
    if probes.general:
        questions = general_set(None if probes.general is True else probes.general)
        known = None if again else kept(model, questions.fingerprint)
        if known is not None:
            general = known.rescore(general_metrics(), confidence=report.confidence, seed=report.seed)
        else:
            other = _Other(model, GENERAL_TASK, _GENERAL)
            general = evaluate(other, questions, metrics=general_metrics(), **how)
            keep(model, general)
    if probes.retention is not None:
        other = _Other(model, probes.retention.task, report.sampling)
        retention = evaluate(other, probes.retention, **how)
    return Probed(general=general, retention=retention, text=_text(model))


def _text(model: Answering) -> TextLosses | None:
    losses = getattr(model, "text_losses", None)
    found = None if losses is None else losses(passages())
    return None if found is None else TextLosses(nll=tuple(nll for nll, _ in found), tokens=tuple(n for _, n in found))


def _drift(
    model: Answering, base: Answering, report: Report, rows: int, asking: Asking, progress: bool
) -> BaseDrift | None:
    """Along what the base itself answers: there its probabilities are its own."""
    divergence_from = getattr(model, "divergence_from", None)
    if divergence_from is None or divergence_from(base, []) is None:
        return None
    import numpy as np

    step = max(1, len(report.rows) // rows)
    prompts: list[list[Message]] = [
        [cast("Message", message) for message in row.prompt] for row in report.rows[::step][:rows]
    ]
    answers = send_requests(
        base, [Request(one, output=TextOutput()) for one in prompts], report.sampling, asking, progress=progress
    )
    talks: list[list[Message]] = [
        [*prompt, {"role": "assistant", "content": answer.text}]
        for prompt, answer in zip(prompts, answers, strict=True)
        if answer.text
    ]
    found = divergence_from(base, talks) if talks else None
    if not found:
        return None
    sums, tokens = (np.array(column, dtype=np.float64) for column in zip(*found, strict=True))
    mean, low, high = mean_with_interval(sums, tokens, report.seed)
    return BaseDrift(base=base.name, mean_kl=mean, low=low, high=high, prompts=len(found), tokens=int(tokens.sum()))


def _overfitting(
    model: Answering, report: Report, probes: Probes, metrics: Sequence[Metric], how: dict[str, Any]
) -> Overfitting | None:
    found = Overfitting(train_rows=0)
    if probes.train is not None:
        found = _train_gap(model, report, probes.train, probes.train_rows, metrics, how)
    if probes.canaries:
        planted, controls = _canaries(model, probes.canaries, how["asking"], how["progress"])
        found = found.model_copy(update={"planted": planted, "controls": controls})
    return found if probes.train is not None or probes.canaries else None


def _train_gap(
    model: Answering, report: Report, train: Dataset, most: int, metrics: Sequence[Metric], how: dict[str, Any]
) -> Overfitting:
    chosen = train.shuffle(report.seed).take(most) if len(train) > most else train
    lead = next(metric for metric in metrics if metric.name == report.primary)
    same = {**how, "sampling": report.sampling, "comparators": report.comparators}
    asked = evaluate(model, chosen, metrics=lead, probes=None, **same)
    both = (*asked.rows, *report.rows)
    level, seed = report.confidence, report.seed
    gaps = [
        gap_between(metric, asked.rows, report.rows, confidence=level, seed=seed)
        if isinstance(metric, RowMetric)
        else None
        for metric in (lead, memory_metric(both))
    ]
    return Overfitting(train_rows=len(asked.rows), gap=gaps[0], memory=gaps[1])


def _canaries(
    model: Answering, canaries: Sequence[Canary], asking: Asking, progress: bool
) -> tuple[tuple[int, int], tuple[int, int]]:
    requests = [Request(canary.messages[:1], output=TextOutput()) for canary in canaries]
    answers = send_requests(model, requests, Sampling(max_output_tokens=24), asking, progress=progress)
    said = [extracted(canary, answer.text) for canary, answer in zip(canaries, answers, strict=True)]

    def count(planted: bool) -> tuple[int, int]:
        own = [found for canary, found in zip(canaries, said, strict=True) if canary.planted is planted]
        return sum(own), len(own)

    return count(True), count(False)
