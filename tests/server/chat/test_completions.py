"""Chat completions through the official client, over a real socket."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from ftkit.backends import Request, Sampling
from ftkit.backends.local.answerer import LocalAnswerer
from ftkit.schema import JsonOutput
from tests.server.specification import validate_as

NOTE = [{"role": "system", "content": "You read notes."}, {"role": "user", "content": "Aspirin for 3 days."}]
SCHEMA = {
    "type": "object",
    "properties": {"drug": {"enum": ["aspirin", "none"]}, "days": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["drug", "days"],
    "additionalProperties": False,
}


def ask(client: Any, model: str = "tiny", messages: Any = NOTE, **options: Any) -> Any:
    options = {"temperature": 0, "max_completion_tokens": 16} | options
    return client.chat.completions.create(model=model, messages=messages, **options)


def local(model: str, messages: Any = NOTE, output: Any = None, **options: Any) -> str:
    sampling = Sampling(**({"max_output_tokens": 16} | options))
    return LocalAnswerer(model).answer_many([Request(messages, output=output)], sampling)[0].text


def text(reply: Any, choice: int = 0) -> str:
    return str(reply.choices[choice].message.content)


def test_greedy_answers_are_those_of_the_local_model(served, tiny_model):
    reply = ask(served.client)
    assert text(reply) == local(tiny_model)
    assert reply.model == "tiny"
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage.completion_tokens == 16
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + 16
    assert text(ask(served.client, "gpt-4.1-mini-2025-04-14")) == text(reply)


def test_draws_follow_the_seed_and_are_those_of_the_local_model(served, tiny_model):
    options = {"temperature": 0.9, "top_p": 0.95}
    first = text(ask(served.client, seed=5, **options))
    assert first == local(tiny_model, seed=5, **options)
    with ThreadPoolExecutor(12) as pool:
        others = [pool.submit(ask, served.client, seed=6 + n, **options) for n in range(8)]
        again = [pool.submit(ask, served.client, seed=5, **options) for _ in range(3)]
        assert {text(one.result()) for one in again} == {first}
        assert len({text(one.result()) for one in others}) > 1
    assert text(ask(served.client, **options)) != text(ask(served.client, **options))


def test_the_narrowest_draws_are_greedy(served):
    greedy = text(ask(served.client))
    assert text(ask(served.client, temperature=1, top_p=0)) == greedy
    assert text(ask(served.client, temperature=1e-300)) == greedy


def test_every_answer_is_as_the_specification_says(served):
    url = f"{served.url}/v1/chat/completions"
    for options in ({}, {"logprobs": True, "top_logprobs": 3}, {"n": 3, "temperature": 1}):
        body = {"model": "tiny", "messages": NOTE, "max_tokens": 5, **options}
        answer = httpx.post(url, json=body, timeout=60)
        assert answer.status_code == 200
        validate_as("CreateChatCompletionResponse", answer.json())
        with httpx.stream("POST", url, json=body | {"stream": True}, timeout=60) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = [line for line in stream.iter_lines() if line]
        assert lines[-1] == "data: [DONE]"
        for line in lines[:-1]:
            validate_as("CreateChatCompletionStreamResponse", json.loads(line.removeprefix("data: ")))


def test_streams_give_the_same_text(served):
    whole = ask(served.client, n=2, seed=3, temperature=1.2, max_completion_tokens=24)
    stream = ask(
        served.client,
        n=2,
        seed=3,
        temperature=1.2,
        max_completion_tokens=24,
        stream=True,
        stream_options={"include_usage": True},
    )
    texts, ends, usage, chunks = ["", ""], [None, None], None, 0
    for chunk in stream:
        chunks += 1
        usage = chunk.usage
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            ends[choice.index] = choice.finish_reason
    assert texts == [text(whole, 0), text(whole, 1)]
    assert texts[0] != texts[1]
    assert ends == ["length", "length"]
    assert usage.completion_tokens == 48
    assert usage.prompt_tokens == whole.usage.prompt_tokens
    assert chunks > 12


def test_the_asynchronous_client_is_answered_alike(served):
    async def both() -> tuple[str, str]:
        async with AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
            whole = await ask(client)
            stream = await ask(client, stream=True)
            return text(whole), "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    whole, streamed = asyncio.run(both())
    assert whole == streamed == text(ask(served.client))


def test_stop_strings_end_answers_and_are_no_part_of_them(served):
    whole = text(ask(served.client))
    stop = whole[len(whole) // 2 :][:3]
    reply = ask(served.client, stop=["never there", stop])
    assert text(reply) == whole[: whole.index(stop)]
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.completion_tokens < 16
    parts = [one.choices[0].delta.content or "" for one in ask(served.client, stop=stop, stream=True)]
    assert "".join(parts) == text(reply)


def test_probabilities_of_tokens(served):
    told = ask(served.client, logprobs=True, top_logprobs=4).choices[0].logprobs.content
    assert len(told) == 16
    assert all(len(one.top_logprobs) == 4 for one in told)
    assert all(one.logprob == one.top_logprobs[0].logprob <= 0 for one in told)  # greedy: the likeliest was taken
    streamed = [
        one
        for chunk in ask(served.client, logprobs=True, stream=True)
        for one in ((chunk.choices[0].logprobs and chunk.choices[0].logprobs.content) or ())
    ]
    assert [one.token for one in streamed] == [one.token for one in told]
    assert [one.logprob for one in streamed] == pytest.approx([one.logprob for one in told], abs=1e-4)
    assert streamed[0].top_logprobs == []


def test_answers_are_held_to_json(served, tiny_model):
    output = JsonOutput(name="visit", json_schema=SCHEMA)
    form = {"type": "json_schema", "json_schema": {"name": "visit", "schema": SCHEMA, "strict": True}}
    for temperature in (0, 1.5):
        reply = ask(served.client, response_format=form, temperature=temperature, max_completion_tokens=40)
        assert output.problems(text(reply)) == []
        assert reply.choices[0].finish_reason == "stop"
    greedy = ask(served.client, response_format=form, max_completion_tokens=40)
    assert text(greedy) == local(tiny_model, output=output, constrained=True, max_output_tokens=40)
    free = ask(served.client, response_format={"type": "json_object"}, max_completion_tokens=40)
    assert text(free).startswith("{")
    odd = {"name": "odd", "schema": {"type": "object", "properties": {"é\n": {"not": {"type": "integer"}}}}}
    options = {"response_format": {"type": "json_schema", "json_schema": odd}, "max_completion_tokens": 2}
    raw = served.client.chat.completions.with_raw_response.create(model="tiny", messages=NOTE, **options)
    assert raw.headers["x-ftkit-not-held"] == '"not" at $.properties["\\xe9\\n"]'
    odd["strict"] = True
    with pytest.raises(openai.BadRequestError, match=r'"additionalProperties" must be false at \$ in') as refused:
        ask(served.client, **options)
    assert refused.value.param == "response_format"


def test_penalties_and_biases_change_answers(served):
    plain = ask(served.client, seed=1)
    for options in ({"frequency_penalty": 2}, {"presence_penalty": 2}, {"logit_bias": {"300": 100}}):
        assert text(ask(served.client, seed=1, **options)) != text(plain)
    reply = ask(served.client, logit_bias={"300": 100}, logprobs=True, max_completion_tokens=3)
    assert len({one.token for one in reply.choices[0].logprobs.content}) == 1


def test_beginnings_are_taken_from_the_cache_and_said(served):
    long = [{"role": "system", "content": "You read notes with care. " * 30}, {"role": "user", "content": "One."}]
    first = ask(served.client, messages=long)
    second = ask(served.client, messages=[long[0], {"role": "user", "content": "Two."}])
    assert first.usage.prompt_tokens_details.cached_tokens == 0
    assert second.usage.prompt_tokens_details.cached_tokens > 100
    again = ask(served.client, messages=long)
    assert text(again) == text(first)


def test_adapters_on_one_base_answer_for_themselves_at_once(served, tiny_model, adapters):
    names = ["tiny", *(f"tuned{n}" for n in range(len(adapters)))]
    expected = [local(model) for model in (tiny_model, *adapters)]
    assert len(set(expected)) == len(expected)
    with ThreadPoolExecutor(21) as pool:
        asked = [pool.submit(ask, served.client, name) for name in names * 3]
        assert [text(one.result()) for one in asked] == expected * 3
    loads = {one.model: one for one in served.app.state.serving.stats()}
    assert loads[tiny_model].adapters == len(adapters)
    assert sum(one.model == tiny_model for one in served.app.state.serving.stats()) == 1


@pytest.mark.parametrize(
    ("options", "param", "said"),
    [
        ({"logit_bias": {"5": 101}}, "logit_bias", "not from -100 to 100"),
        ({"logit_bias": {"five": 1}}, "logit_bias", "'five' is not the id of a token"),
        ({"logit_bias": {"999999": 1}}, "logit_bias", "no token 999999"),
        ({"frequency_penalty": 2.5}, "frequency_penalty", "less than or equal to 2"),
        ({"presence_penalty": -2.5}, "presence_penalty", "greater than or equal to -2"),
        ({"tool_choice": "required"}, "tool_choice", "only allowed when 'tools' are specified"),
        ({"extra_body": {"top_k": 5}}, "top_k", "Unknown parameter"),
        ({"temperature": 3}, "temperature", "less than or equal to 2"),
        ({"top_logprobs": 3}, None, "needs logprobs"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "at most 4"),
        ({"stop": ""}, "stop", "empty"),
        ({"n": 0}, "n", "greater than or equal to 1"),
        ({"messages": []}, "messages", "at least 1"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            None,
            "image",
        ),
        ({"max_completion_tokens": 600}, "messages", "maximum context length is 512"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(served, options, param, said):
    with pytest.raises(openai.BadRequestError, match=said) as refused:
        ask(served.client, **options)
    if param is not None:
        assert refused.value.param == param


def test_parameters_that_change_nothing_are_taken(served):
    options = {
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "logit_bias": {},
        "store": False,
        "service_tier": "auto",
        "user": "somebody",
        "metadata": {"run": "1"},
    }
    assert text(ask(served.client, **options)) == text(ask(served.client))
    parts = [{**one, "content": [{"type": "text", "text": one["content"]}]} for one in NOTE]
    assert text(ask(served.client, messages=parts)) == text(ask(served.client))


def test_no_such_model(served):
    with pytest.raises(openai.NotFoundError) as refused:
        ask(served.client, "gpt-17")
    assert refused.value.code == "model_not_found"


def test_a_client_that_hangs_up_stops_the_work(served):
    serving = served.app.state.serving
    body = {"model": "tiny", "messages": NOTE, "max_tokens": 400, "temperature": 1, "n": 4}
    for stream in (True, False):
        before = completed(served.url)
        hang_up(served.url, body | {"stream": stream})
        wait_for(lambda: serving.in_progress == 0 and not any(one.running for one in serving.stats()))
        assert completed(served.url) == before


def hang_up(url: str, body: Any) -> None:
    """Ask, and close the connection once the answer is under way."""
    address = f"{url}/v1/chat/completions"
    if body["stream"]:
        with httpx.stream("POST", address, json=body, timeout=60) as stream:
            next(stream.iter_lines())
    else:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(address, json=body, timeout=httpx.Timeout(60, read=0.3))


def completed(url: str) -> float:
    metrics = httpx.get(f"{url}/metrics").text
    lines = [one for one in metrics.splitlines() if one.startswith('ftkit_chat_tokens_total{kind="completion"}')]
    return float(lines[0].split()[-1]) if lines else 0.0


def wait_for(what: Any, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_hundred_at_once_are_all_answered(served):
    with ThreadPoolExecutor(100) as pool:
        gate = threading.Barrier(100)

        def one(number: int) -> Any:
            gate.wait()
            asked = [NOTE[0], {"role": "user", "content": f"Note {number % 10}."}]
            return text(ask(served.client, messages=asked, max_completion_tokens=8))

        found = list(pool.map(one, range(100)))
    assert all(found[number] == found[number % 10] for number in range(100))
    assert len(set(found)) > 1


def test_health_and_metrics(served):
    assert httpx.get(f"{served.url}/health").json() == {"status": "ok"}
    ask(served.client)
    metrics = httpx.get(f"{served.url}/metrics").text
    for name in ('ftkit_chat_requests_total{status="200"}', "ftkit_model_bytes", "ftkit_chat_seconds_bucket"):
        assert name in metrics


ODD: list[Any] = [None, True, 0, -1, 3, 2**70, 0.5, -0.1, 1e308, "", "x", [], ["x"], [None], {}, {"type": "function"}]


@pytest.mark.parametrize(
    "field",
    [
        *("model", "messages", "n", "seed", "stop", "stream", "stream_options", "temperature", "top_p", "tools"),
        *("max_tokens", "max_completion_tokens", "logprobs", "top_logprobs", "response_format", "tool_choice"),
        *("parallel_tool_calls", "metadata", "user", "logit_bias", "modalities", "unheard_of"),
    ],
)
def test_nothing_that_is_said_breaks_the_server(served, field):
    with httpx.Client(timeout=60) as client:
        for value in ODD:
            body = {"model": "tiny", "messages": NOTE, "max_tokens": 1, field: value}
            if field == "messages" and isinstance(value, list | str):
                body["messages"] = [{"role": "user", "content": value}]
            answer = client.post(f"{served.url}/v1/chat/completions", json=body)
            assert answer.status_code in (200, 400, 404), (value, answer.text)
            if answer.status_code >= 400:
                assert answer.json()["error"]["message"]
