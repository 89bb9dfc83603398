"""What a user asks a server with OpenAI's client, whichever engine answers."""

from __future__ import annotations

from typing import Any

import openai

SCHEMA = {
    "type": "object",
    "properties": {"drug": {"enum": ["aspirin", "none"]}, "days": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["drug", "days"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "note", "schema": SCHEMA, "strict": True}}
NOTE: Any = [{"role": "system", "content": "You read notes."}, {"role": "user", "content": "Aspirin for 3 days."}]
TOOL = {"type": "function", "function": {"name": "prescribe", "parameters": SCHEMA, "strict": True}}


def chats(client: openai.OpenAI, model: str) -> dict[str, Any]:
    """Answers to plain chats: whole, as a stream, cut by a stop string, with log-probabilities."""
    asked: dict[str, Any] = {"model": model, "messages": NOTE, "temperature": 0, "max_tokens": 12}
    create = client.chat.completions.create
    whole = create(**asked)
    found: dict[str, Any] = {f"{model}: chat": plain(whole)}
    found[f"{model}: stream"] = streamed(
        create(**asked, stream=True, stream_options={"include_usage": True, "include_obfuscation": False})
    )
    first = str(whole.choices[0].message.content)
    found[f"{model}: stop"] = plain(create(**asked, stop=[first[len(first) // 2 :][:3]]))
    found[f"{model}: logprobs"] = plain(create(**asked, logprobs=True, top_logprobs=3))
    return found


def everything(client: openai.OpenAI, model: str) -> dict[str, Any]:
    """Ask a model greedily, by every API; what the client gets, without ids and times."""
    found = chats(client, model)
    create = client.chat.completions.create
    asked: dict[str, Any] = {"model": model, "messages": NOTE, "temperature": 0, "max_tokens": 12}
    options: dict[str, Any] = {"frequency_penalty": 0.5, "logit_bias": {"17": -100}}
    found[f"{model}: several"] = plain(create(**asked, n=2, seed=5, **options))
    found[f"{model}: tools, not called"] = plain(create(**asked, tools=[TOOL]))
    asked["max_tokens"] = 60
    found[f"{model}: tools"] = plain(create(**asked, tools=[TOOL], tool_choice="required"))
    asked["response_format"] = FORMAT
    found[f"{model}: schema"] = plain(create(**asked))
    found[f"{model}: schema, logprobs"] = [plain(create(**asked, logprobs=True))]
    found[f"{model}: schema, stream"] = streamed(create(**asked, logprobs=True, top_logprobs=2, stream=True))
    response: dict[str, Any] = {"model": model, "input": NOTE, "temperature": 0, "max_output_tokens": 16}
    found[f"{model}: response"] = client.responses.create(**response, store=False).output_text
    events = client.responses.create(**response, store=False, stream=True)
    found[f"{model}: response, stream"] = [
        event.delta for event in events if event.type == "response.output_text.delta"
    ]
    found[f"{model}: completions"] = plain(
        client.completions.create(model=model, prompt=["a", "b"], temperature=0, max_tokens=6, logprobs=2)
    )
    return found


def logprobs(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The log-probabilities in an answer or in the chunks of a stream."""
    return [choice["logprobs"] for one in answers for choice in one["choices"] if choice.get("logprobs")]


def plain(answer: Any) -> dict[str, Any]:
    """An answer without what differs each time."""
    body: dict[str, Any] = answer.model_dump(exclude={"id", "created"})
    for choice in body["choices"]:
        for call in (choice.get("message") or {}).get("tool_calls") or ():
            call.pop("id")
    (body.get("usage") or {}).pop("prompt_tokens_details", None)  # how much was cached differs
    return body


def streamed(chunks: Any) -> list[dict[str, Any]]:
    """The chunks of a stream that say something."""
    return [plain(chunk) for chunk in chunks]
