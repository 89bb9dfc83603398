"""A model that is asked with another task than its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ftkit.backends import Answer, OnAnswer, Request, Sampling
from ftkit.evaluation.request_runner import EvaluableModel
from ftkit.task import Task

__all__ = ["ModelWithTask"]


class ModelWithTask:
    """The same model with another task, e.g. one with an optimised prompt.

    Args:
        model: the model.
        task: the task.
    """

    def __init__(self, model: EvaluableModel, task: Task) -> None:
        self._model, self.task = model, task
        self.name, self.sampling = model.name, model.sampling

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling | None = None, on_answer: OnAnswer | None = None
    ) -> list[Answer]:
        """Answer each request; see :meth:`ftkit.Model.answer_many`.

        Args:
            requests: what to ask.
            sampling: how to sample.
            on_answer: called with the index and the answer of each request.

        Returns:
            One answer for each request, in order.
        """
        return self._model.answer_many(requests, sampling, on_answer)

    def about(self) -> dict[str, Any]:
        """Describe what answers.

        Returns:
            Plain JSON values.
        """
        return self._model.about()
