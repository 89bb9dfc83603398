"""A model asked one task: the same prompt, the same schema, typed answers, wherever it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, overload

from ftkit.backends import Answer, Backend, OnAnswer, Request, Sampling, backend_of
from ftkit.errors import ConfigError, ModelError, OutputError, RefusedError
from ftkit.task import Message, Task
from ftkit.type_checks import check_kind

__all__ = ["Model"]


class Model:
    """What answers a task: a base or tuned model, hosted or local.

    Args:
        name: ``"backend:model"``, e.g. ``"local:smollm2-135m"``, ``"local:./my-model"`` or ``"local:<id of a run>"``;
            or a backend object.
        task: what to ask of it. A model tuned by ftkit knows its task, so it can be left out there.
        sampling: how answers are drawn; greedy by default.
        other_task: allow a task other than the one the model was tuned for.

    Raises:
        ConfigError: no task given and none known; or another task than the model was tuned for. Training and asking
            with different prompts is the commonest reason for a good model to answer badly.
    """

    def __init__(
        self,
        name: str | Backend,
        task: Task | None = None,
        *,
        sampling: Sampling | None = None,
        other_task: bool = False,
    ) -> None:
        self._backend = backend_of(name)
        if task is not None:
            check_kind(task, Task, "task", 'an ft.Task("…", input="{note}")')
        self.sampling = sampling or Sampling()
        known = self._backend.known_task()
        if task is None:
            if known is None:
                raise ConfigError(f"which task should {self.name} do? Give it: ft.Model({self.name!r}, task)")
            task = known
        elif known is not None and known.fingerprint != task.fingerprint and not other_task:
            raise ConfigError(
                f"{self.name} was tuned for another task (instructions, input template, schema or show_schema "
                "differ), so this one's prompt is not what it learnt. Leave the task out to use its own, or "
                "pass other_task=True"
            )
        self.task = task

    @property
    def name(self) -> str:
        """``"backend:model"``."""
        return f"{self._backend.name}:{self._backend.model}"

    @property
    def backend_name(self) -> str:
        """The part of the name before the colon."""
        return self._backend.name

    def __repr__(self) -> str:
        return f"Model({self.name!r})"

    def predict(self, **columns: Any) -> Any:
        """Answer for one row, given as the columns the task's template reads.

        Returns:
            The typed value: the task's pydantic object when its class is known, else plain JSON values or text.

        Raises:
            OutputError: the model's text is not a valid answer; ``error.text`` has it.
            ModelError: the model could not be asked.
        """
        return self.predict_many([columns])[0]

    async def apredict(self, **columns: Any) -> Any:
        """As :meth:`predict`, without blocking the event loop."""
        return (await self.apredict_many([columns]))[0]

    @overload
    def predict_many(self, rows: Sequence[Mapping[str, Any]], *, on_error: Literal["raise"] = ...) -> list[Any]: ...
    @overload
    def predict_many(
        self, rows: Sequence[Mapping[str, Any]], *, on_error: Literal["return"]
    ) -> list[Any | OutputError]: ...
    def predict_many(
        self, rows: Sequence[Mapping[str, Any]], *, on_error: Literal["raise", "return"] = "raise"
    ) -> list[Any]:
        """Answer for many rows at once, in their order; much faster than one by one.

        Args:
            on_error: ``"raise"`` the first :class:`~ftkit.OutputError`, or ``"return"`` each in its row's place.
        """
        return self._values(self.answer_many(self._requests(rows)), on_error)

    async def apredict_many(
        self, rows: Sequence[Mapping[str, Any]], *, on_error: Literal["raise", "return"] = "raise"
    ) -> list[Any]:
        """As :meth:`predict_many`, without blocking the event loop.

        Hosted models are asked on the loop itself; a model on this machine computes in a thread.
        """
        answerer, requests = self._backend.answerer(), self._held(self._requests(rows))
        ask = getattr(answerer, "answer_many_async", None)
        if ask is None:
            answers = await asyncio.to_thread(answerer.answer_many, requests, self.sampling)
        else:
            answers = await ask(requests, self.sampling)
        return self._values(answers, on_error)

    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling | None = None, on_answer: OnAnswer | None = None
    ) -> list[Answer]:
        """Raw answers with their tokens and times; what evaluation asks for. Requests that name no output are held to
        the task's, by backends that can."""
        return self._backend.answerer().answer_many(self._held(requests), sampling or self.sampling, on_answer)

    def answer_batch(
        self,
        requests: Mapping[int, Request],
        sampling: Sampling,
        on_answer: OnAnswer,
        *,
        folder: Path,
        on_count: Callable[[int], None],
    ) -> dict[int, Answer]:
        """Raw answers through the host's batch API, for as many of ``requests`` as one batch takes.

        Args:
            folder: where what finds the batch again is kept until it has been read.
            on_count: hears how many have been answered so far.

        Raises:
            RefusedError: the model's place has no batch API.
            HostError, ModelError, RunError: the batch was refused, failed, or another process waits for it.
        """
        ask = getattr(self._backend.answerer(), "answer_batch", None)
        if ask is None:
            raise RefusedError(
                f"{self.backend_name} has no batch API; ask without it", backend=self.backend_name, fields=("batch",)
            )
        held = dict(zip(requests, self._held(list(requests.values())), strict=True))
        found: dict[int, Answer] = ask(held, sampling, on_answer, folder=folder, on_count=on_count)
        return found

    def text_losses(self, texts: Sequence[str]) -> list[tuple[float, int]] | None:
        """Negative log-likelihood of each text in nats, and its tokens; ``None`` where the backend does not say."""
        found = getattr(self._backend.answerer(), "text_losses", None)
        return None if found is None else list(found(texts))

    def divergence_from(
        self, base: Model, conversations: Sequence[Sequence[Message]]
    ) -> list[tuple[float, int]] | None:
        """KL(base ‖ this model) over the last turn of each conversation in nats, and its tokens.

        ``None`` unless both models run in this process.
        """
        own, other = self._backend.answerer(), base._backend.answerer()
        found = getattr(own, "divergence_from", None)
        return None if found is None or type(own) is not type(other) else list(found(other, conversations))

    def room_for_another(self) -> bool:
        """Whether a second model of this size can be asked while this one is kept: always, unless both are here."""
        found = getattr(self._backend.answerer(), "room_for_another", None)
        return found is None or bool(found())

    def about(self) -> dict[str, Any]:
        """What answers, for the record: versions, device, precision, hash of the chat template."""
        return self._backend.answerer().about()

    def _requests(self, rows: Sequence[Mapping[str, Any]]) -> list[Request]:
        return [Request(self.task.prompt(columns)) for columns in rows]

    def _held(self, requests: Sequence[Request]) -> list[Request]:
        return [replace(one, output=self.task.output) if one.output is None else one for one in requests]

    def _values(self, answers: Sequence[Answer], on_error: Literal["raise", "return"]) -> list[Any]:
        if on_error not in ("raise", "return"):
            raise ConfigError(f'on_error={on_error!r} is not known; it must be "raise" or "return"')
        values: list[Any] = []
        for answer in answers:
            if answer.finish_reason == "error":
                raise ModelError(f"{self.name} gave no answer: {answer.error}")
            try:
                values.append(self.task.parse(answer.text))
            except OutputError as error:
                if on_error == "raise":
                    raise
                values.append(error)
        return values
