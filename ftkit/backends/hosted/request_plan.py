"""How one model is asked: the API, the effort of reasoning, the token limit and the parameters that it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from ftkit.catalog import ModelParameters
from ftkit.catalog.model_parameters import Api
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import RefusedError
from ftkit.results.answer import Sampling
from ftkit.task.reasoning_effort import ReasoningEffort

__all__ = ["SAMPLING_PARAMETERS", "RequestPlan", "plan_request", "reasoning_limit"]

SAMPLING_PARAMETERS = ("temperature", "top_p", "seed")
"""Sampling options that are parameters of a request, under the same names."""

_NEUTRAL = {"temperature": 1.0, "top_p": 1.0}
"""Values that a model uses without the parameter, so that they can be honoured by leaving it out."""


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """What a request says beside its conversation.

    Attributes:
        api: the API that takes the request.
        effort: the effort that the request sets; None if it leaves it to the host.
        effort_fields: fields that set the effort instead of ``reasoning_effort``; None for that parameter.
        token_limit: most tokens of the answer and its reasoning together.
        sampling: the sampling parameters to send.
        not_sent: sampling parameters that are left at the host's defaults, because the model does not take them.
    """

    api: Api
    effort: ReasoningEffort | None
    effort_fields: Mapping[str, Any] | None
    token_limit: int
    sampling: Mapping[str, Any]
    not_sent: frozenset[str]


def plan_request(
    host: str,
    model: str,
    facts: ModelParameters | None,
    sampling: Sampling,
    *,
    tools: bool,
    api: Api | None = None,
) -> RequestPlan:
    """Decide how a model is asked, by what the catalogue says of it.

    Args:
        host: name of the backend, for messages.
        model: name of the model, for messages.
        facts: the catalogue's row of the model; None if it is not listed, which refuses nothing.
        sampling: what the user wrote.
        tools: whether the request offers tools.
        api: the API to use whatever the catalogue says, e.g. because the host named it.

    Returns:
        The plan.

    Raises:
        RefusedError: the model does not take an option that the user wrote. Nothing was sent.
    """
    refuse = partial(_refuse, host, model, sampling)
    written = sampling.reasoning_effort
    if facts is None:
        effort, reasons, not_taken = written, written not in (None, "none"), frozenset[str]()
    else:
        if written is not None and written not in facts.efforts:
            takes = f"it takes {', '.join(facts.efforts)}" if facts.efforts else "it does not reason on request"
            refuse("reasoning_effort", f"is not taken: {takes} ({facts.source}, {facts.as_of})")
        effort, reasons = written or facts.advised_effort, facts.reasons(written)
        not_taken = frozenset[str](facts.not_taken(written))
        if sampling.max_reasoning_tokens is not None and not reasons:
            how = f' at reasoning_effort="{facts.effort(written)}"' if facts.efforts else ""
            refuse("max_reasoning_tokens", f"has no effect: the model does not reason{how}")
        if tools and facts.tools_need_responses and reasons:
            api = "responses"
        api = api or facts.api
    api = api or "chat"
    if api == "responses":
        not_taken |= {"seed"}  # which that API does not have
    if tools and "tools" in not_taken:
        refuse("tools", "are not taken by this model")
    for name in sorted(not_taken & sampling.model_fields_set):
        if getattr(sampling, name, None) != _NEUTRAL.get(name):
            refuse(name, _why_not_taken(name, facts, written, api))
    return RequestPlan(
        api=api,
        effort=effort,
        effort_fields=None if facts is None or effort is None else facts.effort_requests.get(effort),
        token_limit=sampling.token_limit + reasoning_limit(facts, sampling),
        sampling={name: getattr(sampling, name) for name in SAMPLING_PARAMETERS if name not in not_taken},
        not_sent=not_taken & frozenset(SAMPLING_PARAMETERS),
    )


def reasoning_limit(facts: ModelParameters | None, sampling: Sampling) -> int:
    """Return the most tokens that a model may use for reasoning beside its answer.

    Args:
        facts: the catalogue's row of the model, if there is one.
        sampling: what the user wrote.

    Returns:
        The number of tokens; 0 for a model that does not reason, or of which nothing is known.
    """
    if sampling.max_reasoning_tokens is not None:
        return sampling.max_reasoning_tokens
    return facts.reasoning_reserve if facts is not None and facts.reasons(sampling.reasoning_effort) else 0


def _refuse(host: str, model: str, sampling: Sampling, option: str, problem: str) -> NoReturn:
    value = getattr(sampling, option, None)
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    argument = Argument(option, "" if value is None else str(value), text=f"{option}={shown}")
    raise RefusedError(ErrorText(f"{host}:{model}: ", argument, f" {problem}"), backend=host, fields=(option,))


def _why_not_taken(name: str, facts: ModelParameters | None, written: ReasoningEffort | None, api: Api) -> str:
    if facts is None or name not in facts.refuses + facts.refuses_while_reasoning:
        return f"is not taken: the Responses API, which the request needs, has no {name}; leave it out"
    source = f"({facts.source}, {facts.as_of})"
    if name in facts.refuses or "none" not in facts.efforts:
        return f"is not taken by this model; leave it out {source}"
    return (
        f'has no effect at reasoning_effort="{facts.effort(written)}"; leave it out, or set reasoning_effort="none" '
        f"{source}"
    )
