"""Route of ``/v1/completions``, the older API, over chat completions (OpenAI, API reference, "Create completion").

A prompt is asked as one user message, as training renders a row with ``prompt`` and ``completion``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ftkit.server.chat.admission import admit
from ftkit.server.chat.choice import Choice
from ftkit.server.chat.completion import Completion, LogprobCount
from ftkit.server.chat.connection import EventStream, unless_disconnected
from ftkit.server.chat.metrics import Metrics, counted
from ftkit.server.chat.reply import DONE, ReplyBuilder, event, obfuscated
from ftkit.server.chat.text_request import PARAMS, TextRequest
from ftkit.server.errors import ApiError, renamed
from ftkit.server.model_names import ModelNames
from ftkit.server.request_body import parse_json_body
from ftkit.server.state import new_id

__all__ = ["routes"]


class _Texts:
    """The answers to the prompts of a request."""

    def __init__(self, body: TextRequest, asked: list[tuple[Completion, ReplyBuilder]]) -> None:
        self._body, self._asked = body, asked
        self._head = {
            "id": new_id("cmpl-"),
            "object": "text_completion",
            "created": int(time.time()),
            "model": body.model,
        }
        self._written = [0] * len(asked) * (body.n or 1)
        """By index of an answer: its characters so far, which places of tokens count from."""

    async def complete(self) -> dict[str, Any]:
        """Wait for all answers."""
        await asyncio.gather(*(self._finish(completion) for completion, _ in self._asked))
        choices = [
            self._choice(number, choice, self._echo(number) + choice.text, choice.logprobs)
            for number, choice in self._numbered()
        ]
        return {**self._head, "choices": choices, "usage": self._usage()}

    async def events(self) -> AsyncIterator[bytes]:
        """Yield the events of the stream, one prompt after the other."""
        more: dict[str, Any] = {"usage": None} if self._body.with_usage else {}
        try:
            for at, (completion, _) in enumerate(self._asked):
                first = at * (self._body.n or 1)
                if self._body.echo:
                    for number in range(self._body.n or 1):
                        text = self._choice(first + number, completion.choices[number], self._body.prompts[at], [])
                        yield self._chunk(text, more)
                async for choice, delta in completion.deltas():
                    ended = choice.finish_reason is not None
                    if delta.text or delta.logprobs or ended:
                        text = self._choice(first + choice.index, choice, delta.text, delta.logprobs)
                        yield self._chunk(text, more)
        except ApiError as error:
            error = renamed(error, PARAMS)
            yield event({"error": {"message": error.message, "type": error.type, "param": None, "code": error.code}})
            yield DONE
            return
        if self._body.with_usage:
            yield event({**self._head, "choices": [], "usage": self._usage()})
        yield DONE

    @staticmethod
    async def _finish(completion: Completion) -> None:
        async for _ in completion.deltas():
            pass

    def _numbered(self) -> list[tuple[int, Choice]]:
        return list(enumerate(choice for completion, _ in self._asked for choice in completion.choices))

    def _echo(self, number: int) -> str:
        """The prompt of an answer, if it is to be repeated."""
        return self._body.prompts[number // (self._body.n or 1)] if self._body.echo else ""

    def _choice(self, number: int, choice: Choice, text: str, tokens: list[dict[str, Any]]) -> dict[str, Any]:
        logprobs = None if self._body.logprobs is None else self._logprobs(number, tokens)
        return {"index": number, "text": text, "logprobs": logprobs, "finish_reason": choice.finish_reason}

    def _logprobs(self, number: int, tokens: list[dict[str, Any]]) -> dict[str, Any]:
        offsets = []
        for token in tokens:
            offsets.append(self._written[number])
            self._written[number] += len(token["token"])
        return {
            "tokens": [token["token"] for token in tokens],
            "token_logprobs": [token["logprob"] for token in tokens],
            "top_logprobs": [{one["token"]: one["logprob"] for one in token["top_logprobs"]} for token in tokens],
            "text_offset": offsets,
        }

    def _chunk(self, choice: dict[str, Any], more: dict[str, Any]) -> bytes:
        chunk = {**self._head, "choices": [choice], **more}
        return event(obfuscated(chunk) if self._body.with_obfuscation else chunk)

    def _usage(self) -> dict[str, Any]:
        parts = [reply.usage(completion.choices) for completion, reply in self._asked]
        names = ("prompt_tokens", "completion_tokens", "total_tokens")
        return {name: sum(part[name] for part in parts) for name in names}


async def _create(request: Request, metrics: Metrics) -> Response:
    try:
        return await _respond(request, metrics)
    except ApiError as error:
        raise renamed(error, PARAMS) from None


async def _respond(request: Request, metrics: Metrics) -> Response:
    started = time.monotonic()
    body = await parse_json_body(request, TextRequest)
    body.check()
    chats = [body.chat_request(prompt) for prompt in body.prompts]
    names: ModelNames = request.app.state.names
    resolved = await run_in_threadpool(names.resolve, body.model, request.state.project)
    async with AsyncExitStack() as stack:
        # Once for all prompts: one that held the model while it waited for it again would never let others have it.
        answers = sum(chat.choice_count for chat in chats)
        served = await unless_disconnected(request, admit(request, stack, resolved.source, body.model, answers))
        asked, logprobs = [], LogprobCount()
        for chat in chats:
            completion = Completion(
                served, chat, metrics, request.app.state.schemas, started, split_thoughts=False, logprobs=logprobs
            )
            stack.callback(completion.cancel)
            asked.append((completion, await unless_disconnected(request, completion.start())))
        texts = _Texts(body, asked)
        if body.stream:
            return EventStream(texts.events(), stack.pop_all(), {})
        return JSONResponse(await unless_disconnected(request, texts.complete()))


routes = [Route("/v1/completions", counted(_create), methods=["POST"])]
