"""Asking models: who is let in, what is made of a conversation, and how many wait."""

from __future__ import annotations

import asyncio
import functools
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from ftkit.errors import BusyError
from ftkit.inference.constrained import Grammar
from ftkit.inference.limits import Limits
from ftkit.inference.model_pool import Lease, Pool
from ftkit.inference.request import Answering, Event, Question
from ftkit.modeling.tokenized_example import Ints
from ftkit.modeling.tool_calls import ToolCallParser, tool_call_parser
from ftkit.schema import Output
from ftkit.task import Message

__all__ = ["Asked", "Load", "Serving"]

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Load:
    """How busy one base is.

    Attributes:
        model: its name.
        adapters: that stand on it.
        held_bytes: of memory, with its adapters and what is set aside for its caches.
        kept_bytes: of that, beginnings that are kept.
        open: answers that are being computed.
        waiting: answers that wait for room in the batch.
    """

    model: str
    adapters: int
    held_bytes: int
    kept_bytes: int
    open: int
    waiting: int


class Asked:
    """A model that was let in to be asked, see :meth:`Serving.asked`."""

    def __init__(self, lease: Lease, pool: Pool) -> None:
        self._lease, self._pool = lease, pool

    @property
    def max_length(self) -> int | None:
        """Longest conversation with its answer, in tokens; ``None`` when the model does not say."""
        return self._lease.base.max_length

    def calls(self, prompt: Ints, tools: Sequence[dict[str, Any]], *, parallel: bool) -> ToolCallParser | None:
        """What tells an answer's tool calls from its text, see :func:`ftkit.modeling.tool_calls.call_reader`."""
        return tool_call_parser(self._lease.chat_template.tokenizer, prompt, tools, parallel=parallel)

    async def prompt(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None) -> Ints:
        """Token ids of the conversation, up to where the answer begins.

        Raises:
            ModelError: the chat template cannot render it.
        """
        return await self._written(self._lease.chat_template.encode_prompt, messages, tools)

    async def grammar(self, output: Output) -> Grammar | None:
        """What holds an answer to ``output``; ``None`` when nothing needs to.

        Raises:
            ConfigError: the schema uses what no answer can be held to.
        """
        return await self._written(self._lease.voice.held_to, output)

    def shown(self, token: int) -> str:
        """A token as text."""
        return str(self._lease.chat_template.tokenizer.decode([token]))

    def answer(self, question: Question, tell: Callable[[Event], None]) -> Answering:
        """Have a question answered. ``tell`` is called in this event loop."""
        loop = asyncio.get_running_loop()

        def told(event: Event) -> None:
            loop.call_soon_threadsafe(tell, event)

        chat_template, voice = self._lease.chat_template, self._lease.voice
        answering = Answering(question, chat_template.decode, frozenset(chat_template.stop_ids), voice.name, told)
        self._lease.base.worker.begin(answering)
        return answering

    def cancel(self, answering: Answering) -> None:
        """Nobody waits for this answer any more: nothing further is computed for it."""
        self._lease.base.worker.cancel(answering)

    async def _written(self, work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool.scribe, functools.partial(work, *arguments, **options))


class Serving:
    """The models of a server. To be used from one event loop, and closed in it.

    Args:
        limits: of memory, batches and waiting.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._pool = Pool(self._limits)
        self._inside = 0
        self._ended: deque[float] = deque(maxlen=64)

    @property
    def inside(self) -> int:
        """Answers that were let in and are not over, those whose model is being loaded included."""
        return self._inside

    def loads(self) -> list[Load]:
        """How busy each loaded base is."""
        return [
            Load(
                base.label,
                sum(folder is not None for folder in base.voices),
                base.whole,
                base.worker.kept_bytes,
                base.worker.open,
                base.worker.waiting,
            )
            for base in self._pool.bases
        ]

    @asynccontextmanager
    async def asked(self, model: str, answers: int = 1) -> AsyncIterator[Asked]:
        """Let a request in, and its model into memory; it stays there until the end.

        Args:
            model: as :func:`ftkit.modeling.model_source.find_source` takes it.
            answers: how many answers the request wants.

        Raises:
            BusyError: as many answers as may are on their way or waiting.
            ModelError: the model cannot be loaded.
        """
        if self._inside + answers > self._limits.queue:
            raise BusyError(
                f"{self._inside} answers are on their way or waiting, and {self._limits.queue} may be", self._patience()
            )
        self._inside += answers
        try:
            async with self._pool.lease(model) as lease:
                yield Asked(lease, self._pool)
        finally:
            self._inside -= answers
            self._ended.append(time.monotonic())

    async def close(self) -> None:
        """Unload all models; answers under way fail."""
        await self._pool.close()

    def _patience(self) -> float:
        """Seconds until a batch of answers is likely to be over, from how fast the latest were; 1 to 60."""
        if len(self._ended) < 2:
            return 5.0
        each = (time.monotonic() - self._ended[0]) / len(self._ended)
        return min(60.0, max(1.0, math.ceil(each * self._limits.batch)))
