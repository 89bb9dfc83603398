"""Answers from a host's chat completions: many at once, held to the task's schema, with what they cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

from ftkit.backends.answer import Answer, FinishReason, OnAnswer, Request, Sampling
from ftkit.backends.hosted.endpoint import Endpoint
from ftkit.backends.hosted.patience import Patience
from ftkit.backends.openai_jobs.sdk import Sdk, plain
from ftkit.backends.openai_jobs.structured import response_format
from ftkit.catalog import load_catalog
from ftkit.catalog.catalog import base_of
from ftkit.errors import HostError, ModelError

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
    """

    def __init__(
        self, endpoint: Endpoint, url: str, key: str, model: str, patience: Patience, concurrency: int
    ) -> None:
        self._endpoint, self._sdk, self._model = endpoint, Sdk(endpoint.name, url, key), model
        self._patience, self._concurrency = patience, concurrency
        self._dropped: set[str] = set()
        self._served: set[str] = set()
        self._lock = threading.Lock()
        known = load_catalog()
        tuned = model.startswith("ft:") or base_of(model) != model
        self._price = known.inference_price(endpoint.name, model, tuned=tuned)

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

    def about(self) -> dict[str, Any]:
        """See :class:`~ftkit.backends.Answerer`."""
        price = self._price
        return {
            "model": self._model,
            "host": self._sdk.url,
            "price": None if price is None else price.model_dump(mode="json"),
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
                return self._read(self._patience(once), started)
            except HostError as error:
                if not self._drops(error, body):
                    return self._failed(error, started)

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

    def _drops(self, error: HostError, sent: dict[str, Any]) -> bool:
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

    def _failed(self, error: HostError, started: float) -> Answer:
        if error.status in (401, 403, 404):
            raise ModelError(str(error)) from None
        after = (error.retry_after_s or 0.0) if error.passing else None
        return Answer("", "error", 0, 0, time.monotonic() - started, error=str(error), retry_after_s=after)

    def _read(self, completion: Any, started: float) -> Answer:
        found = plain(completion)
        choices = found.get("choices") or []
        message = (choices[0].get("message") or {}) if choices else {}
        usage = found.get("usage") or {}
        input_tokens, output_tokens = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
        cached = int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
        cost = None if self._price is None else self._price.cost(input_tokens, output_tokens, cached)
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
            latency_s=time.monotonic() - started,
            cached_tokens=cached,
            cost_usd=cost,
            error=error,
            tool_calls=message.get("tool_calls") or None,
        )
