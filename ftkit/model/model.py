"""A model that answers one task: the same prompt, the same schema, typed answers, wherever it runs."""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Generic, Literal, Self, cast, overload

from ftkit.arguments import check_kind, explain_calls, our_name
from ftkit.backends import Answer, Backend, OnAnswer, Request, Sampling, backend_of
from ftkit.backends.answer_limit import has_bound
from ftkit.backends.deadline import Deadline
from ftkit.backends.engines import Engine
from ftkit.data.formats import read_tools
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError, DataError, FtkitError, Place
from ftkit.model.asking import answers_of_each, answers_of_each_async, ask, ask_async
from ftkit.model.by_name import pickled_name, shared_copy
from ftkit.model.evaluated_model import EvaluatedModel
from ftkit.model.outcomes import OnError, check_on_error, outcomes
from ftkit.results.tool_call import ToolCall
from ftkit.schema.answer_type import AnswerT, NewAnswerT
from ftkit.task import Task

__all__ = ["Model"]


class Model(EvaluatedModel, Generic[AnswerT]):
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
        engine: what runs a model on this machine: ``"torch"``, ftkit's own engine and the default; ``"vllm"``; or one
            with its settings, e.g. ``ft.VLLM(url="http://127.0.0.1:8000")``.

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
        engine: str | Engine | None = None,
    ) -> None:
        self._backend = backend_of(name, chat_template=chat_template, engine=engine)
        self._engine = engine
        self._spec = f"{self._backend.name}:{self._backend.model}" if isinstance(name, str) else None
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
        bound: Model[Any] = copy.copy(self)
        bound.task = self.task.bind(cls)
        return cast("Model[NewAnswerT]", bound)

    def __repr__(self) -> str:
        return f"Model({self.name!r})"

    def __copy__(self) -> Self:
        return shared_copy(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return shared_copy(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_name, (type(self), self._spec_for_pickle(), self.task, self.sampling, self._engine)

    def _spec_for_pickle(self) -> str:
        return pickled_name(self._spec, self._backend, "Model")

    def load(self) -> Self:
        """Load a local model now, so that the first answer need not wait for it. Hosted models have nothing to load.

        Returns:
            The model.

        Raises:
            ModelError: it cannot be loaded.
        """
        load = getattr(self._backend.answerer(), "load", None)
        if load is not None:
            load()
        return self

    def close(self) -> None:
        """Unload a local model, or close the connections of a hosted one: at once or, if it is being asked, afterwards.

        The object stays usable: when it is asked again, the model is loaded again.
        """
        close = getattr(self._backend, "close", None)
        if close is not None:
            close()

    async def aclose(self) -> None:
        """Close the model without blocking the event loop; see :meth:`close`."""
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
    def predict(
        self, *, timeout: float | None = ..., tools: Sequence[dict[str, Any]], **columns: Any
    ) -> AnswerT | list[ToolCall]: ...
    @overload
    def predict(self, *, timeout: float | None = ..., **columns: Any) -> AnswerT: ...
    @explain_calls(instead='the columns of the row by name: model.predict(note="…")')
    def predict(self, *, timeout: float | None = None, **columns: Any) -> AnswerT | list[ToolCall]:
        """Answer one row.

        Args:
            timeout: seconds after which the call is given up, with all retries at a host. The time in which a model on
                this machine is loaded does not count, see :meth:`load`. A column of this name counts as a column.
            columns: the columns that the task's template uses, or ``messages`` for a task without one. ``tools``, the
                functions that the model may call in OpenAI's form, is passed to the model.

        Returns:
            The typed value: the task's pydantic object if its class is known, else plain JSON values or text. If the
            model calls tools, the calls.

        Raises:
            OutputError: the model's text, or the arguments of a call, are not valid; ``error.text`` holds them.
            ModelError: the model could not be asked.
            AnswerTimeoutError: there was no answer in time.
        """
        columns, timeout = self._row(columns, timeout)
        return self.predict_many([columns], timeout=timeout)[0]

    @overload
    async def apredict(
        self, *, timeout: float | None = ..., tools: Sequence[dict[str, Any]], **columns: Any
    ) -> AnswerT | list[ToolCall]: ...
    @overload
    async def apredict(self, *, timeout: float | None = ..., **columns: Any) -> AnswerT: ...
    async def apredict(self, *, timeout: float | None = None, **columns: Any) -> AnswerT | list[ToolCall]:
        """Answer one row without blocking the event loop. Concurrent calls of a local model share batches.

        Args:
            timeout: as for :meth:`predict`.
            columns: as for :meth:`predict`.

        Returns:
            The typed value, or the calls, as of :meth:`predict`.

        Raises:
            OutputError: the model's text is not a valid answer; ``error.text`` holds it.
            ModelError: the model could not be asked.
            AnswerTimeoutError: there was no answer in time.
        """
        columns, timeout = self._row(columns, timeout)
        return (await self.apredict_many([columns], timeout=timeout))[0]

    @overload
    def predict_many(
        self, rows: Sequence[Mapping[str, Any]], *, on_error: Literal["raise"] = ..., timeout: float | None = ...
    ) -> list[AnswerT]: ...
    @overload
    def predict_many(
        self, rows: Sequence[Mapping[str, Any]], *, on_error: Literal["return"], timeout: float | None = ...
    ) -> list[AnswerT | FtkitError]: ...
    def predict_many(
        self,
        rows: Sequence[Mapping[str, Any]],
        *,
        on_error: OnError = "raise",
        timeout: float | None = None,
    ) -> list[Any]:
        """Answer many rows at once, which is much faster than one by one.

        Args:
            rows: the columns of each row.
            on_error: ``"raise"`` the first error, or ``"return"`` each in its row's place, so that one row costs none
                of the other answers: an :class:`~ftkit.OutputError` for an answer that is not valid, another
                :class:`~ftkit.FtkitError` for a row that cannot be asked, was refused, or failed.
            timeout: seconds after which the call is given up; as for :meth:`predict`.

        Returns:
            The typed values in the order of the rows; with ``on_error="return"`` also errors.

        Raises:
            OutputError: a text is not a valid answer, and ``on_error`` is ``"raise"``.
            ModelError: the model could not be asked. With ``on_error="return"`` only if it could not be asked any row,
                for a reason that lies in no row.
            AnswerTimeoutError: a row had no answer in time, and ``on_error`` is ``"raise"``.
        """
        check_on_error(on_error)
        asked, errors = self._requests(rows, timeout, on_error)
        if on_error == "raise":
            answers = dict(zip(asked, self.answer_many(list(asked.values())), strict=True))
        else:
            answers = answers_of_each(self, asked, errors)
        return outcomes(self.name, self.task, len(rows), answers, errors, on_error)

    @overload
    async def apredict_many(
        self, rows: Sequence[Mapping[str, Any]], *, on_error: Literal["raise"] = ..., timeout: float | None = ...
    ) -> list[AnswerT]: ...
    @overload
    async def apredict_many(
        self, rows: Sequence[Mapping[str, Any]], *, on_error: Literal["return"], timeout: float | None = ...
    ) -> list[AnswerT | FtkitError]: ...
    async def apredict_many(
        self,
        rows: Sequence[Mapping[str, Any]],
        *,
        on_error: OnError = "raise",
        timeout: float | None = None,
    ) -> list[Any]:
        """Answer many rows at once without blocking the event loop.

        Args:
            rows: the columns of each row.
            on_error: as for :meth:`predict_many`.
            timeout: as for :meth:`predict_many`.

        Returns:
            The typed values in the order of the rows; with ``on_error="return"`` also errors.

        Raises:
            OutputError: a text is not a valid answer, and ``on_error`` is ``"raise"``.
            ModelError: the model could not be asked, as for :meth:`predict_many`.
            AnswerTimeoutError: a row had no answer in time, and ``on_error`` is ``"raise"``.
        """
        check_on_error(on_error)
        asked, errors = self._requests(rows, timeout, on_error)
        answerer, requests = self._backend.answerer(), self._with_output(list(asked.values()))
        bounded = self.sampling.max_output_tokens == "auto" and has_bound(self.task.output)
        sampling = await asyncio.to_thread(self._limited, self.sampling, requests) if bounded else self.sampling
        if on_error == "raise":
            given = await ask_async(answerer, requests, sampling)
            answers = dict(zip(asked, given, strict=True))
        else:
            answers = await answers_of_each_async(answerer, dict(zip(asked, requests, strict=True)), sampling, errors)
        return outcomes(self.name, self.task, len(rows), answers, errors, on_error)

    def answer_many(
        self,
        requests: Sequence[Request],
        sampling: Sampling | None = None,
        on_answer: OnAnswer | None = None,
        *,
        timeout: float | None = None,
    ) -> list[Answer]:
        """Answer requests with raw texts, token counts and times, as evaluation needs them.

        Args:
            requests: what to ask. A request without an output gets the task's, which backends that can constrain
                answers to.
            sampling: how answers are sampled; the model's own by default.
            on_answer: called with the index and the answer of each request as soon as it is complete.
            timeout: seconds after which the call is given up. A request without an answer by then has one with
                ``timed_out`` and ``finish_reason="error"``.

        Returns:
            The answers in the order of the requests.

        Raises:
            ModelError: the model could not be asked.
        """
        if timeout is not None:
            deadline = Deadline.after(timeout)
            requests = [replace(request, deadline=deadline) for request in requests]
        limited = self._limited(sampling or self.sampling, requests)
        return ask(self._backend.answerer(), self._with_output(requests), limited, on_answer)

    def _row(self, columns: dict[str, Any], timeout: float | None) -> tuple[dict[str, Any], float | None]:
        """The columns of a row and the time limit, where the template reads a column called ``timeout``."""
        # An option of sampling would be dropped, like any other column that the template does not read.
        for name in columns.keys() - set(self.task.columns):
            option = name if name in Sampling.model_fields else our_name(name, Sampling.model_fields)
            if option is not None or isinstance(columns[name], Sampling):
                raise ConfigError(
                    f"predict takes the columns of a row, and the task reads no column {name!r}. The model has the "
                    f"options of sampling: ft.Model(…, sampling=ft.Sampling({option or 'temperature'}=…)). If it is a "
                    "column of your row, leave it out, or use predict_many([row])"
                )
        return (columns | {"timeout": timeout}, None) if "timeout" in self.task.columns else (columns, timeout)

    def _requests(
        self, rows: Sequence[Mapping[str, Any]], timeout: float | None, on_error: OnError
    ) -> tuple[dict[int, Request], dict[int, FtkitError]]:
        """The requests by the number of their row, and the errors of rows that cannot be asked."""
        if isinstance(rows, Mapping | str | bytes):
            raise ConfigError(f"rows is a {type(rows).__name__}; pass a list of rows: [{self._example_row()}]")
        deadline = Deadline.after(timeout)
        asked: dict[int, Request] = {}
        errors: dict[int, FtkitError] = {}
        for number, columns in enumerate(rows):
            try:
                check_kind(columns, Mapping, f"row {number}", f"its columns by name: {self._example_row()}")
                asked[number] = Request(self.task.prompt(columns), self._tools(columns), deadline=deadline)
            except FtkitError as error:
                if on_error == "raise":
                    raise
                errors[number] = error
        return asked, errors

    def _example_row(self) -> str:
        return "{" + ", ".join(f'"{name}": …' for name in self.task.columns or ("messages",)) + "}"

    def _tools(self, columns: Mapping[str, Any]) -> Sequence[dict[str, Any]] | None:
        """The tools of a row, unless the template reads a column of this name."""
        if "tools" in self.task.columns:
            return None
        try:
            return read_tools(columns.get("tools"), Place("this row", 1), "tools", nulls_are_absent=False)
        except DataError as error:
            raise ConfigError(
                f"{error.field}: {error.message}. tools is a list of functions in OpenAI's form: "
                '[{"type": "function", "function": {…}}]'
            ) from None


def _from_name(
    kind: type[Model[Any]], name: str, task: Task[Any], sampling: Sampling, engine: str | Engine | None = None
) -> Model[Any]:
    """The model of a pickle. Its task was accepted when the model was made."""
    return kind(name, task, sampling=sampling, other_task=True, engine=engine)
