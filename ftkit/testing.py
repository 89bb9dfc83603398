"""For unit tests of code that uses ftkit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from typing_extensions import override

from ftkit.backends import Answer, OnAnswer, Request, Sampling
from ftkit.errors import ConfigError
from ftkit.model import Model
from ftkit.results.tool_call import ToolCall
from ftkit.schema.answer_type import AnswerT
from ftkit.task import Task

__all__ = ["FakeModel"]


class FakeModel(Model[AnswerT]):
    """A model that answers from a table or a function, loads nothing and asks nobody.

        model = FakeModel(task, {"Ana, 54": Visit(name="Ana", age=54), "unreadable": "no JSON"})
        assert model.predict(note="Ana, 54").age == 54

    It is an :class:`ftkit.Model`: answers go through the task, also wrong ones, and :func:`ftkit.evaluate` takes it.

    Args:
        task: the task.
        answers: the answer for the text of each question, or a function of it. A text is what the model writes; a list
            of :class:`ftkit.ToolCall` is its calls of tools; another value is written as a valid answer would be; an
            exception is the error of the request.
        name: the model's name in reports.

    Attributes:
        requests: the requests so far.

    Raises:
        ConfigError: when a question is asked that the table does not have.
    """

    requests: list[Request]

    def __init__(
        self, task: Task[AnswerT], answers: Mapping[str, Any] | Callable[[str], Any], *, name: str = "model"
    ) -> None:
        self.requests = []
        self._made_of = task, answers, name
        super().__init__(_FakeBackend(task, answers, name, self.requests), task)  # type: ignore[arg-type]

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        task, answers, name = self._made_of
        return partial(type(self), name=name), (task, answers)


class _FakeBackend:
    name = "fake"

    def __init__(
        self,
        task: Task[Any],
        answers: Mapping[str, Any] | Callable[[str], Any],
        model: str,
        requests: list[Request],
    ) -> None:
        self.task, self.answers, self.model, self.requests = task, answers, model, requests

    def answerer(self) -> _FakeBackend:
        return self

    def known_task(self) -> None:
        return None

    def about(self) -> dict[str, Any]:
        return {"model": self.model}

    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling, on_answer: OnAnswer | None = None
    ) -> list[Answer]:
        found = []
        for number, request in enumerate(requests):
            self.requests.append(request)
            answer = self._answer(str(request.messages[-1]["content"]))
            if on_answer is not None:
                on_answer(number, answer)
            found.append(answer)
        return found

    def _answer(self, question: str) -> Answer:
        if callable(self.answers):
            value = self.answers(question)
        elif question in self.answers:
            value = self.answers[question]
        else:
            raise ConfigError(f"the fake model has no answer for {question!r:.80}")
        if isinstance(value, Exception):
            return Answer("", "error", 0, 0, 0.0, error=str(value))
        if isinstance(value, list) and value and all(isinstance(call, ToolCall) for call in value):
            calls = [_openai_call(number, call) for number, call in enumerate(value)]
            return Answer("", "tool_calls", len(question.split()), len(calls), 0.0, tool_calls=calls)
        text = value if isinstance(value, str) else self.task.target(value)
        return Answer(text, "stop", len(question.split()), len(text.split()), 0.0)


def _openai_call(number: int, call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)}
    return {"id": call.id or f"call_{number}", "type": "function", "function": function}
