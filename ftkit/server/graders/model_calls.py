"""Graders that ask a model of this server: answered in its batches, beside the requests for chat."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ftkit.backends.grading import known_role
from ftkit.errors import ConfigError, ModelError
from ftkit.inference.engine import Serving
from ftkit.inference.request import Event, Failed, Piece, Question
from ftkit.inference.sampling import Draw
from ftkit.schema import Output
from ftkit.task import Message

__all__ = ["Asking", "Said"]


@dataclass(frozen=True, slots=True)
class Said:
    """What a model said, as graders read it, and its tokens."""

    text: str = ""
    error: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


class Asking:
    """The :class:`ftkit.graders.Ask` of one trial; called from threads besides the event loop's.

    Attributes:
        said: what each model said, by the client's name for it.

    Args:
        serving: the server's models.
        loop: in which they are asked.
        sources: the models that may be asked, see :func:`ftkit.server.graders.grader_schema.grader_models`.
    """

    def __init__(self, serving: Serving, loop: asyncio.AbstractEventLoop, sources: Mapping[str, str]) -> None:
        self._serving, self._loop, self._sources = serving, loop, sources
        self.said: dict[str, list[Said]] = {}

    def __call__(
        self,
        model: str,
        prompts: Sequence[Sequence[Message]],
        *,
        output: Output | None,
        max_output_tokens: int,
        temperature: float,
        top_p: float,
        seed: int,
    ) -> list[Said]:
        """See :class:`ftkit.graders.Ask`.

        Raises:
            BusyError: the server's queue is full.
        """

        async def all_said() -> list[Said]:
            draws = [Draw(temperature, top_p, seed, number) for number in range(len(prompts))]
            asked = zip(prompts, draws, strict=True)
            return [await self._say(model, prompt, draw, output, max_output_tokens) for prompt, draw in asked]

        found = asyncio.run_coroutine_threadsafe(all_said(), self._loop).result()
        self.said.setdefault(model, []).extend(found)
        return found

    async def _say(self, model: str, messages: Sequence[Message], draw: Draw, output: Output | None, most: int) -> Said:
        try:
            async with self._serving.asked(self._sources[model]) as asked:
                prompt = await asked.prompt([known_role(one) for one in messages], None)
                room = most if asked.max_length is None else min(most, asked.max_length - len(prompt))
                if room < 1:
                    return Said(error=f"the prompt has {len(prompt):,} tokens and leaves no room for an answer")
                grammar = None if output is None else await asked.grammar(output)
                events: asyncio.Queue[Event] = asyncio.Queue()
                answering = asked.answer(Question(prompt, room, draw, grammar=grammar), events.put_nowait)
                try:
                    text = ""
                    while isinstance(event := await events.get(), Piece):
                        text += event.text
                finally:
                    asked.cancel(answering)
                if isinstance(event, Failed):
                    return Said(error=str(event.error))
                return Said(text, None, len(prompt), event.tokens, event.cached)
        except (ModelError, ConfigError) as error:
            return Said(error=str(error))
