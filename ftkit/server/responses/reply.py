"""Responses and the events of their streams, in the order of OpenAI's API."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from ftkit.server.chat.choice import Choice, Delta
from ftkit.server.chat.reply import obfuscated
from ftkit.server.errors import ApiError
from ftkit.server.responses.request import ResponsesRequest
from ftkit.server.state import new_id

__all__ = ["ResponseBuilder"]


class _ItemKind(NamedTuple):
    """A kind of output item whose content is one text.

    Attributes:
        prefix: what its ids begin with.
        fields: its fields beside the content.
        part: the part of its content, empty.
    """

    prefix: str
    fields: dict[str, Any]
    part: dict[str, Any]


_MESSAGE = _ItemKind(
    "msg_",
    {"type": "message", "role": "assistant"},
    {"type": "output_text", "text": "", "annotations": [], "logprobs": []},
)
_REASONING = _ItemKind("rs_", {"type": "reasoning", "summary": []}, {"type": "reasoning_text", "text": ""})


class ResponseBuilder:
    """Builds a response, at once or as a stream.

    Args:
        request: the request.

    Attributes:
        id: id of the response.
    """

    def __init__(self, request: ResponsesRequest) -> None:
        self.id = new_id("resp_")
        self._request, self._created_at, self._sequence = request, int(time.time()), 0
        self._output: list[dict[str, Any]] = []
        options = request.stream_options
        self._obfuscated = bool(options and options.include_obfuscation)
        self._open: int | None = None
        """Place of the item that is being written."""
        self._calls: dict[int, int] = {}
        """By index of a call: the place of its item."""

    def complete(self, choice: Choice, usage: dict[str, Any]) -> dict[str, Any]:
        """Build the response of a complete answer.

        Args:
            choice: the answer.
            usage: its usage object of a chat completion.

        Returns:
            A response object of OpenAI's API.
        """
        if not self._output:
            for _ in self.delta_events(Delta(choice.text, choice.logprobs, thought=choice.thought)):
                pass
            for number, call in enumerate(choice.calls):
                for _ in self.delta_events(Delta(calls=[{"index": number, **call}])):
                    pass
        for _ in self._finish_events(choice):
            pass
        return self._response(self._status(choice), choice, usage)

    def start_events(self) -> Iterator[bytes]:
        """Build the first events of a stream.

        Yields:
            Server-sent events.
        """
        for kind in ("response.created", "response.in_progress"):
            yield self._event(kind, response=self._response("in_progress", None, None))

    def delta_events(self, delta: Delta) -> Iterator[bytes]:
        """Build the events of a new part of the answer.

        Args:
            delta: the new part.

        Yields:
            Server-sent events.
        """
        if delta.thought:
            if not self._output:  # what a model thinks comes before all else
                yield from self._open_item(_REASONING)
            part = self._output[0]["content"][0]
            part["text"] += delta.thought
            where = {"item_id": self._output[0]["id"], "output_index": 0, "content_index": 0}
            yield self._event("response.reasoning_text.delta", **where, delta=delta.thought)
        if delta.text or (delta.logprobs and not self._thinking):
            if self._open is None or self._output[self._open]["type"] != "message":
                yield from self._close_item()
                yield from self._open_item(_MESSAGE)
            place = len(self._output) - 1
            part = self._output[place]["content"][0]
            part["text"] += delta.text
            logprobs = [_with_bytes(token) for token in delta.logprobs]
            part["logprobs"] += logprobs
            where = {"item_id": self._output[place]["id"], "output_index": place, "content_index": 0}
            yield self._event("response.output_text.delta", **where, delta=delta.text, logprobs=logprobs)
        for piece in delta.calls:
            yield from self._call_events(piece)

    def final_events(self, choice: Choice, usage: dict[str, Any]) -> Iterator[bytes]:
        """Build the events that complete the items of a stream; :meth:`end_event` ends it.

        Args:
            choice: the complete answer.
            usage: its usage object of a chat completion.

        Yields:
            Server-sent events.
        """
        yield from self._finish_events(choice)

    def end_event(self, response: dict[str, Any]) -> bytes:
        """Build the last event of a stream.

        Args:
            response: the response, as :meth:`complete` built it.

        Returns:
            A server-sent event.
        """
        kind = "incomplete" if response["status"] == "incomplete" else "completed"
        return self._event(f"response.{kind}", response=response)

    def failed_event(self, error: ApiError) -> bytes:
        """Build the last event of a stream whose answer failed.

        Args:
            error: why it failed.

        Returns:
            A server-sent event.
        """
        failure = {"code": "server_error", "message": error.message}
        return self._event("response.failed", response=self._response("failed", None, None) | {"error": failure})

    @property
    def _thinking(self) -> bool:
        """Whether the item that is being written is what the model thinks."""
        return self._open is not None and self._output[self._open]["type"] == "reasoning"

    def _open_item(self, kind: _ItemKind) -> Iterator[bytes]:
        self._open = len(self._output)
        item: dict[str, Any] = {"id": new_id(kind.prefix), "status": "in_progress", **kind.fields, "content": []}
        self._output.append(item)
        yield self._event("response.output_item.added", output_index=self._open, item=item)
        part = copy.deepcopy(kind.part)
        item["content"] = [part]
        where = {"item_id": item["id"], "output_index": self._open, "content_index": 0}
        yield self._event("response.content_part.added", **where, part=part)

    def _call_events(self, piece: dict[str, Any]) -> Iterator[bytes]:
        """Events of a streamed part of a call. The first part has the name, later parts continue the arguments."""
        function = piece["function"]
        if piece["index"] not in self._calls:
            yield from self._close_item()
            self._open = self._calls[piece["index"]] = len(self._output)
            item = {
                "id": new_id("fc_"),
                "type": "function_call",
                "status": "in_progress",
                "call_id": piece["id"],
                "name": function["name"],
                "arguments": "",
            }
            self._output.append(item)
            yield self._event("response.output_item.added", output_index=self._open, item=item)
        place = self._calls[piece["index"]]
        arguments = function.get("arguments") or ""
        if arguments:
            self._output[place]["arguments"] += arguments
            where = {"item_id": self._output[place]["id"], "output_index": place}
            yield self._event("response.function_call_arguments.delta", **where, delta=arguments)

    def _finish_events(self, choice: Choice) -> Iterator[bytes]:
        if not self._output:  # the answer is empty
            yield from self._open_item(_MESSAGE)
        yield from self._close_item("incomplete" if choice.finish_reason == "length" else "completed")

    def _close_item(self, status: str = "completed") -> Iterator[bytes]:
        if self._open is None:
            return
        place, item = self._open, self._output[self._open]
        self._open = None
        item["status"] = status
        where = {"item_id": item["id"], "output_index": place}
        if item["type"] == "reasoning":
            part = item["content"][0]
            where |= {"content_index": 0}
            yield self._event("response.reasoning_text.done", **where, text=part["text"])
            yield self._event("response.content_part.done", **where, part=part)
        elif item["type"] == "message":
            part = item["content"][0]
            where |= {"content_index": 0}
            yield self._event("response.output_text.done", **where, text=part["text"], logprobs=part["logprobs"])
            yield self._event("response.content_part.done", **where, part=part)
        else:
            arguments, name = item["arguments"], item["name"]
            yield self._event("response.function_call_arguments.done", **where, name=name, arguments=arguments)
        yield self._event("response.output_item.done", output_index=place, item=item)

    def _event(self, kind: str, **fields: Any) -> bytes:
        data = {"type": kind, "sequence_number": self._sequence, **fields}
        if self._obfuscated and kind.endswith(".delta"):
            data = obfuscated(data)
        self._sequence += 1
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return f"event: {kind}\ndata: {text}\n\n".encode()

    @staticmethod
    def _status(choice: Choice) -> str:
        return "incomplete" if choice.finish_reason == "length" else "completed"

    def _response(self, status: str, choice: Choice | None, usage: dict[str, Any] | None) -> dict[str, Any]:
        request = self._request
        cut = choice is not None and status == "incomplete"
        form = None if request.text is None or request.text.format is None else request.text.format
        tools = [tool.model_dump() for tool in request.tools or ()]
        return {
            "id": self.id,
            "object": "response",
            "created_at": self._created_at,
            "completed_at": int(time.time()) if status == "completed" else None,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "instructions": request.instructions,
            "max_output_tokens": request.max_output_tokens,
            "metadata": request.metadata or {},
            "model": request.model,
            "output": self._output,
            "parallel_tool_calls": request.parallel_tool_calls is not False,
            "previous_response_id": request.previous_response_id,
            "reasoning": {
                "effort": None if request.reasoning is None else request.reasoning.effort,
                "summary": None if request.reasoning is None else request.reasoning.summary,
            },
            "service_tier": "default",
            "store": request.stored,
            "temperature": 1.0 if request.temperature is None else request.temperature,
            "text": {
                "format": {"type": "text"} if form is None else form.model_dump(by_alias=True, exclude_none=True),
                "verbosity": "medium",
            },
            "tool_choice": "auto" if request.tool_choice is None else request.tool_choice,
            "tools": tools,
            "top_logprobs": request.top_logprobs or 0,
            "top_p": 1.0 if request.top_p is None else request.top_p,
            "truncation": "disabled",
            "usage": None if usage is None else _usage(usage),
            "user": request.user,
        }


def _usage(usage: dict[str, Any]) -> dict[str, Any]:
    """The usage of a chat completion in the names of this API."""
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": usage["completion_tokens_details"]["reasoning_tokens"]},
        "total_tokens": usage["total_tokens"],
    }


def _with_bytes(token: dict[str, Any]) -> dict[str, Any]:
    top = [{**other, "bytes": other["bytes"] or []} for other in token["top_logprobs"]]
    return {**token, "bytes": token["bytes"] or [], "top_logprobs": top}
