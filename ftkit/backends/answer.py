"""Requests to a model, and the protocol of a backend's model that answers them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ftkit.backends.deadline import Deadline
from ftkit.results.answer import Answer, Sampling
from ftkit.schema import Output
from ftkit.task import Message

__all__ = [
    "Answerer",
    "OnAnswer",
    "Request",
]


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a model.

    Attributes:
        messages: the conversation so far.
        tools: the tools the model may call (OpenAI's ``tools`` form).
        output: schema of the answer. Backends that can constrain the model to it do; none has to.
        deadline: when the request is given up. Backends that can stop early do; none has to.
    """

    messages: Sequence[Message]
    tools: Sequence[dict[str, Any]] | None = None
    output: Output | None = None
    deadline: Deadline | None = None


OnAnswer = Callable[[int, Answer], None]
"""Called as ``on_answer(index, answer)`` when the answer to ``requests[index]`` is complete, in any order."""


class Answerer(Protocol):
    """A model of a backend that answers requests.

    A backend may also offer, and :class:`ftkit.Model` then uses:

    - ``async answer_many_async(requests, sampling)``: the same without blocking the event loop;
    - ``check_requests(requests, sampling)``: refuse what the model does not take, before anything is sent;
    - ``answer_batch(requests, sampling, on_answer, *, folder, on_count)``: the host's batch API;
    - ``load()``: load a model that this process runs, and ``close()``: free what it holds until it is asked again;
    - ``keeps_deadlines = True``: ``answer_many`` returns by the deadline of its requests, with
      :meth:`Deadline.answer <ftkit.backends.deadline.Deadline.answer>` in place of what is missing;
    - ``reasons_on_request()``: whether the model takes ``reasoning_effort``; None if nothing is known of it;
    - ``text_losses(texts)``, ``thoughts(questions, tokens)``, ``divergence_from(base, conversations)``,
      ``room_for_another()``: for evaluation.
    """

    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling, on_answer: OnAnswer | None = None
    ) -> list[Answer]:
        """Answer each request. May be called from several threads.

        Args:
            requests: what to ask.
            sampling: how answers are sampled.
            on_answer: called with each answer as soon as it is complete.

        Returns:
            The answers in the order of ``requests``. A request that failed has an answer with
            ``finish_reason="error"``.

        Raises:
            ModelError: the model cannot be asked at all.
        """
        ...

    def about(self) -> dict[str, Any]:
        """Describe the model for a report: versions, device, precision, template hash.

        Returns:
            Plain JSON values, without secrets. What becomes known only while it answers is under ``"observed"`` and may
            grow; everything else is constant.
        """
        ...
