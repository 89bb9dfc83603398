"""A model that answers one task: the same prompt, the same schema, typed answers, wherever it runs."""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Literal, Self, cast, overload

from ftkit.arguments import check_kind, explain_calls
from ftkit.backends import Answer, Backend, OnAnswer, Request, Sampling, backend_of
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError, ModelError, OutputError, RefusedError
from ftkit.results.tool_call import ToolCall, typed_tool_calls
from ftkit.schema.answer_type import AnswerT, NewAnswerT
from ftkit.task import Message, Task

__all__ = ["Model"]


class Model(Generic[AnswerT]):
    """A base or tuned model, hosted or local, that answers a task.

    A local model is loaded when it is first asked. All ``Model`` objects of a process share the loaded weights, and
    :func:`ftkit.inference.limits.set_loaded_model_limits` says how many stay loaded. Use the model as a context
    manager, or call :meth:`close`, to unload it earlier.

    Args:
        name: ``"backend:model"``, e.g. ``"local:smollm2-135m"``, ``"local:./my-model"`` or ``"local:<id of a run>"``;
            or a backend object.
        task: the task. A model tuned by ftkit knows its task, so it can be left out there, or be the class of its
            answers, see :meth:`bind`.
        sampling: how answers are sampled; greedy by default.
        other_task: allow a task other than the one that the model was tuned for.
        chat_template: file of a Jinja template that replaces the model's own, for models on this machine.

    Raises:
        ConfigError: no task is given and none is known; or it is another task than the model was tuned for. Training
            and asking with different prompts is the most common reason why a good model answers badly.
    """

    @explain_calls(
        instead='ft.Model("local:smollm2-135m", task)', fields=lambda: {"sampling=ft.Sampling": Sampling.model_fields}
    )
    def __init__(
        self,
        name: str | Backend,
        task: Task[AnswerT] | type[AnswerT] | None = None,
        *,
        sampling: Sampling | None = None,
        other_task: bool = False,
        chat_template: str | os.PathLike[str] | None = None,
    ) -> None:
        self._backend = backend_of(name, chat_template=chat_template)
        if task is not None and not isinstance(task, type):
            check_kind(task, Task, "task", 'an ft.Task("…", input="{note}")')
        self.sampling = sampling or Sampling()
        known = self._backend.known_task()
        if isinstance(task, type):
            if known is None:
                raise ConfigError(f"which task should {self.name} do? Give it: ft.Model({self.name!r}, task)")
            task = known.bind(task)
        if task is None:
            if known is None:
                raise ConfigError(f"which task should {self.name} do? Give it: ft.Model({self.name!r}, task)")
            task = known
        elif known is not None and known.fingerprint != task.fingerprint and not other_task:
            raise ConfigError(
                ErrorText(
                    f"{self.name} was tuned for another task (instructions, input template, schema or show_schema "
                    "differ), so this task's prompt is not what it was trained on. Leave the task out to use its own, "
                    "or pass ",
                    Argument("other_task", text="other_task=True"),
                )
            )
        self.task: Task[AnswerT] = task

    def bind(self, cls: type[NewAnswerT]) -> Model[NewAnswerT]:
        """Return a model whose answers are objects of a class, for a model whose task came from a file or a store.

        Args:
            cls: the class that the task's output was made from.

        Returns:
            A model of the same backend; loaded weights are shared.

        Raises:
            ConfigError: the class's schema is not the task's; names the first difference.
        """
        bound = copy.copy(self)
        bound.task = self.task.bind(cls)
        return cast("Model[NewAnswerT]", bound)

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

    def close(self) -> None:
        """Unload a local model, at once or, if it is being asked, afterwards. Hosted models have nothing to unload.

        The object stays usable: when it is asked again, the model is loaded again.
        """
        close = getattr(self._backend, "close", None)
        if close is not None:
            close()

    async def aclose(self) -> None:
        """Unload a local model without blocking the event loop; see :meth:`close`."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    @overload
    def predict(self, *, tools: Sequence[dict[str, Any]], **columns: Any) -> AnswerT | list[ToolCall]: ...
    @overload
    def predict(self, **columns: Any) -> AnswerT: ...
    @explain_calls(instead='the columns of the row by name: model.predict(note="…")')
    def predict(self, **columns: Any) -> AnswerT | list[ToolCall]:
        """Answer one row.

        Args:
            columns: the columns that the task's template uses, or ``messages`` for a task without one. ``tools``, the
                functions that the model may call in OpenAI's form, is passed to the model.

        Returns:
            The typed value: the task's pydantic object if its class is known, else plain JSON values or text. If the
            model calls tools, the calls.

        Raises:
            OutputError: the model's text, or the arguments of a call, are not valid; ``error.text`` holds them.
            ModelError: the model could not be asked.
        """
        return self.predict_many([columns])[0]

    @overload
    async def apredict(self, *, tools: Sequence[dict[str, Any]], **columns: Any) -> AnswerT | list[ToolCall]: ...
    @overload
    async def apredict(self, **columns: Any) -> AnswerT: ...
    async def apredict(self, **columns: Any) -> AnswerT | list[ToolCall]:
        """Answer one row without blocking the event loop. Concurrent calls of a local model share batches.

        Args:
            columns: as for :meth:`predict`.

        Returns:
            The typed value, or the calls, as of :meth:`predict`.

        Raises:
            OutputError: the model's text is not a valid answer; ``error.text`` holds it.
            ModelError: the model could not be asked.
        """
        return (await self.apredict_many([columns]))[0]

    @overload
    def predict_many(self, rows: Sequence[Mapping[str, Any]], *, on_error: Literal["raise"] = ...) -> list[AnswerT]: ...
    @overload
    def predict_many(
        self, rows: Sequence[Mapping[str, Any]], *, on_error: Literal["return"]
    ) -> list[AnswerT | OutputError]: ...
    def predict_many(
        self, rows: Sequence[Mapping[str, Any]], *, on_error: Literal["raise", "return"] = "raise"
    ) -> list[Any]:
        """Answer many rows at once, which is much faster than one by one.

        Args:
            rows: the columns of each row.
            on_error: ``"raise"`` the first :class:`~ftkit.OutputError`, or ``"return"`` each in its row's place.

        Returns:
            The typed values in the order of the rows.

        Raises:
            OutputError: a text is not a valid answer, and ``on_error`` is ``"raise"``.
            ModelError: the model could not be asked.
        """
        return self._values(self.answer_many(self._requests(rows)), on_error)

    @overload
    async def apredict_many(
        self, rows: Sequence[Mapping[str, Any]], *, on_error: Literal["raise"] = ...
    ) -> list[AnswerT]: ...
    @overload
    async def apredict_many(
        self, rows: Sequence[Mapping[str, Any]], *, on_error: Literal["return"]
    ) -> list[AnswerT | OutputError]: ...
    async def apredict_many(
        self, rows: Sequence[Mapping[str, Any]], *, on_error: Literal["raise", "return"] = "raise"
    ) -> list[Any]:
        """Answer many rows at once without blocking the event loop.

        Args:
            rows: the columns of each row.
            on_error: ``"raise"`` the first :class:`~ftkit.OutputError`, or ``"return"`` each in its row's place.

        Returns:
            The typed values in the order of the rows.

        Raises:
            OutputError: a text is not a valid answer, and ``on_error`` is ``"raise"``.
            ModelError: the model could not be asked.
        """
        answerer, requests = self._backend.answerer(), self._with_output(self._requests(rows))
        ask = getattr(answerer, "answer_many_async", None)
        if ask is None:  # a plug-in that only answers synchronously
            answers = await asyncio.to_thread(answerer.answer_many, requests, self.sampling)
        else:
            answers = await ask(requests, self.sampling)
        return self._values(answers, on_error)

    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling | None = None, on_answer: OnAnswer | None = None
    ) -> list[Answer]:
        """Answer requests with raw texts, token counts and times, as evaluation needs them.

        Args:
            requests: what to ask. A request without an output gets the task's, which backends that can constrain
                answers to.
            sampling: how answers are sampled; the model's own by default.
            on_answer: called with the index and the answer of each request as soon as it is complete.

        Returns:
            The answers in the order of the requests.

        Raises:
            ModelError: the model could not be asked.
        """
        return self._backend.answerer().answer_many(self._with_output(requests), sampling or self.sampling, on_answer)

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

    def divergence_from(
        self, base: Model, conversations: Sequence[Sequence[Message]]
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

    def about(self) -> dict[str, Any]:
        """Describe the model for a report: versions, device, precision, hash of the chat template.

        Returns:
            Plain JSON values, without secrets.
        """
        return self._backend.answerer().about()

    def _requests(self, rows: Sequence[Mapping[str, Any]]) -> list[Request]:
        return [Request(self.task.prompt(columns), self._tools(columns)) for columns in rows]

    def _tools(self, columns: Mapping[str, Any]) -> Sequence[dict[str, Any]] | None:
        """The tools of a row, unless the template reads a column of this name."""
        tools = None if "tools" in self.task.columns else columns.get("tools")
        if tools is not None and not (isinstance(tools, Sequence) and all(isinstance(tool, dict) for tool in tools)):
            raise ConfigError('tools is a list of functions in OpenAI\'s form: [{"type": "function", "function": {…}}]')
        return tools or None

    def _with_output(self, requests: Sequence[Request]) -> list[Request]:
        return [
            replace(request, output=self.task.output) if request.output is None else request for request in requests
        ]

    def _values(self, answers: Sequence[Answer], on_error: Literal["raise", "return"]) -> list[Any]:
        if on_error not in ("raise", "return"):
            raise ConfigError(f'on_error={on_error!r} is not known; it must be "raise" or "return"')
        values: list[Any] = []
        for answer in answers:
            if answer.finish_reason == "error":
                raise ModelError(f"{self.name} gave no answer: {answer.error}")
            try:
                values.append(
                    typed_tool_calls(answer.tool_calls) if answer.tool_calls else self.task.parse(answer.text)
                )
            except OutputError as error:
                if on_error == "raise":
                    raise
                values.append(error)
        return values
