"""Ask a backend: within a time limit, and so that the error of one request costs no other answer."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Protocol

from ftkit.backends import Answer, Answerer, OnAnswer, Request, Sampling
from ftkit.backends.deadline import Deadline
from ftkit.errors import FtkitError, ModelError, PromptError

__all__ = ["answers_of_each", "answers_of_each_async", "ask", "ask_async"]

_GRACE_S = 0.25
"""How long a backend that keeps deadlines itself, with what it says of the last try, is waited for beyond them."""


class _Asked(Protocol):
    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling | None = None, on_answer: OnAnswer | None = None
    ) -> list[Answer]: ...
    def check_requests(self, requests: Sequence[Request], sampling: Sampling | None = None) -> None: ...


def ask(
    answerer: Answerer, requests: Sequence[Request], sampling: Sampling, on_answer: OnAnswer | None = None
) -> list[Answer]:
    """Ask, and give up at the latest deadline of the requests.

    Args:
        answerer: the backend's model.
        requests: what to ask.
        sampling: how answers are sampled.
        on_answer: called with each answer as soon as it is complete.

    Returns:
        The answers in the order of the requests. Those that did not come in time are errors.
    """
    deadline = _latest(requests)
    if deadline is None or getattr(answerer, "keeps_deadlines", False):
        return answerer.answer_many(requests, sampling, on_answer)
    # In a thread of its own: neither a host that sends a byte a minute nor a plug-in can be interrupted.
    found: dict[int, Answer] = {}
    ended: list[list[Answer] | BaseException] = []
    open_ = threading.Event()
    open_.set()

    def keep(number: int, answer: Answer) -> None:
        if open_.is_set():
            found[number] = answer
            if on_answer is not None:
                on_answer(number, answer)

    def work() -> None:
        try:
            ended.append(answerer.answer_many(requests, sampling, keep))
        except BaseException as error:  # raised again in the caller's thread
            ended.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), name="ftkit-ask", daemon=True)
    thread.start()
    thread.join(deadline.remaining_s + _GRACE_S)
    open_.clear()
    if ended:
        result = ended[0]
        if isinstance(result, BaseException):
            raise result
        return result
    for number in range(len(requests)):
        if number not in found:
            found[number] = deadline.answer(deadline.seconds)
            if on_answer is not None:
                on_answer(number, found[number])
    return [found[number] for number in range(len(requests))]


async def ask_async(answerer: Answerer, requests: Sequence[Request], sampling: Sampling) -> list[Answer]:
    """Ask without blocking the event loop, and give up at the latest deadline of the requests.

    Args:
        answerer: the backend's model.
        requests: what to ask.
        sampling: how answers are sampled.

    Returns:
        The answers in the order of the requests. If they did not come in time, all of them may be errors.
    """
    asking = getattr(answerer, "answer_many_async", None)
    if asking is None:  # a plug-in that only answers synchronously
        return await asyncio.to_thread(ask, answerer, requests, sampling)
    deadline = _latest(requests)
    if deadline is None or getattr(answerer, "keeps_deadlines", False):
        answers: list[Answer] = await asking(requests, sampling)
        return answers
    try:
        answers = await asyncio.wait_for(asking(requests, sampling), deadline.remaining_s + _GRACE_S)
    except TimeoutError:
        return [deadline.answer(deadline.seconds) for _ in requests]
    return answers


def answers_of_each(
    model: _Asked, requests: Mapping[int, Request], errors: MutableMapping[int, FtkitError]
) -> dict[int, Answer]:
    """Ask so that each request has an answer or an error of its own.

    Args:
        model: the model.
        requests: what to ask, by number of the row.
        errors: gets the errors by number of the row.

    Returns:
        The answers by number of the row.

    Raises:
        FtkitError: no request at all could be asked, for a reason that lies in none of them.
        PromptError: one without its problems, which no backend should raise.
    """
    answers: dict[int, Answer] = {}
    left: dict[int, Request] = {}
    for number, request in requests.items():
        try:
            model.check_requests([request])
            left[number] = request
        except FtkitError as error:
            errors[number] = error
    while left:
        numbers = list(left)

        def keep(at: int, answer: Answer, numbers: Sequence[int] = numbers) -> None:
            answers[numbers[at]] = answer

        try:
            given = model.answer_many(list(left.values()), None, keep)
        except PromptError as error:
            if not error.problems:
                raise
            errors.update({numbers[at]: ModelError(problem) for at, problem in error.problems.items()})
        except FtkitError as error:
            if not answers:
                raise
            errors.update(dict.fromkeys((number for number in numbers if number not in answers), error))
        else:
            answers.update(zip(numbers, given, strict=True))
        left = {number: left[number] for number in numbers if number not in answers and number not in errors}
    return answers


async def answers_of_each_async(
    answerer: Answerer, requests: Mapping[int, Request], sampling: Sampling, errors: MutableMapping[int, FtkitError]
) -> dict[int, Answer]:
    """Ask so that each request has an answer or an error of its own, without blocking the event loop.

    Args:
        answerer: the backend's model.
        requests: what to ask, by number of the row.
        sampling: how answers are sampled.
        errors: gets the errors by number of the row.

    Returns:
        The answers by number of the row.

    Raises:
        FtkitError: no request at all could be asked, for the same reason.
    """
    calls = [ask_async(answerer, [request], sampling) for request in requests.values()]
    given: list[Any] = await asyncio.gather(*calls, return_exceptions=True)
    answers: dict[int, Answer] = {}
    for number, result in zip(requests, given, strict=True):
        if isinstance(result, FtkitError):
            errors[number] = result
        elif isinstance(result, BaseException):
            raise result
        else:
            answers[number] = result[0]
    failed = [errors[number] for number in requests if number in errors]
    if not answers and len({(type(error), str(error)) for error in failed}) == 1 and len(failed) > 1:
        raise failed[0]
    return answers


def _latest(requests: Sequence[Request]) -> Deadline | None:
    """When the call is over; None if a request may take as long as it wants."""
    deadlines = [request.deadline for request in requests if request.deadline is not None]
    return max(deadlines, key=lambda one: one.at) if len(deadlines) == len(requests) > 0 else None
