"""Run a grader on one answer."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from ftkit.graders import Grade, Grader, Sample
from ftkit.graders.grade import GradingError
from ftkit.graders.text_measures import measure_texts
from ftkit.server.graders.grader_schema import grader_setting
from ftkit.server.settings import Settings
from ftkit.server.workers import WorkerLimitError, WorkerPool

if TYPE_CHECKING:
    from ftkit.server.graders.model_calls import ModelAnswer

__all__ = ["GraderRuns"]

T = TypeVar("T")

_MAX_CONCURRENT = 8
_MEASURE_S = 30.0
"""Longest comparison of the texts of a request, with the time to load the libraries."""
_FLAGS = (
    *("formula_parse_error", "sample_parse_error", "truncated_observation_error", "unresponsive_reward_error"),
    *("invalid_variable_error", "other_error", "python_grader_server_error", "python_grader_runtime_error"),
    *("model_grader_server_error", "model_grader_refusal_error", "model_grader_parse_error"),
)
_DETAILS = {
    "python_grader_server_error": "python_grader_server_error_type",
    "python_grader_runtime_error": "python_grader_runtime_error_details",
    "model_grader_server_error": "model_grader_server_error_details",
}
"""The error flags of OpenAI's response, and the fields with details (API reference, "Run grader")."""


class GraderRuns:
    """Runs graders for requests, at most eight at the same time.

    Args:
        settings: the server's settings.
        workers: where texts are compared.
    """

    def __init__(self, settings: Settings, workers: WorkerPool) -> None:
        self._settings, self._workers = settings, workers
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT)

    async def run(
        self,
        state: Any,
        grader: Grader,
        sources: Mapping[str, str],
        item: Mapping[str, Any],
        answer: str,
        project: str,
    ) -> dict[str, Any]:
        """Grade an answer.

        Args:
            state: the application's state; its ``serving`` answers the calls of model graders.
            grader: the grader.
            sources: models that the grader calls, see :func:`ftkit.server.graders.grader_schema.grader_models`.
            item: columns of the row.
            answer: the answer to grade.
            project: who asks.

        Returns:
            OpenAI's response: reward, rewards of the parts, errors, seconds and tokens.
        """
        loop = asyncio.get_running_loop()

        def grade() -> tuple[Grade, float, dict[str, list[ModelAnswer]]]:
            setting, answers = dataclasses.replace(grader_setting(self._settings, grader), measure=self._measure), {}
            if sources:
                from ftkit.server.graders.model_calls import ModelCaller  # loads torch

                caller = ModelCaller(state.serving, loop, sources, project)
                setting, answers = dataclasses.replace(setting, ask=caller), caller.answers
            started = time.monotonic()
            [result] = grader.grade_many([(item, Sample(answer))], setting)
            return result, time.monotonic() - started, answers

        async with self._slots:
            return _response(grader, *await _in_daemon_thread(grade))

    def _measure(self, metric: str, texts: Sequence[tuple[str, str]]) -> Sequence[float | GradingError]:
        try:
            return self._workers.run_for(_MEASURE_S, functools.partial(measure_texts, metric, texts))
        except WorkerLimitError as error:
            return [GradingError("other_error", f"{metric} of these texts was stopped: {error}")] * len(texts)


async def _in_daemon_thread(work: Callable[[], T]) -> T:
    """Run ``work`` in a thread for which the server does not wait when it stops."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="ftkit-grader", daemon=True).start()
    return await asyncio.wrap_future(future)


def _response(grader: Grader, grade: Grade, seconds: float, calls: Mapping[str, list[ModelAnswer]]) -> dict[str, Any]:
    errors: dict[str, Any] = {name: name == grade.error for name in _FLAGS}
    errors |= {field: grade.detail if errors[name] else None for name, field in _DETAILS.items()}
    usage = {model: _usage(answers) for model, answers in calls.items()}
    model = getattr(grader, "model", None)
    return {
        "reward": grade.reward,
        "metadata": {
            "name": grader.name,
            "type": grader.type,
            "errors": errors,
            "execution_time": seconds,
            "scores": dict(grade.parts),
            "token_usage": sum(counts["total_tokens"] for counts in usage.values()) if usage else None,
            "sampled_model_name": model,
        },
        "sub_rewards": dict(grade.parts),
        "model_grader_token_usage_per_model": usage,
    }


def _usage(answers: list[ModelAnswer]) -> dict[str, int]:
    prompt = sum(answer.prompt_tokens for answer in answers)
    completion = sum(answer.completion_tokens for answer in answers)
    cached = sum(answer.cached_tokens for answer in answers)
    return {
        "prompt_tokens": prompt,
        "total_tokens": prompt + completion,
        "completion_tokens": completion,
        "cached_tokens": cached,
    }
