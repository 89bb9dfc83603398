"""Requests to the Responses API, and the answers in its responses.

Source: OpenAI, "Create a model response"; the types of the openai package, ``openai.types.responses``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ftkit.backends.answer import Request
from ftkit.backends.hosted.endpoint import Endpoint
from ftkit.backends.hosted.request_plan import RequestPlan
from ftkit.backends.openai_jobs.request_fields import answer_with_usage, common_body
from ftkit.backends.openai_jobs.response_format import response_format
from ftkit.catalog import InferencePrice
from ftkit.errors import RefusedError
from ftkit.results.answer import Answer, FinishReason
from ftkit.task import Message

__all__ = ["response_answer", "response_body"]


def response_body(endpoint: Endpoint, model: str, request: Request, plan: RequestPlan) -> dict[str, Any]:
    """Write the body of a request. The host is asked not to store the conversation, as it does by default.

    Args:
        endpoint: the host.
        model: the model's name there.
        request: what to ask.
        plan: how to ask the model.

    Returns:
        The JSON body, without the plan's ``effort_fields``.

    Raises:
        RefusedError: a message has content that this API takes in no form that ftkit writes.
    """
    body = common_body(
        model,
        request,
        plan,
        limit_field="max_output_tokens",
        effort=lambda effort: {"reasoning": {"effort": effort}},
        tool=_tool,
    )
    body["input"] = [item for message in request.messages for item in _items(endpoint.name, message)]
    body["store"] = False
    schema = response_format(request.output, strict=endpoint.strict_schemas)
    if schema is not None:
        body["text"] = {"format": {"type": "json_schema", "strict": False} | schema["json_schema"]}
    return body


def response_answer(data: dict[str, Any], latency_s: float, price: InferencePrice | None) -> Answer:
    """Read the answer of a response.

    Args:
        data: the JSON body of the response.
        latency_s: seconds that the call took.
        price: the price of the answer.

    Returns:
        The answer; with an error if the host gave none.
    """
    items = [item for item in data.get("output") or () if isinstance(item, Mapping)]
    parts = [
        part
        for item in items
        if item.get("type") == "message"
        for part in item.get("content") or ()
        if isinstance(part, Mapping)
    ]
    calls = [_call(item) for item in items if item.get("type") == "function_call"]
    refusals = [str(part.get("refusal")) for part in parts if part.get("type") == "refusal"]
    cut = (data.get("incomplete_details") or {}).get("reason")
    error = None
    if data.get("status") in ("failed", "cancelled"):
        error = str((data.get("error") or {}).get("message") or f"the response was {data['status']}")
    elif cut == "content_filter":
        error = "the host's content filter cut the answer off"
    elif refusals:
        error = f"the model refused: {refusals[0]}"
    elif not items and cut is None:
        error = "the host sent no output"
    finish: FinishReason = "length" if cut else "tool_calls" if calls else "stop"
    return answer_with_usage(
        "".join(str(part.get("text") or "") for part in parts if part.get("type") == "output_text"),
        finish,
        error,
        data.get("usage"),
        names=("input", "output"),
        price=price,
        latency_s=latency_s,
        tool_calls=calls,
        reasoning_content="\n\n".join(_reasoned(items)),
    )


def _items(host: str, message: Message) -> Iterator[dict[str, Any]]:
    """The input items of a message."""
    role, content = message["role"], message.get("content")
    if role == "tool":
        output = content if isinstance(content, str) else [_part(host, part, "input_text") for part in content or ()]
        yield {"type": "function_call_output", "call_id": message.get("tool_call_id", ""), "output": output}
        return
    if content:
        kind = "output_text" if role == "assistant" else "input_text"
        parts = content if isinstance(content, str) else [_part(host, part, kind) for part in content]
        yield {"type": "message", "role": role, "content": parts}
    for call in message.get("tool_calls") or ():
        function = call["function"]
        yield {
            "type": "function_call",
            "call_id": call["id"],
            "name": function["name"],
            "arguments": function["arguments"],
        }


def _part(host: str, part: Mapping[str, Any], text_kind: str) -> dict[str, Any]:
    kind = part.get("type")
    if kind == "text":
        return {"type": text_kind, "text": part.get("text", "")}
    if kind == "refusal":
        return {"type": "refusal", "refusal": part.get("refusal", "")}
    if kind == "image_url":
        image = part.get("image_url") or {}
        return {"type": "input_image", "image_url": image.get("url"), "detail": image.get("detail", "auto")}
    raise RefusedError(
        f"{host}: content of the type {kind!r} cannot be sent through the Responses API; use text or image_url",
        backend=host,
        fields=("messages",),
    )


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool in the form of this API, in which ``strict`` is true unless the request says otherwise."""
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, Mapping):
        return dict(tool)
    return {"type": "function", "strict": False, "parameters": {"type": "object", "properties": {}}, **function}


def _call(item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": item.get("call_id") or item.get("id"),
        "type": "function",
        "function": {"name": item.get("name"), "arguments": item.get("arguments")},
    }


def _reasoned(items: list[Mapping[str, Any]]) -> Iterator[str]:
    """The text of the reasoning, or its summary where the host keeps the text."""
    for item in items:
        if item.get("type") == "reasoning":
            for part in item.get("content") or item.get("summary") or ():
                if isinstance(part, Mapping) and part.get("text"):
                    yield str(part["text"])
