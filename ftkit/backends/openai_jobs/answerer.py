"""Answers from a host's chat completions: many at once, held to the task's schema, with what they cost."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ftkit.backends.answer import OnAnswer, Request
from ftkit.backends.hosted.endpoint import Endpoint
from ftkit.backends.hosted.retry import Patience
from ftkit.backends.hosted.submit_lock import submitting
from ftkit.backends.openai_jobs.batch_api import Batch, OnCount
from ftkit.backends.openai_jobs.host import OpenAIHost
from ftkit.backends.openai_jobs.response_format import response_format
from ftkit.backends.openai_jobs.sdk import Sdk, plain
from ftkit.catalog import InferencePrice, load_catalog
from ftkit.catalog.catalog import base_of
from ftkit.errors import HostError, ModelError, RefusedError, RunError
from ftkit.results.answer import Answer, FinishReason, Sampling

__all__ = ["OpenAIAnswerer"]

_ENDS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "stop",
}
_MAY_DROP = ("temperature", "top_p", "seed", "response_format")


class OpenAIAnswerer:
    """A model behind chat completions. See :class:`~ftkit.backends.Answerer`.

    Args:
        concurrency: questions asked at once by one call.
        batches: the host, where it takes batches of questions.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        url: str,
        key: str,
        model: str,
        patience: Patience,
        concurrency: int,
        batches: OpenAIHost | None = None,
    ) -> None:
        self._endpoint, self._sdk, self._model = endpoint, Sdk(endpoint.name, url, key), model
        self._patience, self._concurrency, self._batches = patience, concurrency, batches
        self._dropped: set[str] = set()
        self._served: set[str] = set()
        self._lock = threading.Lock()
        known = load_catalog()
        self._provider = known.provider_at(url)
        tuned = model.startswith("ft:") or base_of(model) != model
        self._price, self._batch_price = (
            known.inference_price(self._provider, model, tuned=tuned, batch=batch) for batch in (False, True)
        )

    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling, on_answer: OnAnswer | None = None
    ) -> list[Answer]:
        """See :class:`~ftkit.backends.Answerer`. What fails for good on one request is that request's answer.

        Raises:
            ModelError: the key or the model is refused, so no request can be answered.
        """

        def one(index: int) -> Answer:
            answer = self._answer(requests[index], sampling)
            if on_answer is not None:
                on_answer(index, answer)
            return answer

        if len(requests) == 1:
            return [one(0)]
        with ThreadPoolExecutor(min(self._concurrency, len(requests) or 1)) as pool:
            asked = [pool.submit(one, index) for index in range(len(requests))]
            try:
                return [call.result() for call in asked]
            except BaseException:
                for call in asked:
                    call.cancel()
                raise

    async def answer_many_async(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer]:
        """As :meth:`answer_many`, on the running event loop: no thread waits for an answer.

        All calls of one loop share the limit of questions asked at once.
        """
        here = self._sdk.on_this_loop(self._concurrency)

        async def one(request: Request) -> Answer:
            started = time.monotonic()
            while True:
                body = self._body(request, sampling)
                try:
                    async with here.turn:
                        made = await self._patience.call_async(
                            lambda body=body: self._sdk.call_async(  # type: ignore[misc]
                                "asking the model", here.client.chat.completions.create(**body)
                            )
                        )
                        return self._read(made, time.monotonic() - started, self._price)
                except HostError as error:
                    if not self._drops(error, body):
                        return self._failed(error, time.monotonic() - started)

        asked = [asyncio.create_task(one(request)) for request in requests]
        try:
            return list(await asyncio.gather(*asked))
        finally:  # when one cannot be asked at all, the others need not be
            for task in asked:
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
        """Answer requests through the host's batch API, at its price; within 24 hours, as the host says.

        Args:
            requests: by any number that stays the request's own; as many are sent as one batch takes.
            folder: keeps what finds the batch again after a crash; gone when it has been read.
            on_count: hears how many questions the host has answered so far.

        Returns:
            The answers of those that were in the batch. One that expired may be asked again.

        Raises:
            RefusedError: the host has no batch API.
            HostError: it refused the batch.
            ModelError: the batch failed or was cancelled there, or the key or the model is refused.
            RunError: another process waits for this batch.
        """
        if self._batches is None:
            raise RefusedError(
                f"{self._endpoint.name} has no batch API that ftkit uses; ask without it",
                backend=self._endpoint.name,
                fields=("batch",),
            )
        found: dict[int, Answer] = {}

        def add(index: int, answer: Answer) -> None:
            if index in requests:
                found[index] = answer
                on_answer(index, answer)

        with submitting(folder) as mine:
            if not mine:
                raise RunError(f"another process waits for this batch already ({folder})")
            batch = Batch(self._batches, self._patience, folder)
            if not batch.ids:
                batch.begin(self._fitting(requests, sampling))
            sent = frozenset(_MAY_DROP) - self._dropped
            for line in batch.results(on_count):
                add(int(line["custom_id"]), self._of_line(line, sent))
            for name in batch.ids:
                if int(name) in requests and int(name) not in found:
                    add(int(name), Answer("", "error", 0, 0, 0.0, error="the batch came without it", retry_after_s=0.0))
            batch.forget()
        return found

    def about(self) -> dict[str, Any]:
        """See :class:`~ftkit.backends.Answerer`."""
        price, batch_price = self._price, self._batch_price
        return {
            "model": self._model,
            "host": self._sdk.url,
            "price": None if price is None else price.model_dump(mode="json"),
            "batch_price": None if batch_price is None else batch_price.model_dump(mode="json"),
            "versions": {"openai": version("openai")},
            "observed": {"served_as": sorted(self._served), "parameters_not_taken": sorted(self._dropped)},
        }

    def _answer(self, request: Request, sampling: Sampling) -> Answer:
        started = time.monotonic()

        def once() -> Any:
            return self._sdk.call("asking the model", lambda: self._sdk.client.chat.completions.create(**body))

        while True:
            body = self._body(request, sampling)
            try:
                return self._read(self._patience(once), time.monotonic() - started, self._price)
            except HostError as error:
                if not self._drops(error, body):
                    return self._failed(error, time.monotonic() - started)

    def _fitting(self, requests: Mapping[int, Request], sampling: Sampling) -> list[tuple[str, dict[str, Any]]]:
        """As many as one batch takes, from the first on."""
        limits = load_catalog().limits(self._provider, "*")
        most, most_bytes = (None, None) if limits is None else (limits.max_batch_rows, limits.max_batch_bytes)
        chosen: list[tuple[str, dict[str, Any]]] = []
        size = 0
        for index, request in requests.items():
            body = self._body(request, sampling)
            size += len(json.dumps(body)) + 100  # ASCII, and what stands around it
            if chosen and ((most and len(chosen) >= most) or (most_bytes and size > most_bytes)):
                break
            chosen.append((str(index), body))
        return chosen

    def _of_line(self, line: dict[str, Any], sent: Container[str]) -> Answer:
        """The answer in a line of a batch's files; what was refused for a parameter may be asked without it."""
        response, took = line.get("response") or {}, line["seconds"]
        status, body = int(response.get("status_code") or 0), response.get("body")
        if status == 200:
            try:
                return self._read(body, took, self._batch_price)
            except HostError as error:
                return self._failed(error, took)
        if status:
            refusal = self._sdk.refused("asking the model in a batch", status, body)
            if self._drops(refusal, sent):
                return Answer("", "error", 0, 0, took, error=str(refusal), retry_after_s=0.0)
            return self._failed(refusal, took)
        said = line.get("error") or {}
        again = 0.0 if said.get("code") == "batch_expired" else None
        told = f"{said.get('code')}: {said.get('message')}"
        return Answer("", "error", 0, 0, took, error=told, retry_after_s=again)

    def _body(self, request: Request, sampling: Sampling) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [
                {name: held for name, held in message.items() if name != "weight"} for message in request.messages
            ],
            self._endpoint.token_limit: sampling.max_output_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
        }
        if request.tools:
            body["tools"] = list(request.tools)
        held = response_format(request.output, strict=self._endpoint.strict_schemas)
        if held is not None:
            body["response_format"] = held
        return {name: value for name, value in body.items() if name not in self._dropped}

    def _drops(self, error: HostError, sent: Container[str]) -> bool:
        """Whether the host refused a parameter it can do without; it is left out from then on."""
        if error.status != 400:
            return False
        said = str(error)
        for name in _MAY_DROP:
            if name in sent and f"'{name}'" in said:
                with self._lock:
                    self._dropped.add(name)
                return True
        return False

    def _failed(self, error: HostError, latency_s: float) -> Answer:
        if error.status in (401, 403, 404):
            raise ModelError(str(error)) from None
        after = (error.retry_after_s or 0.0) if error.passing else None
        return Answer("", "error", 0, 0, latency_s, error=str(error), retry_after_s=after)

    def _read(self, completion: Any, latency_s: float, price: InferencePrice | None) -> Answer:
        found = plain(completion)
        choices = found.get("choices") or []
        message = (choices[0].get("message") or {}) if choices else {}
        usage = found.get("usage") or {}
        input_tokens, output_tokens = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
        cached = int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
        cost = None if price is None else price.cost(input_tokens, output_tokens, cached)
        if found.get("model"):
            self._served.add(str(found["model"]))
        said = str(choices[0].get("finish_reason") or "stop") if choices else "nothing"
        refusal = message.get("refusal")
        error = None
        if not choices:
            error = "the host sent no choices"
        elif said == "content_filter":
            error = "the host's content filter cut the answer off"
        elif refusal:
            error = f"the model refused: {refusal}"
        return Answer(
            text=str(message.get("content") or ""),
            finish_reason="error" if error else _ENDS.get(said, "stop"),
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            latency_s=latency_s,
            cached_tokens=cached,
            cost_usd=cost,
            error=error,
            tool_calls=message.get("tool_calls") or None,
        )
