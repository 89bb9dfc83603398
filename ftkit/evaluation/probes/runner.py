"""Run probes: ask a model what shows whether tuning did harm outside the task."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from typing_extensions import override

from ftkit.backends import Answer, OnAnswer, Request, Sampling
from ftkit.data import Dataset
from ftkit.errors import HostError, MissingExtraError, ModelError, RefusedError
from ftkit.evaluation.measurement import measured_report
from ftkit.evaluation.metrics import Metric, Metrics, RowMetric
from ftkit.evaluation.probes.answer_form import AnswerForm, answer_form
from ftkit.evaluation.probes.base_answers import load_base_report, save_base_report
from ftkit.evaluation.probes.canaries import Canary, is_extracted
from ftkit.evaluation.probes.choices import choice_probabilities
from ftkit.evaluation.probes.drift import mean_with_interval
from ftkit.evaluation.probes.general import (
    GENERAL_OUTPUT_TOKENS,
    GENERAL_TASK,
    MAX_ASKED_AGAIN,
    PLAIN_EXAMPLES,
    PLAIN_TASK,
    format_metric,
    general_metrics,
    general_set,
    passages,
    plain_examples,
)
from ftkit.evaluation.probes.overfitting import gap_between, memorised_ngrams
from ftkit.evaluation.probes.probes import Probes
from ftkit.evaluation.probes.thinking import probe_thinking
from ftkit.evaluation.request_runner import EvaluableModel, RequestOptions, send_requests
from ftkit.progress import ProgressBar
from ftkit.results.probe_results import BaseDrift, ChoiceProbabilities, Overfitting, TextLosses
from ftkit.results.report import Probed, Report
from ftkit.schema import TextOutput
from ftkit.schema.equality import same_answer
from ftkit.task import Message, Task

__all__ = ["run_probes"]

_GENERAL_SAMPLING = Sampling(max_output_tokens=GENERAL_OUTPUT_TOKENS)
_CANARY_SAMPLING = Sampling(max_output_tokens=24)


class _WithTask(EvaluableModel):
    """A model that is asked another task than its own."""

    def __init__(self, model: EvaluableModel, task: Task, sampling: Sampling) -> None:
        self._model, self._task, self._sampling = model, task, sampling

    @property
    @override
    def name(self) -> str:
        return self._model.name

    @property
    @override
    def task(self) -> Task:
        return self._task

    @property
    @override
    def sampling(self) -> Sampling:
        return self._sampling

    @override
    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling | None = None, on_answer: OnAnswer | None = None
    ) -> list[Answer]:
        return self._model.answer_many(requests, sampling or self._sampling, on_answer)

    @override
    def about(self) -> dict[str, Any]:
        return self._model.about()

    def thought_tokens(self) -> int | None:
        """As of the model; see :meth:`ftkit.Model.thought_tokens`."""
        ask = getattr(self._model, "thought_tokens", None)
        tokens: int | None = None if ask is None else ask()
        return tokens


def run_probes(
    model: EvaluableModel,
    report: Report,
    probes: Probes,
    metrics: Sequence[Metric],
    *,
    options: RequestOptions,
    progress: bool,
) -> Probed:
    """Run probes on a model.

    If the base model cannot be asked, it is left out with the reason, because the other answers cost time or money.

    Args:
        model: the model.
        report: its report on the held-out rows.
        probes: which probes to run.
        metrics: the metrics of the report.
        options: how requests are sent.
        progress: show the progress.

    Returns:
        What the probes measured.
    """
    started = time.perf_counter()
    run = _ProbeRun(report, probes, options, progress)
    results = run.ask(model)
    base, drift, left_out = None, None, []
    room = getattr(model, "room_for_another", None)
    if probes.base is not None and room is not None and not room():
        left_out.append(
            f"no memory for {probes.base.name} beside this model; evaluate it alone and compare the two reports"
        )
    elif probes.base is not None:
        try:
            drift = run.drift(model, probes.base)
            base = run.ask(probes.base, reuse=True)
        except (HostError, ModelError, RefusedError, MissingExtraError) as error:
            left_out.append(f"the base {probes.base.name} could not be asked: {error}")
    overfitting = run.overfitting(model, metrics)
    return results.model_copy(
        update={
            "base": base,
            "drift": drift,
            "overfitting": overfitting,
            "left_out": tuple(left_out),
            "wall_s": time.perf_counter() - started,
        }
    )


@dataclass(frozen=True)
class _ProbeRun:
    """The probes of one evaluation, with its settings."""

    report: Report
    probes: Probes
    options: RequestOptions
    progress: bool

    @cached_property
    def form(self) -> AnswerForm | None:
        """The form of the task's answers."""
        return answer_form(self.report)

    def ask(self, model: EvaluableModel, *, reuse: bool = False) -> Probed:
        """Ask a model the general set (or reuse saved answers), the retention set, the prose and the sentences."""
        general = plain = retention = None
        if self.probes.general:
            questions = general_set(None if self.probes.general is True else self.probes.general)
            metrics = general_metrics(self.form)
            saved = load_base_report(model, questions.fingerprint) if reuse else None
            if saved is not None:
                general = saved.rescore(metrics, confidence=self.report.confidence, seed=self.report.seed)
            else:
                general = self._evaluate(
                    _WithTask(model, GENERAL_TASK, _GENERAL_SAMPLING), questions, metrics, "general questions"
                )
                save_base_report(model, general)
            plain = self._ask_plainly(model, questions, general)
        if self.probes.retention is not None:
            with_task = _WithTask(model, self.probes.retention.task, self.report.sampling)
            retention = self._evaluate(with_task, self.probes.retention, self._retention_metrics(), "retention rows")
        text, choices = self._likelihoods(model)
        thoughts = getattr(model, "thoughts", None) if self.probes.general else None
        thinking = None if thoughts is None else probe_thinking(thoughts)
        name = None if self.form is None else self.form.name
        return Probed(
            general=general,
            retention=retention,
            text=text,
            choices=choices,
            plain=plain,
            form=name,
            thinking=thinking,
        )

    def _retention_metrics(self) -> Metrics:
        """The metrics of the retention set, and how many answers are in the form of the evaluated task's."""
        form = self.form
        if form is None:
            return "auto"
        return ["auto", format_metric(form, lambda row: row.has_target and same_answer(row.value, row.target))]

    def _ask_plainly(self, model: EvaluableModel, questions: Dataset, general: Report) -> Report | None:
        """Ask the questions again that were answered in the task's format: the ability may be there without it."""
        scores = {row.id: row.scores for row in general.rows if row.scores.get("passed") is not None}
        in_format = sorted(row_id for row_id, own in scores.items() if own.get("task_format"))
        again = set(in_format[:: max(1, -(-len(in_format) // MAX_ASKED_AGAIN))])
        if not again:
            return None
        return self._evaluate(
            _WithTask(model, PLAIN_TASK, _GENERAL_SAMPLING),
            questions.filter(lambda row: row.id in again).with_task(PLAIN_TASK),
            general_metrics(self.form),
            "plain answers",
            shots=PLAIN_EXAMPLES,
            examples=plain_examples(),
        )

    def _likelihoods(self, model: EvaluableModel) -> tuple[TextLosses | None, ChoiceProbabilities | None]:
        """Losses on plain prose, and probabilities of right ends of sentences. No format of answers confounds them."""
        losses = getattr(model, "text_losses", None)
        if losses is None:
            return None, None
        with ProgressBar(f"probing plain text of {model.name}", enabled=self.progress):
            text = losses(passages())
            if text is None:
                return None, None
            choices = choice_probabilities(losses) if self.probes.general else None
        return TextLosses(nll=tuple(nll for nll, _ in text), tokens=tuple(tokens for _, tokens in text)), choices

    def drift(self, model: EvaluableModel, base: EvaluableModel) -> BaseDrift | None:
        """KL divergence along answers of the base, where its own probabilities apply."""
        divergence_from = getattr(model, "divergence_from", None)
        if divergence_from is None or divergence_from(base, []) is None:
            return None
        import numpy as np

        rows = self.report.rows
        step = max(1, len(rows) // self.probes.base_rows)
        prompts: list[list[Message]] = [
            [cast("Message", message) for message in row.prompt] for row in rows[::step][: self.probes.base_rows]
        ]
        answers = self._send(base, prompts, self.report.sampling)
        conversations: list[list[Message]] = [
            [*prompt, {"role": "assistant", "content": answer.text}]
            for prompt, answer in zip(prompts, answers, strict=True)
            if answer.text
        ]
        divergences = divergence_from(base, conversations) if conversations else None
        if not divergences:
            return None
        sums, tokens = (np.array(column, dtype=np.float64) for column in zip(*divergences, strict=True))
        mean, low, high = mean_with_interval(sums, tokens)
        return BaseDrift(
            base=base.name, mean_kl=mean, low=low, high=high, prompts=len(divergences), tokens=int(tokens.sum())
        )

    def overfitting(self, model: EvaluableModel, metrics: Sequence[Metric]) -> Overfitting | None:
        """The gap between training and held-out rows, and the canaries that the model reveals."""
        result = Overfitting(train_rows=0)
        if self.probes.train is not None:
            result = self._training_gap(model, self.probes.train, metrics)
        if self.probes.canaries:
            planted, controls = self._canaries(model, self.probes.canaries)
            result = result.model_copy(update={"planted": planted, "controls": controls})
        return result if self.probes.train is not None or self.probes.canaries else None

    def _training_gap(self, model: EvaluableModel, train: Dataset, metrics: Sequence[Metric]) -> Overfitting:
        report, limit = self.report, self.probes.train_rows
        sample = train.shuffle(report.seed).take(limit) if len(train) > limit else train
        primary = next(metric for metric in metrics if metric.name == report.primary)
        train_report = self._evaluate(
            model, sample, primary, "training rows", sampling=report.sampling, comparators=report.comparators
        )
        gaps = [
            gap_between(metric, train_report.rows, report.rows, confidence=report.confidence)
            if isinstance(metric, RowMetric)
            else None
            for metric in (primary, memorised_ngrams((*train_report.rows, *report.rows)))
        ]
        return Overfitting(train_rows=len(train_report.rows), gap=gaps[0], memory=gaps[1])

    def _canaries(self, model: EvaluableModel, canaries: Sequence[Canary]) -> tuple[tuple[int, int], tuple[int, int]]:
        """How many of the planted canaries were revealed, of how many; and the same for the controls."""
        answers = self._send(model, [canary.messages[:1] for canary in canaries], _CANARY_SAMPLING)
        revealed = [is_extracted(canary, answer.text) for canary, answer in zip(canaries, answers, strict=True)]

        def count(planted: bool) -> tuple[int, int]:
            own = [leaked for canary, leaked in zip(canaries, revealed, strict=True) if canary.planted is planted]
            return sum(own), len(own)

        return count(True), count(False)

    def _evaluate(self, model: EvaluableModel, data: Dataset, metrics: Metrics, what: str, **settings: Any) -> Report:
        level, seed = self.report.confidence, self.report.seed
        with measured_report(
            model,
            data,
            options=self.options,
            metrics=metrics,
            confidence=level,
            seed=seed,
            progress=self.progress,
            activity=f"probing {what} of",
            **settings,
        ) as (report, _):
            return report

    def _send(self, model: EvaluableModel, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[Answer]:
        requests = [Request(prompt, output=TextOutput()) for prompt in prompts]
        return send_requests(
            model, requests, sampling, self.options, progress=self.progress, activity="probing drift of"
        )
