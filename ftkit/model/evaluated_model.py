"""What evaluation asks of a model beside its answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ftkit.backends import Answer, Backend, OnAnswer, Request, Sampling
from ftkit.backends.answer_limit import limited_sampling
from ftkit.errors import RefusedError
from ftkit.task import Message, Task

__all__ = ["EvaluatedModel"]


class EvaluatedModel:
    """The part of :class:`ftkit.Model` that measures and describes a model of a backend.

    Attributes:
        task: the task.
        sampling: how answers are sampled.
    """

    _backend: Backend
    task: Task[Any]
    sampling: Sampling

    @property
    def name(self) -> str:
        """``"backend:model"``."""
        return f"{self._backend.name}:{self._backend.model}"

    @property
    def backend_name(self) -> str:
        """The part of the name before the colon."""
        return self._backend.name

    def check_requests(self, requests: Sequence[Request], sampling: Sampling | None = None) -> None:
        """Check that the model takes every sampling option that was written. Nothing is sent.

        Args:
            requests: what is to be asked.
            sampling: how answers are to be sampled; the model's own by default.

        Raises:
            RefusedError: the model does not take an option.
        """
        check = getattr(self._backend.answerer(), "check_requests", None)
        if check is not None:
            check(self._with_output(requests), sampling or self.sampling)

    def answer_batch(
        self,
        requests: Mapping[int, Request],
        sampling: Sampling,
        on_answer: OnAnswer,
        *,
        folder: Path,
        on_count: Callable[[int], None],
    ) -> dict[int, Answer]:
        """Answer requests through the host's batch API, as many as one batch takes.

        Args:
            requests: what to ask, by number.
            sampling: how answers are sampled.
            on_answer: called with the number and the answer of each request.
            folder: where the batch's id is stored until its answers were read.
            on_count: called with how many requests have been answered so far.

        Returns:
            The answers by number; the requests that did not fit into the batch are missing.

        Raises:
            RefusedError: the backend has no batch API.
            HostError, ModelError, RunError: the batch was refused, failed, or another process waits for it.
        """
        ask = getattr(self._backend.answerer(), "answer_batch", None)
        if ask is None:
            raise RefusedError(
                f"{self.backend_name} has no batch API; ask without it", backend=self.backend_name, fields=("batch",)
            )
        complete = dict(zip(requests, self._with_output(list(requests.values())), strict=True))
        answers: dict[int, Answer] = ask(complete, sampling, on_answer, folder=folder, on_count=on_count)
        return answers

    def text_losses(self, texts: Sequence[str]) -> list[tuple[float, int]] | None:
        """Measure how likely the model finds texts.

        Args:
            texts: plain texts.

        Returns:
            For each text its negative log-likelihood in nats and its number of predicted tokens; None if the backend
            does not report it.
        """
        losses = getattr(self._backend.answerer(), "text_losses", None)
        return None if losses is None else list(losses(texts))

    def thoughts(self, questions: Sequence[str], max_output_tokens: int) -> dict[bool, list[str | None]] | None:
        """Ask questions in both modes of a reasoning model.

        Args:
            questions: plain texts.
            max_output_tokens: longest answer.

        Returns:
            By mode (True: with a thought) what each answer thinks first, None where it does not; None if the model or
            its backend has no such modes.
        """
        ask = getattr(self._backend.answerer(), "thoughts", None)
        found: dict[bool, list[str | None]] | None = None if ask is None else ask(questions, max_output_tokens)
        return found

    def divergence_from(
        self, base: EvaluatedModel, conversations: Sequence[Sequence[Message]]
    ) -> list[tuple[float, int]] | None:
        """Measure KL(base ‖ this model) over the last turn of each conversation.

        Args:
            base: the other model.
            conversations: each ends with an assistant turn.

        Returns:
            For each conversation the divergence in nats, summed over its tokens, and their number; None unless both
            models run in one process.
        """
        own, other = self._backend.answerer(), base._backend.answerer()
        divergence = getattr(own, "divergence_from", None)
        found = None if divergence is None or type(own) is not type(other) else divergence(other, conversations)
        return None if found is None else list(found)

    def room_for_another(self) -> bool:
        """Say whether a second model of this size can be used while this one stays loaded.

        Returns:
            True unless both run in this process and memory is short.
        """
        has_room = getattr(self._backend.answerer(), "room_for_another", None)
        return has_room is None or bool(has_room())

    def thought_tokens(self) -> int | None:
        """Say how many tokens the model may need for a thought before its answer.

        Returns:
            The number; None if it is not known.
        """
        ask = getattr(self._backend.answerer(), "thought_tokens", None)
        tokens: int | None = None if ask is None else ask()
        return tokens

    def reasons_on_request(self) -> bool | None:
        """Say whether the model takes an effort of reasoning.

        Returns:
            Whether it does; None if nothing is known of it.
        """
        ask = getattr(self._backend.answerer(), "reasons_on_request", None)
        takes: bool | None = None if ask is None else ask()
        return takes

    def about(self) -> dict[str, Any]:
        """Describe the model for a report: versions, device, precision, hash of the chat template.

        Returns:
            Plain JSON values, without secrets.
        """
        return self._backend.answerer().about()

    def _limited(self, sampling: Sampling, requests: Sequence[Request]) -> Sampling:
        return limited_sampling(sampling, self.task.output, requests, self.thought_tokens)

    def _with_output(self, requests: Sequence[Request]) -> list[Request]:
        return [
            replace(request, output=self.task.output) if request.output is None else request for request in requests
        ]
