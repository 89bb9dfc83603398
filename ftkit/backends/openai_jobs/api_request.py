"""A request to a host's chat completions or Responses API: path, body, and the options behind its parameters."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ftkit.backends.answer import Request
from ftkit.backends.hosted.endpoint import Endpoint
from ftkit.backends.hosted.request_plan import SAMPLING_PARAMETERS, RequestPlan
from ftkit.backends.openai_jobs.chat_completions import chat_answer, chat_body
from ftkit.backends.openai_jobs.responses import response_answer, response_body
from ftkit.catalog import InferencePrice
from ftkit.catalog.model_parameters import Api
from ftkit.results.answer import Answer

__all__ = ["API_FORMS", "OPTIONS", "ApiForm", "ApiRequest"]

OPTIONS = {
    **{name: name for name in SAMPLING_PARAMETERS},
    "response_format": "constrained",
    "text": "constrained",  # the response format of the Responses API
    "reasoning_effort": "reasoning_effort",
    "reasoning": "reasoning_effort",
}
"""By parameter of a request: the option of :class:`~ftkit.results.answer.Sampling` that it says."""


@dataclass(frozen=True, slots=True)
class ApiForm:
    """How one API is asked.

    Attributes:
        path: its path below the base URL.
        body: writes the body of a request.
        answer: reads the answer of a response.
        resource: the resource of the SDK's client that creates responses.
    """

    path: str
    body: Callable[[Endpoint, str, Request, RequestPlan], dict[str, Any]]
    answer: Callable[[dict[str, Any], float, InferencePrice | None], Answer]
    resource: Callable[[Any], Any]


API_FORMS: dict[Api, ApiForm] = {
    "chat": ApiForm("/chat/completions", chat_body, chat_answer, lambda client: client.chat.completions),
    "responses": ApiForm("/responses", response_body, response_answer, lambda client: client.responses),
}


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request as it is sent.

    Attributes:
        form: the API that it is sent to.
        body: its fields, without those that the SDK's method does not know.
        plan: how the model takes its options.
        written: options that the user wrote.
    """

    form: ApiForm
    body: dict[str, Any]
    plan: RequestPlan
    written: frozenset[str]

    def refused(self, message: str) -> list[str]:
        """Find the parameters of this request that a message of the host names.

        Args:
            message: what the host says.

        Returns:
            Their names.
        """
        named = [name for name in OPTIONS if re.search(rf"'{name}(\.[a-z_.]{{1,40}})?'", message)]
        return [name for name in named if name in self.whole_body]

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of the SDK's method, which takes fields that it does not know apart from the others."""
        return self.body | ({"extra_body": dict(self.plan.effort_fields)} if self.plan.effort_fields else {})

    @property
    def whole_body(self) -> dict[str, Any]:
        """The body with all fields."""
        return self.body | dict(self.plan.effort_fields or {})
