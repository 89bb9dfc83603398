"""Answers from a host's chat completions or Responses API: many at once, in the task's schema, with their cost."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from typing_extensions import override

from ftkit.backends.answer import Answerer, OnAnswer, Request
from ftkit.backends.deadline import Deadline
from ftkit.backends.hosted.answer_reading import cleaned, reading_answer
from ftkit.backends.hosted.concurrency import ConcurrencyLimiter
from ftkit.backends.hosted.endpoint import Endpoint
from ftkit.backends.hosted.request_plan import plan_request
from ftkit.backends.hosted.retry import PaidCalls, RetryPolicy
from ftkit.backends.openai_jobs.api_request import API_FORMS, OPTIONS, ApiRequest
from ftkit.backends.openai_jobs.batch_api import Batch, OnCount
from ftkit.backends.openai_jobs.host import OpenAIHost
from ftkit.backends.openai_jobs.sdk import Sdk, to_dict
from ftkit.catalog import InferencePrice, load_catalog
from ftkit.catalog.catalog import base_of
from ftkit.catalog.model_parameters import Api
from ftkit.errors import HostError, ModelError, RefusedError, RunError
from ftkit.results.answer import Answer, Sampling
from ftkit.store.file_lock import try_lock

__all__ = ["OpenAIAnswerer"]

_NEVER_LEFT_OUT = ("reasoning_effort", "reasoning")
"""Parameters without which the answers would be others. Any other is left out if a model refuses it and nobody wrote
it."""

_NAMES_RESPONSES = re.compile(r"\bv1/responses\b")


class OpenAIAnswerer(Answerer):
    """A model that answers through chat completions, or through the Responses API where it needs that.

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
        self._paid = PaidCalls()
        self._left_out: set[str] = set()
        self._not_sent: set[str] = set()  # by the catalogue
        self._served_as: set[str] = set()
        self._asked: dict[str, set[str]] = {"api": set(), "reasoning_effort": set()}
        self._api: Api | None = None  # the API that the host named when it refused the other
        self._lock = threading.Lock()
        catalog = load_catalog()
        self._provider = catalog.provider_at(url)
        tuned = model.startswith("ft:") or base_of(model) != model
        self._facts = catalog.parameters(self._provider, model)
        listed = None if tuned else catalog.model(self._provider, model)
        self._asked_as = model if listed is None or listed.asked_as is None else listed.asked_as
        self._price, self._batch_price = (
            catalog.inference_price(self._provider, model, tuned=tuned, batch=batch) for batch in (False, True)
        )

    @override
    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling, on_answer: OnAnswer | None = None
    ) -> list[Answer]:
        self.check_requests(requests, sampling)

        def answer(index: int) -> Answer:
            result = self._answer(requests[index], sampling)
            if on_answer is not None:
                on_answer(index, result)
            return result

        return self._limiter.map(answer, len(requests))

    def check_requests(self, requests: Sequence[Request], sampling: Sampling) -> None:
        """Check that the model takes every option that the user wrote. Nothing is sent.

        Args:
            requests: the requests.
            sampling: how answers are sampled.

        Raises:
            RefusedError: the model does not take an option, or a request cannot be written in the form that it needs.
        """
        for request in requests:
            self._call(request, sampling)

    async def answer_many_async(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer]:
        """Answer requests on the running event loop, without threads.

        All calls on one event loop share the limit of requests at the same time.

        Args:
            requests: the requests.
            sampling: how answers are sampled.

        Returns:
            The answers in order.
        """
        self.check_requests(requests, sampling)
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
                calls = self._batch_calls(requests, sampling)
                path = next(iter(calls.values())).form.path
                batch.prepare([(name, call.whole_body) for name, call in calls.items()], endpoint=f"/v1{path}")
            # A batch may have been sent by an earlier process: what it said is what the same request says now.
            api: Api = "responses" if batch.endpoint.endswith("/responses") else "chat"
            sent = self._call(next(iter(requests.values())), sampling, api)
            try:
                for line in batch.results(on_count):
                    try:
                        with reading_answer(self._endpoint.name, "asking the model in a batch"):
                            answer = self._read_batch_line(line, sent)
                    except HostError as error:
                        answer = self._error_answer(error, line["seconds"])
                    add(int(line["custom_id"]), answer)
            except RefusedError:
                batch.delete()
                raise
            for name in batch.ids:
                if int(name) in requests and int(name) not in answers:
                    missing = Answer("", "error", 0, 0, 0.0, error="the batch has no answer to it", retry_after_s=0.0)
                    add(int(name), missing)
            batch.delete()
        return answers

    def thought_tokens(self) -> int | None:
        """Say how many tokens the model may need for a thought within its answer.

        Returns:
            0 for a model of the catalogue, whose reasoning has tokens of its own; None if nothing is known of it.
        """
        return None if self._facts is None else 0

    def reasons_on_request(self) -> bool | None:
        """Say whether the model takes an effort of reasoning.

        Returns:
            What the catalogue says; None if it does not list the model.
        """
        return None if self._facts is None else bool(self._facts.efforts)

    @override
    def about(self) -> dict[str, Any]:
        price, batch_price = self._price, self._batch_price
        observed: dict[str, Any] = {
            "served_as": sorted(self._served_as),
            "parameters_not_taken": sorted(self._left_out | self._not_sent),
        }
        if "responses" in self._asked["api"]:
            observed["api"] = sorted(self._asked["api"])
        if self._asked["reasoning_effort"]:
            observed["reasoning_effort"] = sorted(self._asked["reasoning_effort"])
        if self._paid.repeated:
            observed["perhaps_charged_twice"] = self._paid.repeated
        return {
            "model": self._model,
            "host": self._sdk.url,
            "price": None if price is None else price.model_dump(mode="json"),
            "batch_price": None if batch_price is None else batch_price.model_dump(mode="json"),
            "versions": {"openai": version("openai")},
            "observed": observed,
        }

    def _answer(self, request: Request, sampling: Sampling) -> Answer:
        started, deadline = time.monotonic(), request.deadline
        while True:
            if deadline is not None and not deadline.remaining_s:  # it waited for others
                return deadline.answer(time.monotonic() - started)
            call = self._call(request, sampling)
            resource = call.form.resource(self._sdk.client)

            def attempt(call: ApiRequest = call, resource: Any = resource) -> Any:
                arguments = call.arguments | self._sdk.time_limit(deadline)
                return self._sdk.call("asking the model", lambda: resource.create(**arguments))

            try:
                at = None if deadline is None else deadline.at
                response = self._retry_policy(attempt, deadline=at, paid=self._paid)
                return self._read(call, response, time.monotonic() - started, self._price)
            except HostError as error:
                if not self._adapt(error, call):
                    return self._error_answer(error, time.monotonic() - started, deadline)

    async def _answer_async(self, request: Request, sampling: Sampling) -> Answer:
        started, deadline = time.monotonic(), request.deadline
        if deadline is None:
            return await self._ask_async(request, sampling)
        try:
            return await asyncio.wait_for(self._ask_async(request, sampling), deadline.remaining_s)
        except TimeoutError:
            return deadline.answer(time.monotonic() - started)

    async def _ask_async(self, request: Request, sampling: Sampling) -> Answer:
        started, deadline = time.monotonic(), request.deadline
        client = self._sdk.async_client()
        while True:
            call = self._call(request, sampling)
            resource = call.form.resource(client)

            async def attempt(call: ApiRequest = call, resource: Any = resource) -> Any:
                return await self._sdk.call_async("asking the model", resource.create(**call.arguments))

            try:
                async with self._limiter.slot():
                    at = None if deadline is None else deadline.at
                    response = await self._retry_policy.call_async(attempt, deadline=at, paid=self._paid)
                    return self._read(call, response, time.monotonic() - started, self._price)
            except HostError as error:
                if not self._adapt(error, call):
                    return self._error_answer(error, time.monotonic() - started, deadline)

    def _call(self, request: Request, sampling: Sampling, api: Api | None = None) -> ApiRequest:
        """The request as the model takes it."""
        plan = plan_request(
            self._endpoint.name,
            self._model,
            self._facts,
            sampling,
            tools=bool(request.tools),
            api=api or self._api,
        )
        form = API_FORMS[plan.api]
        body = form.body(self._endpoint, self._asked_as, request, plan)
        written = frozenset(sampling.model_fields_set - (set() if sampling.constrained else {"constrained"}))
        # What an earlier request did not need is left out in silence only where nobody wrote it.
        lost = sorted({OPTIONS[name] for name in body if name in self._left_out} & written)
        if lost:
            raise RefusedError(
                f"{self._endpoint.name}: the model {self._model!r} does not take {' and '.join(lost)}, as it said when "
                "it was asked before",
                backend=self._endpoint.name,
                fields=tuple(lost),
            )
        body = {name: value for name, value in body.items() if name not in self._left_out}
        return ApiRequest(form, body, plan, written)

    def _batch_calls(self, requests: Mapping[int, Request], sampling: Sampling) -> dict[str, ApiRequest]:
        """By id, as many requests as one batch takes, from the first one on. All of them ask the same API."""
        limits = load_catalog().limits(self._provider, "*")
        max_rows, max_bytes = (None, None) if limits is None else (limits.max_batch_rows, limits.max_batch_bytes)
        apis = {self._call(request, sampling).plan.api for request in requests.values()}
        api: Api = "responses" if "responses" in apis else "chat"
        calls: dict[str, ApiRequest] = {}
        size = 0
        for index, request in requests.items():
            call = self._call(request, sampling, api)
            size += len(json.dumps(call.whole_body)) + 100  # ASCII, and the rest of the line
            if calls and ((max_rows and len(calls) >= max_rows) or (max_bytes and size > max_bytes)):
                break
            calls[str(index)] = call
        return calls

    def _read_batch_line(self, line: dict[str, Any], call: ApiRequest) -> Answer:
        """The answer in a line of a batch's output. What was refused for a parameter may be asked again without it."""
        response, latency_s = line.get("response") or {}, line["seconds"]
        status, body = int(response.get("status_code") or 0), response.get("body")
        if status == 200:
            try:
                return self._read(call, body, latency_s, self._batch_price)
            except HostError as error:
                return self._error_answer(error, latency_s)
        if status:
            refusal = self._sdk.refusal("asking the model in a batch", status, body)
            if self._adapt(refusal, call):
                return Answer("", "error", 0, 0, latency_s, error=str(refusal), retry_after_s=0.0)
            return self._error_answer(refusal, latency_s)
        failure = line.get("error") or {}
        retry_after_s = 0.0 if failure.get("code") == "batch_expired" else None
        message = cleaned(f"{failure.get('code')}: {failure.get('message')}", self._sdk.secret)
        return Answer("", "error", 0, 0, latency_s, error=message, retry_after_s=retry_after_s)

    def _adapt(self, error: HostError, call: ApiRequest) -> bool:
        """Ask again in the API that the host names, or without an optional parameter that it refuses.

        A refused request costs nothing.

        Args:
            error: the host's refusal.
            call: what was sent.

        Returns:
            Whether another request may succeed.

        Raises:
            RefusedError: the host refuses an option that the user wrote.
        """
        message = str(error)
        if error.status in (400, 404) and call.plan.api == "chat" and _NAMES_RESPONSES.search(message):
            self._api = "responses"
            return True
        if error.status != 400:
            return False
        refused = call.refused(message)
        for name in refused:
            if OPTIONS[name] in call.written:
                raise RefusedError(message, backend=self._endpoint.name, fields=(OPTIONS[name],)) from None
        for name in refused:
            if name not in _NEVER_LEFT_OUT:
                with self._lock:
                    self._left_out.add(name)
                return True
        return False

    def _error_answer(self, error: HostError, latency_s: float, deadline: Deadline | None = None) -> Answer:
        if error.status in (401, 403, 404):
            raise ModelError(str(error)) from None
        # Before the policy's own limit only the deadline ends the tries of an error that may pass.
        if deadline is not None and error.passing and latency_s < self._retry_policy.budget_s:
            return deadline.answer(latency_s, str(error))
        # What the host may have charged several times already is not asked yet again by callers.
        retry_after_s = (error.retry_after_s or 0.0) if error.passing and not error.may_have_answered else None
        return Answer("", "error", 0, 0, latency_s, error=str(error), retry_after_s=retry_after_s)

    def _read(self, call: ApiRequest, response: Any, latency_s: float, price: InferencePrice | None) -> Answer:
        with reading_answer(self._endpoint.name, "asking the model"):
            data = cleaned(to_dict(response))
            with self._lock:
                self._asked["api"].add(call.plan.api)
                if call.plan.effort is not None:
                    self._asked["reasoning_effort"].add(call.plan.effort)
                self._not_sent |= call.plan.not_sent
                if data.get("model"):
                    self._served_as.add(str(data["model"]))
            return call.form.answer(data, latency_s, price)
