"""Small parts of the chat API that clients rely on."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest
from transformers import AutoTokenizer

from ftkit.modeling.token_bytes import token_bytes
from ftkit.server.chat import completion, reply

from .test_completions import ask

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
ASKS, SAYS = {"role": "user", "content": "a"}, {"role": "assistant", "content": None, "tool_calls": [CALL]}


def tool(name: str = "c1") -> dict[str, str]:
    return {"role": "tool", "tool_call_id": name, "content": "b"}


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([ASKS, tool()], "messages.1"),
        ([ASKS, SAYS, tool("other")], "messages.2"),
        ([ASKS, SAYS, tool(), tool()], "messages.3"),
        ([ASKS, SAYS, ASKS], "messages.1.tool_calls"),
        ([ASKS, SAYS], "messages.1.tool_calls"),
        ([ASKS, SAYS, tool(), ASKS, tool()], "messages.4"),
    ],
)
def test_tool_messages_answer_calls(served, messages: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(served.client, messages=messages)
    assert refused.value.param == param


def test_bytes_of_tokens_are_those_of_the_text(served) -> None:
    reply = ask(served.client, temperature=1.0, seed=3, max_completion_tokens=60, logprobs=True, top_logprobs=20)
    tokens = reply.choices[0].logprobs.content
    whole = b"".join(bytes(token.bytes) for token in tokens)
    assert whole.decode(errors="replace") == reply.choices[0].message.content
    every = [top for token in tokens for top in (token, *token.top_logprobs)]
    assert all(top.bytes is not None for top in every)
    assert any("\N{REPLACEMENT CHARACTER}" in top.token for top in every)  # a random model says parts of characters


def test_log_probabilities_are_written_in_pieces_and_bounded(served, monkeypatch) -> None:
    options = {"logprobs": True, "top_logprobs": 3, "max_completion_tokens": 20, "temperature": 1, "seed": 5, "n": 2}
    ask(served.client, **options)  # from now on the prompt is read from the cache
    whole = ask(served.client, **options)
    monkeypatch.setattr(reply, "_PIECE_TOKENS", 3)
    for piecewise, choice in zip(ask(served.client, **options).choices, whole.choices, strict=True):
        assert piecewise.message == choice.message
        tokens, expected = piecewise.logprobs.content, choice.logprobs.content
        assert [token.token for token in tokens] == [token.token for token in expected]
        # Batches differ in the order of additions.
        assert [token.logprob for token in tokens] == pytest.approx([token.logprob for token in expected], abs=1e-3)
        assert [len(token.top_logprobs) for token in tokens] == [3] * len(tokens)
    monkeypatch.setattr(completion, "_MAX_LOGPROBS", 100)
    with pytest.raises(openai.BadRequestError, match="more than 100 log-probabilities") as refused:
        ask(served.client, **options)
    assert refused.value.param == "top_logprobs"
    assert len([*ask(served.client, stream=True, **options)]) > 30


def test_byte_fallback_is_read() -> None:
    class Fallback:
        backend_tokenizer = None

        def convert_ids_to_tokens(self, token: int) -> str:
            return ["<0xE2>", "▁a"][token]

    assert token_bytes(Fallback(), 0) == b"\xe2"
    assert token_bytes(Fallback(), 1) is None


def test_every_token_of_a_byte_level_tokenizer_has_its_bytes(tiny_model: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    text = "naïve — 日本語 🙂"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert b"".join(token_bytes(tokenizer, token) or b"?" for token in ids) == text.encode()


def test_chunks_are_padded_if_that_is_asked_for(served) -> None:
    body = {"model": "tiny", "messages": [ASKS], "stream": True, "max_completion_tokens": 12, "temperature": 0}

    def chunks(**options: Any) -> list[str]:
        sent = {**body, "stream_options": options}
        text = httpx.post(f"{served.url}/v1/chat/completions", json=sent, timeout=60).text
        return [line for line in text.split("\n\n") if line.startswith("data: {") and '"content":' in line][1:]

    padded, plain = chunks(include_obfuscation=True), chunks(include_obfuscation=False)
    assert all(len(f"{chunk}\n\n".encode()) % 64 == 0 for chunk in padded)
    assert all("obfuscation" in json.loads(chunk.removeprefix("data: ")) for chunk in padded)
    assert not any("obfuscation" in chunk for chunk in plain)
    assert len(padded) == len(plain)


def test_metrics_name_models_as_clients_do(served, settings, tiny_model: str) -> None:
    ask(served.client, max_completion_tokens=1)
    text = httpx.get(f"{served.url}/metrics").text
    assert 'ftkit_model_bytes{model="tiny"' in text
    assert tiny_model not in text


def test_a_schema_nested_too_deep_is_refused(served) -> None:
    schema: dict[str, Any] = {}
    for _ in range(300):
        schema = {"items": schema}
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    with pytest.raises(openai.BadRequestError, match="nested"):
        ask(served.client, response_format=form)
