"""Answer the model calls of graders with this server's inference engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftkit.backends.grading import known_role
from ftkit.errors import ConfigError, ModelError
from ftkit.inference.engine_error import EngineError
from ftkit.inference.protocol import Failed, GenerationEvent, GenerationRequest, TokenEvent
from ftkit.inference.sampling import SamplingParams
from ftkit.inference.service import InferenceService
from ftkit.schema import Output
from ftkit.task import Message

__all__ = ["ModelAnswer", "ModelCaller"]

_log = logging.getLogger("ftkit.server")


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """A model's answer and its token counts."""

    text: str = ""
    error: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


class ModelCaller:
    """The :class:`ftkit.graders.Ask` of one grader run. Call it from a thread other than the event loop's.

    Args:
        service: the server's models.
        loop: event loop of the server.
        sources: models that may be called, see :func:`ftkit.server.graders.grader_schema.grader_models`.
        project: who asks.

    Attributes:
        answers: the answers of each model, by the client's name for it.
    """

    def __init__(
        self, service: InferenceService, loop: asyncio.AbstractEventLoop, sources: Mapping[str, str], project: str
    ) -> None:
        self._service, self._loop, self._sources, self._project = service, loop, sources, project
        self.answers: dict[str, list[ModelAnswer]] = {}

    def __call__(
        self,
        model: str,
        prompts: Sequence[Sequence[Message]],
        *,
        output: Output | None,
        max_output_tokens: int,
        temperature: float | None,
        top_p: float | None,
        seed: int | None,
        **options: Any,
    ) -> list[ModelAnswer]:
        """Answer prompts; see :class:`ftkit.graders.Ask`.

        Returns:
            An answer for each prompt.
        """

        async def ask_all() -> list[ModelAnswer]:
            greedy = (temperature or 0.0, 1.0 if top_p is None else top_p, seed or 0)
            params = [SamplingParams(*greedy, number) for number in range(len(prompts))]
            pairs = zip(prompts, params, strict=True)
            return [await self._ask(model, prompt, sampling, output, max_output_tokens) for prompt, sampling in pairs]

        answers = asyncio.run_coroutine_threadsafe(ask_all(), self._loop).result()
        self.answers.setdefault(model, []).extend(answers)
        return answers

    async def _ask(
        self, name: str, messages: Sequence[Message], sampling: SamplingParams, output: Output | None, max_tokens: int
    ) -> ModelAnswer:
        try:
            async with self._service.model(self._sources[name], project=self._project) as model:
                prompt = await model.render([known_role(message) for message in messages], None)
                if model.max_length is not None:
                    max_tokens = min(max_tokens, model.max_length - len(prompt))
                if max_tokens < 1:
                    return ModelAnswer(error=f"the prompt has {len(prompt):,} tokens and leaves no room for an answer")
                grammar = None if output is None else await model.grammar(output)
                events: asyncio.Queue[GenerationEvent] = asyncio.Queue()
                request = GenerationRequest(prompt, max_tokens, sampling, grammar=grammar, logprobs="none")
                handle = model.add(request, events.put_nowait)
                try:
                    text = ""
                    while isinstance(event := await events.get(), TokenEvent):
                        text += event.text
                finally:
                    model.cancel(handle)
                if isinstance(event, Failed):
                    return _failed(name, event.error)
                return ModelAnswer(text, None, len(prompt), event.output_tokens, event.cached_tokens)
        except (ModelError, ConfigError) as error:
            return _failed(name, error)


def _failed(name: str, error: Exception) -> ModelAnswer:
    if isinstance(error, EngineError):
        _log.error("the model %r could not answer: %s", name, error)
        return ModelAnswer(error=error.outward)
    return ModelAnswer(error=str(error))
