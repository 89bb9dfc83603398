"""The base class of formats of traces, and helpers that read times, scores and settings."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from ftkit.data.formats.base import Conversation, Format, RawRow
from ftkit.data.formats.messages import read_messages
from ftkit.data.formats.system_turns import one_system_turn
from ftkit.data.formats.tools import read_tools
from ftkit.data.formats.traces.turns import parsed
from ftkit.errors import DataError

__all__ = [
    "TraceFacts",
    "TraceFormat",
    "call_settings",
    "ends_at_limit",
    "judged",
    "number_of",
    "request_settings",
    "response_settings",
    "scaled_feedback",
    "time_of",
    "traced_conversation",
]

_GOOD = {"good", "positive", "up", "thumbs_up", "thumbs-up", "like", "liked", "correct", "pass", "yes", "true"}
_BAD = {
    "bad",
    "negative",
    "down",
    "thumbs_down",
    "thumbs-down",
    "dislike",
    "disliked",
    "incorrect",
    "fail",
    "no",
    "false",
}
_REASONS = ("finish_reason", "stop_reason")
_CUT = {
    *("length", "max_tokens", "max_output_tokens", "model_context_window_exceeded"),
    *("content_filter", "content-filter", "safety", "recitation", "prohibited_content", "blocklist", "spii"),
}
"""Why an answer ends where its model would not have ended it: at a limit of tokens, or by a filter of the host."""


@dataclass(frozen=True, slots=True)
class TraceFacts:
    """What is known of one call, for filters.

    Attributes:
        model: name of the model; empty if unknown.
        at: when the call began; None if unknown.
        scores: scores by name, in any unit.
        feedback: whether a user or a grader found the answer good; None if nobody said.
        scaled: the judgements that are numbers alone, by name. If the same name has a number above 1 in another call,
            its scale is not known, and 1 may be the worst.
        error: why the call has no answer; empty if it has one.
        is_chat: whether it is a call of a chat model.
        is_cut: whether the answer was cut off, so that nobody should learn where it ends.
    """

    model: str = ""
    at: datetime | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    feedback: bool | None = None
    scaled: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    is_chat: bool = True
    is_cut: bool = False


class TraceFormat(Format):
    """One call of a model in a record of a tracing tool. ``format="auto"`` of a dataset does not consider it."""

    is_detected: ClassVar[bool] = False
    answer_field: ClassVar[str] = "the recorded answer"

    def records(self, record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Find the calls in a record of a file. By default, a record is one call.

        Args:
            record: the record.

        Yields:
            The columns of each call.
        """
        yield record

    @abstractmethod
    def facts(self, columns: Mapping[str, Any]) -> TraceFacts:
        """Read what filters need.

        Args:
            columns: the columns of a call.

        Returns:
            The facts.
        """


def traced_conversation(
    row: RawRow, asked: list[Any], answer: list[Any], field_name: str, settings: Any, tools_field: str
) -> Conversation:
    """Check the turns of a call and what was set beside them.

    Args:
        row: the row.
        asked: what the model was asked: messages, and items of the Responses API.
        answer: what it answered.
        field_name: the field of the messages, for errors.
        settings: the parameters of the call, with ``tools``, ``instructions`` and ``parallel_tool_calls`` where it had
            them.
        tools_field: the field of the tools, for errors.

    Returns:
        The conversation.

    Raises:
        DataError: there is no question, a turn cannot be read, or turns before it are kept by the host alone.
    """
    given = settings if isinstance(settings, dict) else {}
    if not asked:
        raise DataError("there is an answer, and what was asked was not recorded", place=row.place, field=field_name)
    for name in ("previous_response_id", "conversation", "prompt"):
        if given.get(name) and not (name == "prompt" and isinstance(given[name], str | list)):
            raise DataError(
                "turns before the recorded ones are kept by the host, which this names; they were not recorded",
                place=row.place,
                field=name,
            )
    begin: Mapping[str, Any] = next((turn for turn in asked if turn.get("role") not in ("system", "developer")), {})
    if begin.get("tool_calls") or begin.get("type") == "function_call" or begin.get("role") == "tool":
        raise DataError(
            "it begins with a call of a tool: the turns before it were not recorded", place=row.place, field=field_name
        )
    instructions = given.get("instructions")
    if isinstance(instructions, str) and instructions:
        first = asked[0] if isinstance(asked[0], dict) else {}
        if first.get("role") not in ("system", "developer") or first.get("content") != instructions:
            asked = [{"role": "system", "content": instructions}, *asked]
    asked = one_system_turn(asked)
    parallel = given.get("parallel_tool_calls")
    parallel = {"true": True, "false": False}.get(parallel, parallel) if isinstance(parallel, str) else parallel
    tools = parsed(given.get("tools")) or parsed(given.get("functions"))
    if isinstance(tools, list):
        tools = [_without_nulls(tool) for tool in tools] or None
    conversation = Conversation(
        read_messages([*asked, *answer], row.place, field_name),
        read_tools(tools, row.place, tools_field, nulls_are_absent=row.nulls_are_absent),
        parallel if isinstance(parallel, bool) and tools else None,
    )
    if conversation.messages[-1]["role"] != "assistant":
        raise DataError("there is no answer", place=row.place, field=field_name, problem="no_answer")
    return conversation


def _without_nulls(tool: Any) -> Any:
    """A definition without the fields that answers of the Responses API fill with null."""
    if not isinstance(tool, dict):
        return tool
    kept = {name: value for name, value in tool.items() if value is not None}
    return {name: _without_nulls(value) if name == "function" else value for name, value in kept.items()}


def call_settings(*parts: Any) -> dict[str, Any]:
    """Return the parameters of a call.

    Args:
        *parts: objects with parameters, among them whole requests; other values are passed over.

    Returns:
        The parameters that are not null; those of later objects precede.
    """
    found: dict[str, Any] = {}
    for part in parts:
        found |= {name: value for name, value in (part.items() if isinstance(part, dict) else ()) if value is not None}
    return found


def request_settings(request: Any) -> dict[str, Any]:
    """Return the parameters of a request, with the system text of Anthropic's Messages API as ``instructions``.

    Args:
        request: what was asked, which may be a whole request.

    Returns:
        The parameters; none if it is something else.
    """
    if not isinstance(request, dict):
        return {}
    system = request.get("system")
    if isinstance(system, list) and all(
        isinstance(part, dict) and isinstance(part.get("text"), str) for part in system
    ):
        system = "".join(part["text"] for part in system)
    return {**request, "instructions": system} if isinstance(system, str) and system else request


def response_settings(answer: Any) -> dict[str, Any]:
    """Return the parameters that an answer of the Responses API repeats.

    Args:
        answer: an answer of any API.

    Returns:
        The parameters; none of other answers.
    """
    if not isinstance(answer, dict) or answer.get("object") != "response":
        return {}
    names = ("instructions", "tools", "parallel_tool_calls", "previous_response_id", "conversation", "prompt")
    return {name: answer[name] for name in names if answer.get(name)}


def ends_at_limit(value: Any) -> bool:
    """Say whether an answer was cut off, at the token limit or by a filter.

    Args:
        value: an answer with ``choices`` or ``generations``, a list of answers, of which the first counts, an object
            with ``finish_reason``, or anything else. LangChain's messages have it in ``response_metadata``.

    Returns:
        Whether a ``finish_reason`` or ``stop_reason`` of the answer says so.
    """
    for name in ("choices", "generations"):
        value = _first(value)
        value = value[name] if isinstance(value, dict) and name in value else value
    answer = _first(value)
    places = [answer]
    for name in ("message", "kwargs", "generation_info", "response_metadata"):
        places += [place[name] for place in places if isinstance(place, dict) and isinstance(place.get(name), dict)]
    details = [
        place["incomplete_details"] for place in places if isinstance(place, dict) and place.get("incomplete_details")
    ]
    places += [{"finish_reason": each.get("reason")} for each in details if isinstance(each, dict)]
    reasons = (_first(place.get(key)) for place in places if isinstance(place, dict) for key in _REASONS)
    return any(isinstance(reason, str) and reason.lower() in _CUT for reason in reasons)


def _first(value: Any) -> Any:
    """The first answer of nested lists of answers."""
    while isinstance(value, list) and value:
        value = value[0]
    return value


def number_of(value: Any) -> float | None:
    """Read a finite number.

    Args:
        value: a number, a boolean, or a text of a number.

    Returns:
        The number; None for anything else.
    """
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and len(value) <= 40:
        try:
            value = float(value)
        except ValueError:
            return None
    try:
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
    except OverflowError:  # an integer of hundreds of digits
        return None


def time_of(value: Any) -> datetime | None:
    """Read a time: ISO 8601, or seconds, milliseconds or nanoseconds since 1970.

    Args:
        value: the time.

    Returns:
        The time in UTC; None if it is none.
    """
    if isinstance(value, str) and not value.isdigit():
        try:
            found = datetime.fromisoformat(value)
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (ValueError, OverflowError):  # the first day, in a zone that is ahead
            return None
    seconds = number_of(value)
    if seconds is None:
        return None
    for limit, unit in ((1e11, 1), (1e14, 1e3), (1e17, 1e6), (1e20, 1e9)):
        if 0 < seconds < limit:
            try:
                return datetime.fromtimestamp(seconds / unit, UTC)
            except (ValueError, OverflowError, OSError):
                return None
    return None


def judged(value: Any) -> bool | None:
    """Read a judgement: a boolean, a word such as ``"positive"``, or a number.

    Args:
        value: the judgement. A number above 0 and at most 1 is good from 0.5, 0 and below is bad.

    Returns:
        Whether it is good; None if it does not say, e.g. 3 of an unknown scale.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _GOOD or word in _BAD:
            return word in _GOOD
    number = number_of(value)
    if number is None or number > 1:
        return None
    return number >= 0.5


def scaled_feedback(value: Any) -> dict[str, float]:
    """Return a judgement that is a number.

    Args:
        value: the judgement.

    Returns:
        The number, by the name ``feedback``; nothing if it is a boolean or a word.
    """
    number = None if isinstance(value, bool) else number_of(value)
    return {} if number is None else {"feedback": number}
