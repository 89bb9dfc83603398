"""Ask rows with candidate prompts, through the kept answers and within the limit of cost, and score the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftkit.backends import Answer, OnAnswer, Request, Sampling
from ftkit.counts import counted, verb
from ftkit.data import Row
from ftkit.errors import ModelError, RefusedError
from ftkit.evaluation.metrics import RowMetric
from ftkit.evaluation.prompt_search.answer_store import AnswerStore, KeptView
from ftkit.evaluation.prompt_search.spending import PricedModel, Spending
from ftkit.evaluation.request_runner import RequestOptions, send_requests
from ftkit.evaluation.scoring import score_rows
from ftkit.results.number_format import usd_text
from ftkit.results.report_row import RowResult
from ftkit.schema import TextOutput
from ftkit.task import Task

__all__ = ["AskedRow", "Asker", "KeptModel"]


@dataclass(frozen=True, slots=True)
class AskedRow:
    """A row with its answer to one prompt.

    Attributes:
        result: the row, with the answer and its scores.
        score: how good the answer is; higher is better. 0 where the metric leaves the row out.
    """

    result: RowResult
    score: float


class Asker:
    """Asks both models of a search: every answer is kept, counted, and asked only if it can be paid.

    Args:
        store: the kept answers.
        spending: the cost and its limit.
        options: pace and attempts.
    """

    def __init__(self, store: AnswerStore, spending: Spending, options: RequestOptions) -> None:
        self._store, self._spending, self._options = store, spending, options
        self._counted: set[str] = set()

    def ask(
        self,
        who: PricedModel,
        requests: Sequence[Request],
        sampling: Sampling | None = None,
        on_answer: OnAnswer | None = None,
    ) -> list[Answer]:
        """Send the requests whose answers are not kept.

        Args:
            who: the model.
            requests: what to ask.
            sampling: how to sample; by default as for all requests to this model.
            on_answer: called with the index and the answer of each request.

        Returns:
            One answer for each request, in order.

        Raises:
            RefusedError: the answers could cost more than the limit allows. Nothing was sent.
            ModelError: requests failed for a reason that may pass. The answers that came are kept.
        """
        if not requests:
            return []
        keys = self._store.keys(who.model, requests, sampling or who.sampling)
        unique = list(dict.fromkeys(keys))  # a small batch may hold a row twice
        position = {key: index for index, key in enumerate(unique)}
        first = {key: index for index, key in reversed(list(enumerate(keys)))}
        sent = [requests[first[key]] for key in unique]
        view = KeptView(self._store, unique)
        known = view.known()
        self._count(who, view, known, sent)
        missing = [request for index, request in enumerate(sent) if index not in known]
        most = who.most(len(missing), who.tokens(missing)) if missing else 0.0
        if missing and not self._spending.allows(most):
            raise RefusedError(
                f"{counted(len(missing), 'request')} to {who.model.name} could cost {usd_text(most)}, which is more "
                "than is left of max_cost",
                fields=("max_cost",),
            )
        answers = send_requests(
            who.model, sent, sampling or who.sampling, self._options, view, progress=False, activity="asking"
        )
        self._count(who, view, dict(enumerate(answers)), sent)
        passing = [answer for answer in answers if answer.finish_reason == "error" and answer.retry_after_s is not None]
        if passing or all(answer.finish_reason == "error" for answer in answers):
            failed = passing or answers
            raise ModelError(
                f"{len(failed)} of {counted(len(answers), 'request')} to {who.model.name} "
                f"{verb(len(failed), 'has', 'have')} no answer: "
                f"{failed[0].error}. The answers so far are kept; run the same again to go on"
            )
        in_order = [answers[position[key]] for key in keys]
        for index, answer in enumerate(in_order):
            if on_answer is not None:
                on_answer(index, answer)
        return in_order

    def _count(
        self, who: PricedModel, view: KeptView, answers: Mapping[int, Answer], requests: Sequence[Request]
    ) -> None:
        """Count what answers cost: once, however often the search needs them."""
        for index, answer in answers.items():
            key = view.keys[index]
            if key not in self._counted:
                who.add(answer, requests[index])
                if answer.finish_reason != "error":  # a failed request is sent again
                    self._counted.add(key)

    def score(self, who: PricedModel, task: Task, rows: Sequence[Row], metric: RowMetric) -> list[AskedRow]:
        """Ask rows with a candidate's prompt and score the answers.

        Args:
            who: the model.
            task: the task with the candidate's prompt.
            rows: the rows.
            metric: what to score by.

        Returns:
            The scored rows, in order.
        """
        requests = [self.request(who, task, row) for row in rows]
        answers = self.ask(who, requests)
        unscored = [RowResult.of(row, answer, task, metric.columns) for row, answer in zip(rows, answers, strict=True)]
        scored = score_rows(unscored, [metric])
        return [AskedRow(row, _upwards(row.scores[metric.name], metric)) for row in scored]

    def request(self, who: PricedModel, task: Task, row: Row) -> Request:
        """Write the request for a row. An example that asks the same as the row is left out: it holds the answer.

        Args:
            who: the model.
            task: the task with the candidate's prompt.
            row: the row.

        Returns:
            The request.
        """
        question = row.prompt[-1]
        others = [example for example in task.examples if example.input != question["content"]]
        if len(others) < len(task.examples):
            task = task.model_copy(update={"examples": others})
        return Request(task.prompt_for(question), row.tools, task.output if who.sampling.constrained else TextOutput())


def _upwards(score: float | None, metric: RowMetric) -> float:
    if score is None:
        return 0.0
    if metric.higher_is_better:
        return score
    return 1.0 - score if metric.unit == "rate" else -score


class KeptModel:
    """A model with another task, whose answers are kept and counted; :func:`ftkit.evaluate` takes it.

    Args:
        asker: asks and keeps.
        who: the model.
        task: the task.
    """

    def __init__(self, asker: Asker, who: PricedModel, task: Task) -> None:
        self._asker, self._who, self.task = asker, who, task
        self.name, self.sampling = who.model.name, who.sampling

    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling | None = None, on_answer: OnAnswer | None = None
    ) -> list[Answer]:
        """Answer each request; see :meth:`ftkit.Model.answer_many`.

        Args:
            requests: what to ask.
            sampling: how to sample.
            on_answer: called with each answer.

        Returns:
            One answer for each request, in order.
        """
        return self._asker.ask(self._who, requests, sampling, on_answer)

    def about(self) -> dict[str, Any]:
        """Describe what answers.

        Returns:
            Plain JSON values.
        """
        return self._who.model.about()
