"""Send many requests to a model: all in one call, each in a call of its own at a set pace, or through a batch API."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from pydantic import Field, model_validator

from ftkit.arguments import check_kind
from ftkit.backends import Answer, OnAnswer, Request, Sampling
from ftkit.backends.deadline import Deadline
from ftkit.backends.hosted.concurrency import ConcurrencyLimiter, RateLimiter
from ftkit.backends.hosted.retry import MAX_PAID_REPEATS, RetryPolicy
from ftkit.counts import counted
from ftkit.errors import ConfigError, ModelError
from ftkit.evaluation.answer_journal import Journal, KeptAnswers
from ftkit.progress import ProgressBar
from ftkit.results.json_values import plain
from ftkit.results.number_format import usd_text
from ftkit.schema import DeclaredModel
from ftkit.task import Task

__all__ = ["EvaluableModel", "RequestOptions", "check_model", "send_requests"]

_PACED_CONCURRENCY = 8
"""Calls open at once when a pace is given without ``concurrency``."""

_RETRY_POLICY = RetryPolicy(longest_s=60.0)


class EvaluableModel(Protocol):
    """A model that can be evaluated: :class:`ftkit.Model`, or any object with the same members.

    If it also has ``answer_batch``, as :class:`ftkit.Model` does, it can be evaluated through a batch API. If it has
    ``check_requests(requests, sampling)``, that is called before the first request and raises what it refuses.
    """

    @property
    def name(self) -> str:
        """``"backend:model"``, for reports."""
        ...

    @property
    def task(self) -> Task:
        """The task, with which rows are asked."""
        ...

    @property
    def sampling(self) -> Sampling:
        """How answers are sampled by default."""
        ...

    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling | None = None, on_answer: OnAnswer | None = None
    ) -> list[Answer]:
        """Answer each request; see :meth:`ftkit.Model.answer_many`.

        Args:
            requests: what to ask.
            sampling: how to sample; the model's own options by default.
            on_answer: called with the request's index and its answer as soon as it is complete.

        Returns:
            One answer for each request, in order.
        """
        ...

    def about(self) -> dict[str, Any]:
        """Describe what answers: versions, device, precision.

        Returns:
            Plain JSON values.
        """
        ...


def check_model(value: object) -> None:
    """Check that a value can be evaluated as a model.

    Args:
        value: what the user gave as the model.

    Raises:
        ConfigError: it has no ``answer_many``, e.g. because it is the name of a model.
    """
    if not hasattr(value, "answer_many"):
        check_kind(value, (), "model", 'an ft.Model: ft.Model("local:smollm2-135m", task), or run.model')


class RequestOptions(DeclaredModel):
    """How requests are sent to a model. The defaults suit a local model, which wants all requests in one call."""

    concurrency: int | None = Field(
        default=None,
        ge=1,
        description="calls open at once, each with one request. None: all requests in one call; with a pace, "
        f"{_PACED_CONCURRENCY} calls",
    )
    requests_per_minute: float | None = Field(default=None, gt=0, description="highest rate at which calls start")
    tokens_per_minute: float | None = Field(
        default=None, gt=0, description="calls wait while the tokens of the finished ones exceed this rate"
    )
    attempts: int = Field(
        default=6, ge=1, description="how often a request is sent whose answer is an error that may pass"
    )
    timeout_s: float | None = Field(
        default=None,
        gt=0,
        description="seconds after which a try of a request is given up; each request is then a call of its own. None: "
        "the backend's own limits",
    )
    resume: bool | None = Field(
        default=None,
        description="keep answers on disk until the report is complete, and reuse those of an interrupted evaluation. "
        "None: if concurrency, a pace or batch is given. Use False for models that may change under their name",
    )
    batch: bool = Field(
        default=False, description="send the requests to the host's batch API, at its price, and wait for the answers"
    )

    @model_validator(mode="after")
    def _check_batch(self) -> RequestOptions:
        if self.batch and (self.one_by_one or self.resume is False):
            raise ValueError(
                "a batch takes no concurrency, requests_per_minute, tokens_per_minute or timeout_s, and resume cannot "
                "be False: its answers are always kept"
            )
        return self

    @property
    def one_by_one(self) -> bool:
        """Whether each request is a call of its own: if a concurrency, a pace or a time limit is set."""
        return any((self.concurrency, self.requests_per_minute, self.tokens_per_minute, self.timeout_s))

    @property
    def keeps_answers(self) -> bool:
        """Whether answers are kept on disk until the report is complete."""
        return (self.batch or self.one_by_one) if self.resume is None else self.resume


Asking = RequestOptions
"""The name of :class:`RequestOptions` in version 0.1."""


def send_requests(
    model: EvaluableModel,
    requests: Sequence[Request],
    sampling: Sampling,
    options: RequestOptions,
    journal: KeptAnswers | None = None,
    *,
    progress: bool,
    activity: str = "asking",
) -> list[Answer]:
    """Send every request to a model, except those whose answers were kept when an earlier call was interrupted.

    Args:
        model: the model.
        requests: what to ask.
        sampling: how to sample.
        options: concurrency, pace, attempts, resuming, batch.
        journal: keeps the answers on disk until its owner closes it. By default one is opened for this call if
            ``options`` say so.
        progress: show the progress, as :meth:`ftkit.Run.wait` does.
        activity: what the progress bar says that is done.

    Returns:
        One answer for each request, in order.

    Raises:
        ConfigError: ``batch`` of a model without a batch API.
        ModelError: the model cannot answer at all. Answers that came before are in the journal.
    """
    with contextlib.ExitStack() as stack:
        if journal is None and options.keeps_answers:
            journal = stack.enter_context(Journal(model.name, plain(model.about()), requests, sampling))
        answers: dict[int, Answer] = {} if journal is None else journal.known()
        missing = {index: request for index, request in enumerate(requests) if index not in answers}
        check = getattr(model, "check_requests", None)
        if check is not None:  # before the first request is paid
            check(list(missing.values()), sampling)
        if missing:
            progress_bar = ProgressBar(
                f"{activity} {model.name}", len(requests), completed=len(answers), enabled=progress
            )
            bar = _AnswerProgress(stack.enter_context(progress_bar), answers.values())

            def on_answer(index: int, answer: Answer) -> None:
                if journal is not None:
                    journal.add(index, answer)
                bar.answered(answer)

            if options.batch:
                answers |= _send_batches(model, missing, sampling, options, journal, bar)
            elif options.one_by_one:
                answers |= _send_each(model, missing, sampling, options, on_answer)
            else:
                answers |= _send_together(model, missing, sampling, options, on_answer)
    return [answers[index] for index in range(len(requests))]


def _call(
    model: EvaluableModel, requests: Sequence[Request], sampling: Sampling, on_answer: OnAnswer | None = None
) -> list[Answer]:
    answers = model.answer_many(requests, sampling, on_answer)
    if len(answers) != len(requests):
        given, wanted = counted(len(answers), "answer"), counted(len(requests), "request")
        raise ModelError(f"{model.name} gave {given} to {wanted}")
    return answers


def _send_together(
    model: EvaluableModel,
    requests: Mapping[int, Request],
    sampling: Sampling,
    options: RequestOptions,
    on_answer: OnAnswer,
) -> dict[int, Answer]:
    """Send all requests in one call, then those again whose answer is an error that may pass."""
    answers: dict[int, Answer] = {}
    left = dict(requests)
    for attempt in range(1, options.attempts + 1):
        last = attempt == options.attempts
        answers |= _send_once(model, left, sampling, on_answer, last=last)
        left = {index: request for index, request in left.items() if answers[index].retry_after_s is not None}
        if last or not left:
            break
        time.sleep(max(_RETRY_POLICY.delay_s(attempt), *(answers[index].retry_after_s or 0.0 for index in left)))
    return answers


def _send_once(
    model: EvaluableModel, requests: Mapping[int, Request], sampling: Sampling, on_answer: OnAnswer, *, last: bool
) -> dict[int, Answer]:
    indices = list(requests)

    def on_position(position: int, answer: Answer) -> None:
        if last or answer.retry_after_s is None:
            on_answer(indices[position], answer)

    return dict(zip(indices, _call(model, list(requests.values()), sampling, on_position), strict=True))


def _send_each(
    model: EvaluableModel,
    requests: Mapping[int, Request],
    sampling: Sampling,
    options: RequestOptions,
    on_answer: OnAnswer,
) -> dict[int, Answer]:
    """Send each request in a call of its own, several at once, at the pace of ``options``."""
    pace = RateLimiter(options.requests_per_minute, options.tokens_per_minute)
    stopped, lock = threading.Event(), threading.Lock()
    indices = list(requests)

    def send(position: int) -> Answer:
        index = indices[position]
        for attempt in range(1, options.attempts + 1):
            pace.wait(stopped)
            if stopped.is_set():
                break
            request = replace(requests[index], deadline=Deadline.after(options.timeout_s))
            (answer,) = _call(model, [request], sampling)
            pace.add_tokens(answer.input_tokens + answer.output_tokens)
            # A host may have charged for an answer that came too late.
            tries = min(options.attempts, 1 + MAX_PAID_REPEATS) if answer.timed_out else options.attempts
            if answer.retry_after_s is None or attempt >= tries:
                with lock:
                    on_answer(index, answer)
                return answer
            if answer.retry_after_s > 0:
                pace.pause(answer.retry_after_s)
            stopped.wait(max(answer.retry_after_s, _RETRY_POLICY.delay_s(attempt)))
        raise ModelError("stopped")

    # After a failure or Ctrl-C no call starts. Open calls finish, and their answers are kept.
    limiter = ConcurrencyLimiter(options.concurrency or _PACED_CONCURRENCY)
    return dict(zip(indices, limiter.map(send, len(indices), on_stop=stopped.set), strict=True))


def _send_batches(
    model: EvaluableModel,
    requests: Mapping[int, Request],
    sampling: Sampling,
    options: RequestOptions,
    journal: KeptAnswers | None,
    bar: _AnswerProgress,
) -> dict[int, Answer]:
    """Send batches until every request has an answer: what did not fit into one, or expired, goes into the next."""
    answer_batch = getattr(model, "answer_batch", None)
    if answer_batch is None or journal is None:
        raise ConfigError(f"{model.name} has no batch API")
    answers: dict[int, Answer] = {}
    attempts = dict.fromkeys(requests, 0)

    def on_answer(index: int, answer: Answer) -> None:
        journal.add(index, answer)
        attempts[index] += 1
        answers[index] = answer
        if answer.retry_after_s is None:
            bar.answered(answer)

    def is_open(index: int) -> bool:
        if attempts[index] == 0:
            return True
        return answers[index].retry_after_s is not None and attempts[index] < options.attempts

    while left := {index: request for index, request in requests.items() if is_open(index)}:
        answer_batch(left, sampling, on_answer, folder=journal.batch, on_count=bar.count_at_host)
    return answers


class _AnswerProgress:
    """Show in a progress bar how many answers there are and what they cost so far."""

    def __init__(self, bar: ProgressBar, answers: Iterable[Answer]) -> None:
        self._bar, known = bar, list(answers)
        self._completed, self._usd = len(known), sum(answer.cost_usd or 0.0 for answer in known)

    def answered(self, answer: Answer) -> None:
        self._completed += 1
        self._usd += answer.cost_usd or 0.0
        self._bar.update(completed=self._completed, detail=usd_text(self._usd) if self._usd else "")

    def count_at_host(self, count: int) -> None:
        self._bar.update(completed=self._completed + count, detail="at the host")
