"""Answers from a host's chat completions: many at once, in the task's schema, with their cost."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Container, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from typing_extensions import override

from ftkit.backends.answer import Answerer, OnAnswer, Request
from ftkit.backends.hosted.concurrency import ConcurrencyLimiter
from ftkit.backends.hosted.endpoint import Endpoint
from ftkit.backends.hosted.retry import RetryPolicy
from ftkit.backends.openai_jobs.batch_api import Batch, OnCount
from ftkit.backends.openai_jobs.host import OpenAIHost
from ftkit.backends.openai_jobs.response_format import response_format
from ftkit.backends.openai_jobs.sdk import Sdk, to_dict
from ftkit.catalog import InferencePrice, load_catalog
from ftkit.catalog.catalog import base_of
from ftkit.errors import HostError, ModelError, RefusedError, RunError
from ftkit.results.answer import Answer, FinishReason, Sampling
from ftkit.store.file_lock import try_lock

__all__ = ["OpenAIAnswerer"]

_FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "stop",
}
_OPTIONAL_PARAMETERS = ("temperature", "top_p", "seed", "response_format")
"""Parameters that are left out if a model refuses them."""


class OpenAIAnswerer(Answerer):
    """A model that answers through chat completions.

    Args:
        endpoint: the host.
        url: base URL of its chat completions.
        key: its API key.
        model: the model's name there.
        retry_policy: how failing calls are retried.
        limiter: how many requests of one call run at the same time.
        batch_host: the host, if it takes batches of requests.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        url: str,
        key: str,
        model: str,
        retry_policy: RetryPolicy,
        limiter: ConcurrencyLimiter,
        batch_host: OpenAIHost | None = None,
    ) -> None:
        self._endpoint, self._sdk, self._model = endpoint, Sdk(endpoint.name, url, key), model
        self._retry_policy, self._limiter, self._batch_host = retry_policy, limiter, batch_host
        self._left_out: set[str] = set()
        self._served_as: set[str] = set()
        self._lock = threading.Lock()
        catalog = load_catalog()
        self._provider = catalog.provider_at(url)
        tuned = model.startswith("ft:") or base_of(model) != model
        self._price, self._batch_price = (
            catalog.inference_price(self._provider, model, tuned=tuned, batch=batch) for batch in (False, True)
        )

    @override
    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling, on_answer: OnAnswer | None = None
    ) -> list[Answer]:
        def answer(index: int) -> Answer:
            result = self._answer(requests[index], sampling)
            if on_answer is not None:
                on_answer(index, result)
            return result

        return self._limiter.map(answer, len(requests))

    async def answer_many_async(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer]:
        """Answer requests on the running event loop, without threads.

        All calls on one event loop share the limit of requests at the same time.

        Args:
            requests: the requests.
            sampling: how answers are sampled.

        Returns:
            The answers in order.
        """
        tasks = [asyncio.create_task(self._answer_async(request, sampling)) for request in requests]
        try:
            return list(await asyncio.gather(*tasks))
        finally:  # if one request cannot be answered at all, the others are not sent
            for task in tasks:
                task.cancel()

    def answer_batch(
        self,
        requests: Mapping[int, Request],
        sampling: Sampling,
        on_answer: OnAnswer,
        *,
        folder: Path,
        on_count: OnCount,
    ) -> dict[int, Answer]:
        """Answer requests through the host's batch API, at the batch price, within 24 hours.

        Args:
            requests: the requests by a number that identifies them. As many are sent as one batch takes.
            sampling: how answers are sampled.
            on_answer: called with the number and answer of each request.
            folder: holds what finds the batch again after a crash. Deleted when all answers have been read.
            on_count: called with the number of requests that the host has answered.

        Returns:
            The answers to the requests of the batch, by number. A request that expired may be sent again.

        Raises:
            RefusedError: the host has no batch API.
            RunError: another process is waiting for this batch.
        """
        if self._batch_host is None:
            raise RefusedError(
                f"{self._endpoint.name} has no batch API that ftkit uses; ask without it",
                backend=self._endpoint.name,
                fields=("batch",),
            )
        answers: dict[int, Answer] = {}

        def add(index: int, answer: Answer) -> None:
            if index in requests:
                answers[index] = answer
                on_answer(index, answer)

        with try_lock(folder) as locked:
            if not locked:
                raise RunError(f"another process waits for this batch already ({folder})")
            batch = Batch(self._batch_host, self._retry_policy, folder)
            if not batch.ids:
                batch.prepare(self._batch_bodies(requests, sampling))
            sent = frozenset(_OPTIONAL_PARAMETERS) - self._left_out
            for line in batch.results(on_count):
                add(int(line["custom_id"]), self._read_batch_line(line, sent))
            for name in batch.ids:
                if int(name) in requests and int(name) not in answers:
                    missing = Answer("", "error", 0, 0, 0.0, error="the batch has no answer to it", retry_after_s=0.0)
                    add(int(name), missing)
            batch.delete()
        return answers

    @override
    def about(self) -> dict[str, Any]:
        price, batch_price = self._price, self._batch_price
        return {
            "model": self._model,
            "host": self._sdk.url,
            "price": None if price is None else price.model_dump(mode="json"),
            "batch_price": None if batch_price is None else batch_price.model_dump(mode="json"),
            "versions": {"openai": version("openai")},
            "observed": {"served_as": sorted(self._served_as), "parameters_not_taken": sorted(self._left_out)},
        }

    def _answer(self, request: Request, sampling: Sampling) -> Answer:
        started = time.monotonic()

        def attempt() -> Any:
            return self._sdk.call("asking the model", lambda: self._sdk.client.chat.completions.create(**body))

        while True:
            body = self._body(request, sampling)
            try:
                return self._read(self._retry_policy(attempt), time.monotonic() - started, self._price)
            except HostError as error:
                if not self._leave_out(error, body):
                    return self._error_answer(error, time.monotonic() - started)

    async def _answer_async(self, request: Request, sampling: Sampling) -> Answer:
        started = time.monotonic()
        client = self._sdk.async_client()

        async def attempt() -> Any:
            return await self._sdk.call_async("asking the model", client.chat.completions.create(**body))

        while True:
            body = self._body(request, sampling)
            try:
                async with self._limiter.slot():
                    completion = await self._retry_policy.call_async(attempt)
                    return self._read(completion, time.monotonic() - started, self._price)
            except HostError as error:
                if not self._leave_out(error, body):
                    return self._error_answer(error, time.monotonic() - started)

    def _batch_bodies(self, requests: Mapping[int, Request], sampling: Sampling) -> list[tuple[str, dict[str, Any]]]:
        """Ids and bodies of as many requests as one batch takes, from the first one on."""
        limits = load_catalog().limits(self._provider, "*")
        max_rows, max_bytes = (None, None) if limits is None else (limits.max_batch_rows, limits.max_batch_bytes)
        bodies: list[tuple[str, dict[str, Any]]] = []
        size = 0
        for index, request in requests.items():
            body = self._body(request, sampling)
            size += len(json.dumps(body)) + 100  # ASCII, and the rest of the line
            if bodies and ((max_rows and len(bodies) >= max_rows) or (max_bytes and size > max_bytes)):
                break
            bodies.append((str(index), body))
        return bodies

    def _read_batch_line(self, line: dict[str, Any], sent: Container[str]) -> Answer:
        """The answer in a line of a batch's output. What was refused for a parameter may be asked again without it."""
        response, latency_s = line.get("response") or {}, line["seconds"]
        status, body = int(response.get("status_code") or 0), response.get("body")
        if status == 200:
            try:
                return self._read(body, latency_s, self._batch_price)
            except HostError as error:
                return self._error_answer(error, latency_s)
        if status:
            refusal = self._sdk.refusal("asking the model in a batch", status, body)
            if self._leave_out(refusal, sent):
                return Answer("", "error", 0, 0, latency_s, error=str(refusal), retry_after_s=0.0)
            return self._error_answer(refusal, latency_s)
        failure = line.get("error") or {}
        retry_after_s = 0.0 if failure.get("code") == "batch_expired" else None
        message = f"{failure.get('code')}: {failure.get('message')}"
        return Answer("", "error", 0, 0, latency_s, error=message, retry_after_s=retry_after_s)

    def _body(self, request: Request, sampling: Sampling) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [
                {name: value for name, value in message.items() if name != "weight"} for message in request.messages
            ],
            self._endpoint.token_limit: sampling.max_output_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
        }
        if request.tools:
            body["tools"] = list(request.tools)
        schema = response_format(request.output, strict=self._endpoint.strict_schemas)
        if schema is not None:
            body["response_format"] = schema
        return {name: value for name, value in body.items() if name not in self._left_out}

    def _leave_out(self, error: HostError, sent: Container[str]) -> bool:
        """Whether the host refused an optional parameter, which is left out from now on."""
        if error.status != 400:
            return False
        message = str(error)
        for name in _OPTIONAL_PARAMETERS:
            if name in sent and f"'{name}'" in message:
                with self._lock:
                    self._left_out.add(name)
                return True
        return False

    def _error_answer(self, error: HostError, latency_s: float) -> Answer:
        if error.status in (401, 403, 404):
            raise ModelError(str(error)) from None
        retry_after_s = (error.retry_after_s or 0.0) if error.passing else None
        return Answer("", "error", 0, 0, latency_s, error=str(error), retry_after_s=retry_after_s)

    def _read(self, completion: Any, latency_s: float, price: InferencePrice | None) -> Answer:
        data = to_dict(completion)
        choices = data.get("choices") or []
        message = (choices[0].get("message") or {}) if choices else {}
        usage = data.get("usage") or {}
        input_tokens, output_tokens = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
        cached = int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
        if data.get("model"):
            self._served_as.add(str(data["model"]))
        reason = str(choices[0].get("finish_reason") or "stop") if choices else ""
        error = None
        if not choices:
            error = "the host sent no choices"
        elif reason == "content_filter":
            error = "the host's content filter cut the answer off"
        elif message.get("refusal"):
            error = f"the model refused: {message['refusal']}"
        return Answer(
            text=str(message.get("content") or ""),
            finish_reason="error" if error else _FINISH_REASONS.get(reason, "stop"),
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            latency_s=latency_s,
            cached_tokens=cached,
            cost_usd=None if price is None else price.cost(input_tokens, output_tokens, cached),
            error=error,
            tool_calls=message.get("tool_calls") or None,
        )
