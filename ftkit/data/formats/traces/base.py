"""The base class of formats of traces, and helpers that read times, scores and messages."""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from ftkit.data.formats.base import Conversation, Format, RawRow
from ftkit.data.formats.messages import read_messages
from ftkit.data.formats.tools import read_tools
from ftkit.errors import DataError, Place
from ftkit.task import Message

__all__ = [
    "TraceFacts",
    "TraceFormat",
    "asked_turns",
    "call_settings",
    "content_text",
    "ends_at_limit",
    "judged",
    "number_of",
    "openai_message",
    "parsed",
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
_AT_LIMIT = {"length", "max_tokens", "max_output_tokens"}
_ROLES = {
    "human": "user",
    "ai": "assistant",
    "function": "tool",
    "model": "assistant",
    "humanmessage": "user",
    "aimessage": "assistant",
    "aimessagechunk": "assistant",
    "systemmessage": "system",
    "toolmessage": "tool",
}


@dataclass(frozen=True, slots=True)
class TraceFacts:
    """What is known of one call, for filters.

    Attributes:
        model: name of the model; empty if unknown.
        at: when the call began; None if unknown.
        scores: scores by name, in any unit.
        feedback: whether a user or a grader found the answer good; None if nobody said.
        error: why the call has no answer; empty if it has one.
        is_chat: whether it is a call of a chat model.
        is_cut: whether the answer ended at the token limit, so that nobody should learn where it ends.
    """

    model: str = ""
    at: datetime | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    feedback: bool | None = None
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


def asked_turns(given: Any, row: RawRow, field_name: str, missing: str) -> list[Message]:
    """Read what a model was asked.

    Args:
        given: a text, or messages of OpenAI or of LangChain.
        row: the row.
        field_name: the field, for errors.
        missing: what is said if it is neither.

    Returns:
        The messages.

    Raises:
        DataError: there are no messages, or a message cannot be read.
    """
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise DataError(missing, place=row.place, field=field_name)
    return [openai_message(turn, row.place, f"{field_name}[{at}]") for at, turn in enumerate(given)]


def traced_conversation(
    row: RawRow, messages: list[Message], field_name: str, settings: Any, tools_field: str
) -> Conversation:
    """Check the messages of a call and what was set beside them.

    Args:
        row: the row.
        messages: the messages, the answer included.
        field_name: the field of the messages, for errors.
        settings: the parameters of the call, with ``tools`` and ``parallel_tool_calls`` where it had them.
        tools_field: the field of the tools, for errors.

    Returns:
        The conversation.
    """
    given = settings if isinstance(settings, dict) else {}
    parallel = given.get("parallel_tool_calls")
    return Conversation(
        read_messages(messages, row.place, field_name),
        read_tools(given.get("tools"), row.place, tools_field, nulls_are_absent=row.nulls_are_absent),
        parallel if isinstance(parallel, bool) else None,
    )


def call_settings(beside: Any, given: Any) -> dict[str, Any]:
    """Return the parameters of a call.

    Args:
        beside: an object with parameters that the tool records beside the call, if it is one.
        given: what was asked, which may be a whole request.

    Returns:
        The parameters that are not null; those of the request precede.
    """
    found: dict[str, Any] = {}
    for part in (beside, given):
        found |= {name: value for name, value in (part.items() if isinstance(part, dict) else ()) if value is not None}
    return found


def ends_at_limit(value: Any) -> bool:
    """Say whether an answer was cut off at the token limit.

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
    reasons = (_first(place.get(key)) for place in places if isinstance(place, dict) for key in _REASONS)
    return any(isinstance(reason, str) and reason.lower() in _AT_LIMIT for reason in reasons)


def _first(value: Any) -> Any:
    """The first answer of nested lists of answers."""
    while isinstance(value, list) and value:
        value = value[0]
    return value


def parsed(value: Any) -> Any:
    """Parse a text that is JSON; other values are returned as they are.

    Args:
        value: the value.

    Returns:
        The parsed value.
    """
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
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
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


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
        except ValueError:
            return None
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
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


def content_text(content: Any, place: Place, field_name: str) -> str | None:
    """Join the texts of a message's content.

    Args:
        content: a text, null, or a list of parts.
        place: the row, for errors.
        field_name: the field, for errors.

    Returns:
        The text; None for null.

    Raises:
        DataError: a part is no text.
    """
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        return json.dumps(content, ensure_ascii=False)
    texts = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
            continue
        kind = part.get("type") if isinstance(part, dict) else None
        text = part.get("text", part.get("content")) if isinstance(part, dict) else None
        if kind in ("text", "input_text", "output_text") and isinstance(text, str):
            texts.append(text)
        elif kind not in ("reasoning", "thinking", "tool_use", "function_call"):
            raise DataError(f"a part of type {kind!r}; only texts can be learned", place=place, field=field_name)
    return "".join(texts)


def openai_message(value: Any, place: Place, field_name: str) -> Message:
    """Read a message of OpenAI or of LangChain in OpenAI's form.

    Args:
        value: ``{"role", "content", …}``, or a serialised LangChain message (``{"id": […], "kwargs": {…}}``).
        place: the row, for errors.
        field_name: the field, for errors.

    Returns:
        The message.

    Raises:
        DataError: it is something else.
    """
    if not isinstance(value, dict):
        raise DataError("a message is an object", place=place, field=field_name)
    inner = value.get("kwargs") if isinstance(value.get("kwargs"), dict) else value.get("data")
    fields: dict[str, Any] = inner if isinstance(inner, dict) else value
    names = value.get("id")
    named = names[-1] if isinstance(names, list) and names else ""
    role = fields.get("role") or fields.get("type") or value.get("type") or named
    role = _ROLES.get(str(role).lower(), role)
    if role == "constructor":
        role = _ROLES.get(str(named).lower(), named)
    message: dict[str, Any] = {"role": role, "content": content_text(fields.get("content"), place, field_name)}
    given = fields.get("additional_kwargs")
    more: dict[str, Any] = given if isinstance(given, dict) else {}
    calls = fields.get("tool_calls") or more.get("tool_calls")
    if calls:
        if not isinstance(calls, list):
            raise DataError("tool_calls is no list", place=place, field=field_name)
        message["tool_calls"] = [_call(call) for call in calls]
        message["content"] = message["content"] or None
    if fields.get("tool_call_id"):
        message["tool_call_id"] = fields["tool_call_id"]
    return message  # type: ignore[return-value]


def _call(call: Any) -> Any:
    """A tool call in OpenAI's form; LangChain has the name and the parsed arguments at the top."""
    if isinstance(call, dict) and "function" not in call and "name" in call:
        arguments = call.get("args", call.get("arguments", {}))
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        return {"id": call.get("id") or "", "type": "function", "function": {"name": call["name"], "arguments": text}}
    return call
