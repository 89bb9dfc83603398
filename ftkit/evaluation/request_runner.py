"""Asking a model many questions: all at once where it likes that, many at a time where each is a call of its own."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import Field, model_validator

from ftkit.backends import Answer, OnAnswer, Request, Sampling
from ftkit.errors import ConfigError, ModelError
from ftkit.evaluation.answer_journal import Journal
from ftkit.extras import require
from ftkit.results.number_format import usd_text
from ftkit.schema import Declared
from ftkit.task import Task
from ftkit.type_checks import check_kind

__all__ = ["Answering", "Asking", "ask", "check_model"]


class Answering(Protocol):
    """What can be evaluated: :class:`ftkit.Model`, or any object that answers requests for a task.

    One that has ``answer_batch`` too, as :class:`ftkit.Model` has it, can be asked by batch.
    """

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


def check_model(value: object) -> None:
    """See that ``value`` can be asked.

    Raises:
        ConfigError: it is something else, for instance the name of a model.
    """
    if not hasattr(value, "answer_many"):
        check_kind(value, (), "model", 'an ft.Model: ft.Model("local:smollm2-135m", task), or run.model')


class Asking(Declared):
    """How a model is asked. The defaults suit a local model, which wants all questions at once."""

    concurrency: int | None = Field(
        default=None,
        ge=1,
        description="open calls of one question each; None: all questions in one call",
    )
    requests_per_minute: float | None = Field(default=None, gt=0, description="calls are begun no faster than this")
    tokens_per_minute: float | None = Field(
        default=None, gt=0, description="calls wait while the tokens of those that ended are above this"
    )
    attempts: int = Field(
        default=6, ge=1, description="how often a question is asked whose answer says that it may be asked again"
    )
    resume: bool | None = Field(
        default=None,
        description="keep answers on disk until the report is made, and take up those of an evaluation that was cut "
        "off; None: where concurrency or batch is given. Off for models that may change under their name",
    )
    batch: bool = Field(
        default=False,
        description="send the questions to the host's batch API, at its price, and wait until they are answered",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Asking:
        paced = self.concurrency or self.requests_per_minute or self.tokens_per_minute
        if self.batch and (paced or self.resume is False):
            raise ValueError("a batch has no concurrency and no pace, and is always kept so that it can be taken up")
        return self

    def by_batch(self) -> Asking:
        """The same with ``batch``.

        Raises:
            ConfigError: it says what a batch has not.
        """
        return self.model_copy(update={"batch": True})

    @property
    def keeps(self) -> bool:
        """Whether answers are kept on disk until the report is made."""
        return (self.batch or self.concurrency is not None) if self.resume is None else self.resume


class _Limiter:
    """Lets calls begin at the pace of the limits; shared by all threads."""

    def __init__(self, asking: Asking) -> None:
        self._per_request = 60 / asking.requests_per_minute if asking.requests_per_minute else 0.0
        self._per_token = 60 / asking.tokens_per_minute if asking.tokens_per_minute else 0.0
        self._next = time.monotonic()
        self._lock = threading.Lock()

    def wait(self, stopped: threading.Event) -> None:
        with self._lock:
            now = time.monotonic()
            start = max(now, self._next)
            self._next = start + self._per_request
        if start > now:
            stopped.wait(start - now)

    def spent(self, tokens: int) -> None:
        if self._per_token:
            with self._lock:
                self._next = max(self._next, time.monotonic()) + tokens * self._per_token

    def pause(self, seconds: float) -> None:
        """One call was turned away: the others need not try either."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


def ask(
    model: Answering,
    requests: Sequence[Request],
    sampling: Sampling,
    asking: Asking,
    journal: Journal | None = None,
    *,
    progress: bool,
) -> list[Answer]:
    """Answer every request, in order. Those that ``journal`` holds are not asked again.

    Raises:
        ModelError: the model cannot answer at all; answers that came before are in the journal.
    """
    found: dict[int, Answer] = {} if journal is None else journal.known()
    left = [index for index in range(len(requests)) if index not in found]
    if not left:
        return [found[index] for index in range(len(requests))]
    with _shown(model.name, len(requests), found.values(), progress) as shown:

        def done(position: int, answer: Answer) -> None:
            if journal is not None:
                journal.add(left[position], answer)
            shown.answer(answer)

        open_requests = [requests[index] for index in left]
        if asking.batch:
            answers = _by_batch(model, dict(zip(left, open_requests, strict=True)), sampling, asking, journal, shown)
        elif asking.concurrency is None:
            answers = model.answer_many(open_requests, sampling, done)
        else:
            answers = _one_by_one(model, open_requests, sampling, asking, done)
    if len(answers) != len(left):
        raise ModelError(f"{model.name} gave {len(answers)} answers to {len(left)} requests")
    found |= zip(left, answers, strict=True)
    return [found[index] for index in range(len(requests))]


def _one_by_one(
    model: Answering, requests: Sequence[Request], sampling: Sampling, asking: Asking, done: OnAnswer
) -> list[Answer]:
    tenacity = require("tenacity", extra="openai", needed_for="asking many questions at once")
    limiter, stopped, told = _Limiter(asking), threading.Event(), threading.Lock()
    spaced = tenacity.wait_random_exponential(multiplier=0.5, max=60)

    def pause(state: Any) -> float:
        named = state.outcome.result().retry_after_s
        seconds: float = max(named, spaced(state))
        if named > 0:
            limiter.pause(named)
        return seconds

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda answer: answer.retry_after_s is not None and not stopped.is_set()),
        wait=pause,
        stop=tenacity.stop_after_attempt(asking.attempts),
        sleep=stopped.wait,
        retry_error_callback=lambda state: state.outcome.result(),
    )

    def once(request: Request) -> Answer:
        limiter.wait(stopped)
        if stopped.is_set():
            raise ModelError("stopped")
        (answer,) = model.answer_many([request], sampling)
        limiter.spent(answer.input_tokens + answer.output_tokens)
        return answer

    def one(index: int) -> Answer:
        answer: Answer = retrying.copy()(once, requests[index])
        with told:
            done(index, answer)
        return answer

    with ThreadPoolExecutor(min(asking.concurrency or 1, len(requests)), thread_name_prefix="ask") as pool:
        futures = [pool.submit(one, index) for index in range(len(requests))]
        try:
            ended, _ = wait(futures, return_when=FIRST_EXCEPTION)
            failed = next((future for future in futures if future in ended and future.exception()), None)
            if failed is not None:
                failed.result()
        finally:  # after a failure or Ctrl-C nothing new begins; calls under way end and are kept
            stopped.set()
            for future in futures:
                future.cancel()
    return [future.result() for future in futures]


def _by_batch(
    model: Answering,
    requests: Mapping[int, Request],
    sampling: Sampling,
    asking: Asking,
    journal: Journal | None,
    shown: _Shown,
) -> list[Answer]:
    """All answers, batch after batch: what did not fit into one, or expired, goes into the next."""
    ask_batch = getattr(model, "answer_batch", None)
    if ask_batch is None or journal is None:
        raise ConfigError(f"{model.name} cannot be asked by batch")
    found: dict[int, Answer] = {}
    tries = dict.fromkeys(requests, 0)

    def done(index: int, answer: Answer) -> None:
        journal.add(index, answer)
        tries[index] += 1
        found[index] = answer
        if answer.retry_after_s is None:
            shown.answer(answer)

    while True:
        open_requests = {
            index: request
            for index, request in requests.items()
            if tries[index] == 0 or (found[index].retry_after_s is not None and tries[index] < asking.attempts)
        }
        if not open_requests:
            return [found[index] for index in requests]
        ask_batch(open_requests, sampling, done, folder=journal.batch, on_count=shown.count)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A bar, or nothing."""

    answer: Callable[[Answer], None] = lambda answer: None
    """Shows one answer and what it cost."""
    count: Callable[[int], None] = lambda count: None
    """Shows how many of a batch the host has answered."""


@contextlib.contextmanager
def _shown(name: str, total: int, known: Any, progress: bool) -> Iterator[_Shown]:
    """A bar with what the answers cost so far, when standard error is a terminal."""
    if not (progress and sys.stderr.isatty()):
        yield _Shown()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    spent = sum(answer.cost_usd or 0.0 for answer in known)
    with Progress(*columns, TextColumn("{task.fields[money]}"), console=Console(stderr=True), transient=True) as bar:
        done = len(known)
        shown = bar.add_task(f"asking {name}".replace("[", "\\["), total=total, completed=done, money="")

        def answered(answer: Answer) -> None:
            nonlocal spent, done
            spent += answer.cost_usd or 0.0
            done += 1
            bar.update(shown, completed=done, money=usd_text(spent) if spent else "")

        yield _Shown(answered, lambda count: bar.update(shown, completed=done + count, money="at the host"))
