"""Answers from a model on another machine, whichever way its calls travel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ftkit.backends.answer import OnAnswer, Request
from ftkit.backends.own_model import refuse_hosted_options
from ftkit.backends.remote.messages import answer_from_wire, request_to_wire
from ftkit.errors import HostError
from ftkit.results.answer import Answer, Sampling
from ftkit.task import Message

__all__ = ["Calls", "RemoteAnswerer"]

_MAX_FRUITLESS = 3


class Calls(Protocol):
    """Makes the calls of :mod:`ftkit.backends.remote.model_calls` on another machine."""

    backend: str
    """Name of the backend."""
    chunk: int
    """Requests that are sent together. The model stays loaded between them."""

    @property
    def place(self) -> str:
        """The machine, as errors and reports name it."""
        ...

    def call(
        self, name: str, *, on_item: Callable[[Any], None] | None = None, patience_s: float = ..., **arguments: Any
    ) -> Any:
        """Make a call.

        Args:
            name: name of the call.
            on_item: receives parts of the result before its end, perhaps again after a failure.
            patience_s: how long to go on trying while the machine cannot be reached.
            **arguments: its arguments, plain JSON values.

        Returns:
            Its result.

        Raises:
            HostError: the machine cannot be reached.
            FtkitError: what the call raised there.
        """
        ...


class RemoteAnswerer:
    """A model on another machine. It is loaded there when it is first asked, and stays while somebody asks.

    Args:
        calls: makes calls there.
        model: the model's name there.
    """

    def __init__(self, calls: Calls, model: str) -> None:
        self._calls, self._model = calls, model

    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling, on_answer: OnAnswer | None = None
    ) -> list[Answer]:
        """Answer each request; see :class:`ftkit.backends.Answerer`. After a cut only the missing ones are asked again.

        Args:
            requests: what to ask.
            sampling: how answers are sampled.
            on_answer: called in this thread with each answer as soon as it is complete.

        Returns:
            The answers in the order of ``requests``.
        """
        self.check_requests(requests, sampling)
        answers: dict[int, Answer] = {}
        options = sampling.model_dump(mode="json", exclude_unset=True) | {"seed": sampling.seed}
        for first in range(0, len(requests), self._calls.chunk):
            wanted = range(first, min(first + self._calls.chunk, len(requests)))
            self._answer(requests, wanted, options, answers, on_answer)
        return [answers[number] for number in range(len(requests))]

    def _answer(
        self,
        requests: Sequence[Request],
        wanted: range,
        options: dict[str, Any],
        answers: dict[int, Answer],
        on_answer: OnAnswer | None,
    ) -> None:
        fruitless = 0
        while missing := [number for number in wanted if number not in answers]:
            before = len(answers)

            def keep(item: Any) -> None:
                number = int(item[0])
                if number in answers:
                    return
                answers[number] = answer_from_wire(item[1])
                if on_answer is not None:
                    on_answer(number, answers[number])

            asked = [request_to_wire(requests[number]) for number in missing]
            try:
                self._calls.call(
                    "answer",
                    on_item=keep,
                    patience_s=0.0,
                    model=self._model,
                    requests=asked,
                    numbers=missing,
                    sampling=options,
                )
            except HostError as error:
                fruitless = fruitless + 1 if len(answers) == before else 0
                # A program there that is killed each time, as for want of memory, looks like a connection that is cut.
                if not error.passing or fruitless > _MAX_FRUITLESS:
                    raise
                self._calls.call("about", model=self._model)  # wait for the connection

    def reasons_on_request(self) -> bool:
        """Say whether the model takes an effort of reasoning.

        Returns:
            False: ``reasoning_effort`` is for models at hosts.
        """
        return False

    def check_requests(self, requests: Sequence[Request], sampling: Sampling) -> None:
        """Refuse the options that a model on a machine of one's own cannot honour.

        Args:
            requests: the requests.
            sampling: how answers are sampled.
        """
        calls, model = self._calls, f"{self._calls.place}#{self._model}"
        refuse_hosted_options(sampling, backend=calls.backend, model=model, machine="a machine of your own")

    def about(self) -> dict[str, Any]:
        """Describe the model; see :class:`ftkit.backends.Answerer`.

        Returns:
            Plain JSON values. ``machine`` is the other machine.
        """
        return {"machine": self._calls.place, **self._calls.call("about", model=self._model)}

    def scores(self, conversations: Sequence[Sequence[Message]]) -> list[float]:
        """Score conversations with a reward model.

        Args:
            conversations: each ends with an assistant turn.

        Returns:
            One score per conversation.
        """
        found: list[float] = []
        for first in range(0, len(conversations), self._calls.chunk):
            part = [list(each) for each in conversations[first : first + self._calls.chunk]]
            found += self._calls.call("scores", model=self._model, conversations=part)
        return found

    def embeddings(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed texts.

        Args:
            texts: the texts.

        Returns:
            One vector of the model's hidden size per text.
        """
        found: list[list[float]] = []
        for first in range(0, len(texts), self._calls.chunk):
            found += self._calls.call(
                "embeddings", model=self._model, texts=list(texts[first : first + self._calls.chunk])
            )
        return found

    def text_losses(self, texts: Sequence[str]) -> list[tuple[float, int]]:
        """Measure how likely texts are.

        Args:
            texts: plain texts.

        Returns:
            For each text its negative log-likelihood in nats and its number of predicted tokens.
        """
        found = self._calls.call("text_losses", model=self._model, texts=list(texts))
        return [(float(loss), int(tokens)) for loss, tokens in found]

    def divergence_from(
        self, base: RemoteAnswerer, conversations: Sequence[Sequence[Message]]
    ) -> list[tuple[float, int]] | None:
        """Measure KL(base ‖ this model) over the last turn of each conversation.

        Args:
            base: the other model.
            conversations: each ends with an assistant turn.

        Returns:
            For each conversation the divergence in nats and its number of tokens; None if the other model is on another
            machine.
        """
        if base._calls is not self._calls:
            return None
        listed = [list(each) for each in conversations]
        found = self._calls.call("divergences", model=self._model, base=base._model, conversations=listed)
        return [(float(total), int(tokens)) for total, tokens in found]

    def room_for_another(self) -> bool:
        """Say whether an unquantised model of the same size fits into the machine's free memory beside this one.

        Returns:
            True if it fits.
        """
        return bool(self._calls.call("room_for_another", model=self._model))

    def close(self) -> None:
        """Unload the model there. It is loaded again when it is asked."""
        self._calls.call("close", model=self._model, patience_s=0.0)
