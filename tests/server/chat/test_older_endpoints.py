"""``/v1/completions`` and ``/v1/embeddings`` through the official client."""

from __future__ import annotations

import base64

import httpx
import numpy as np
import openai
import pytest

from ftkit.backends.local.answerer import LocalAnswerer


def complete(client, prompt="Aspirin for", **options):
    options = {"temperature": 0, "max_tokens": 8} | options
    return client.completions.create(model="tiny", prompt=prompt, **options)


def chat(client, prompt):
    messages = [{"role": "user", "content": prompt}]
    reply = client.chat.completions.create(model="tiny", messages=messages, temperature=0, max_completion_tokens=8)
    return reply.choices[0].message.content


def test_a_prompt_is_a_user_message_as_in_training(served):
    reply = complete(served.client)
    assert reply.choices[0].text == chat(served.client, "Aspirin for")
    assert reply.object == "text_completion"
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage.completion_tokens == 8
    several = complete(served.client, ["Aspirin for", "Bed"], n=2, temperature=0.7, seed=1)
    assert [choice.index for choice in several.choices] == [0, 1, 2, 3]
    both = complete(served.client, ["Aspirin for", "Bed"])
    assert [choice.text for choice in both.choices] == [chat(served.client, text) for text in ("Aspirin for", "Bed")]
    assert complete(served.client, echo=True).choices[0].text == "Aspirin for" + reply.choices[0].text
    assert len(served.client.completions.create(model="tiny", prompt="x").choices[0].text) > 0


def test_streams_and_log_probabilities(served):
    whole = complete(served.client, logprobs=2)
    found = whole.choices[0].logprobs
    assert len(found.tokens) == len(found.token_logprobs) == 8
    assert all(1 <= len(top) <= 2 for top in found.top_logprobs)
    chunks = list(complete(served.client, stream=True, echo=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == "Aspirin for" + whole.choices[0].text
    assert chunks[-1].usage.completion_tokens == 8
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"suffix": "x"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"echo": True, "logprobs": 1}, "echo"),
        ({"prompt": ["x"] * 100, "n": 2}, "n"),
        ({"colour": 1}, "colour"),
        ({"logprobs": 9}, "logprobs"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"prompt": "word " * 100_000}, "prompt"),
        ({"max_tokens": 10**7}, "prompt"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(served, options, param):
    body = {"model": "tiny", "prompt": "x", "max_tokens": 2} | options
    answer = httpx.post(f"{served.url}/v1/completions", json=body, timeout=60)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_padded_streams(served):
    options = {"stream": True, "stream_options": {"include_obfuscation": True}}
    assert all(chunk.model_extra["obfuscation"] is not None for chunk in complete(served.client, **options))


def test_log_probabilities_of_all_prompts_count_together(served, monkeypatch):
    monkeypatch.setattr("ftkit.server.chat.completion._MAX_LOGPROBS", 60)
    assert complete(served.client, logprobs=2).choices[0].logprobs
    with pytest.raises(openai.BadRequestError, match="more than 60 log-probabilities") as caught:
        complete(served.client, ["a", "b", "c", "d"], logprobs=2)
    assert caught.value.param == "logprobs"


def test_embeddings_are_those_of_the_local_model(served, tiny_model):
    texts = ["Aspirin for 3 days.", "Bed 4 is free."]
    expected = LocalAnswerer(tiny_model).embeddings(texts)
    reply = served.client.embeddings.create(model="tiny", input=texts)  # base64, by default of the client
    assert np.allclose([one.embedding for one in reply.data], expected, atol=1e-5)
    plain = served.client.embeddings.create(model="tiny", input=texts[0], encoding_format="float")
    assert np.allclose(plain.data[0].embedding, expected[0], atol=1e-5)
    assert plain.usage.total_tokens > 0
    body = {"model": "tiny", "input": texts[0], "encoding_format": "base64"}
    raw = httpx.post(f"{served.url}/v1/embeddings", json=body).json()["data"][0]["embedding"]
    assert np.allclose(np.frombuffer(base64.b64decode(raw), "<f4"), expected[0], atol=1e-5)


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"input": [1, 2]}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["x", "word " * 100_000]}, "input"),
        ({"dimensions": 3}, "dimensions"),
        ({"colour": 1}, "colour"),
        ({"model": "none"}, "model"),
    ],
)
def test_texts_that_cannot_be_embedded_are_refused_by_name(served, options, param):
    body = {"model": "tiny", "input": "x"} | options
    answer = httpx.post(f"{served.url}/v1/embeddings", json=body, timeout=60)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["param"] == param


def test_a_text_that_is_too_long_is_named(served):
    with pytest.raises(openai.BadRequestError, match=r"input\[1\]: the text is longer than the model's context"):
        served.client.embeddings.create(model="tiny", input=["x", "word " * 100_000])
