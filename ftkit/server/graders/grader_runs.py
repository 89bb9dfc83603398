"""Trying a grader out on one answer."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from ftkit.graders import Grade, Grader, Sample
from ftkit.server.graders.grader_schema import grader_setting
from ftkit.server.settings import Settings

if TYPE_CHECKING:
    from ftkit.server.graders.model_calls import ModelAnswer

__all__ = ["GraderRuns"]

T = TypeVar("T")

_AT_ONCE = 8
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
"""The flags of OpenAI's answer, and where it tells more of some (API reference, "Run grader")."""


class GraderRuns:
    """Graders that run for a request; a few at a time.

    Args:
        settings: what they may use.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def run(
        self, state: Any, grader: Grader, sources: Mapping[str, str], item: Mapping[str, Any], answer: str
    ) -> dict[str, Any]:
        """What OpenAI's API answers: the reward, those of the parts, errors, seconds, tokens.

        Args:
            state: of the application, whose ``serving`` answers graders that ask a model.
            sources: the models that it asks, see :func:`ftkit.server.graders.grader_schema.grader_models`.
            item: the row's columns.
            answer: what is graded.

        Raises:
            BusyError: a model that it asks is too busy.
        """
        loop = asyncio.get_running_loop()

        def graded() -> tuple[Grade, float, dict[str, list[ModelAnswer]]]:
            setting, said = grader_setting(self._settings, grader), {}
            if sources:
                from ftkit.server.graders.model_calls import ModelCaller  # loads the engine

                caller = ModelCaller(state.serving, loop, sources)
                setting, said = dataclasses.replace(setting, ask=caller), caller.answers
            began = time.monotonic()
            [grade] = grader.grade_many([(item, Sample(answer))], setting)
            return grade, time.monotonic() - began, said

        async with self._turns:
            return _shown(grader, *await _apart(graded))


async def _apart(work: Callable[[], T]) -> T:
    """What ``work`` gives, from a thread for which the server's end does not wait."""
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()

    def doing() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=doing, name="ftkit-grader", daemon=True).start()
    return await asyncio.wrap_future(done)


def _shown(grader: Grader, grade: Grade, seconds: float, said: Mapping[str, list[ModelAnswer]]) -> dict[str, Any]:
    errors: dict[str, Any] = {name: name == grade.error for name in _FLAGS}
    errors |= {where: grade.detail if errors[name] else None for name, where in _DETAILS.items()}
    usage = {model: _usage(answers) for model, answers in said.items()}
    model = getattr(grader, "model", None)
    return {
        "reward": grade.reward,
        "metadata": {
            "name": grader.name,
            "type": grader.type,
            "errors": errors,
            "execution_time": seconds,
            "scores": dict(grade.parts),
            "token_usage": sum(one["total_tokens"] for one in usage.values()) if usage else None,
            "sampled_model_name": model,
        },
        "sub_rewards": dict(grade.parts),
        "model_grader_token_usage_per_model": usage,
    }


def _usage(answers: list[ModelAnswer]) -> dict[str, int]:
    prompt, completion = (sum(getattr(one, f"{kind}_tokens") for one in answers) for kind in ("prompt", "completion"))
    cached = sum(one.cached_tokens for one in answers)
    return {
        "prompt_tokens": prompt,
        "total_tokens": prompt + completion,
        "completion_tokens": completion,
        "cached_tokens": cached,
    }
