"""OpenAI's client for Python, with its helpers for pydantic."""

import time
from typing import Literal

import openai
from openai import OpenAI
from pydantic import BaseModel
from steps import MODEL, QUESTION, ROWS, URL, run

client = OpenAI(base_url=URL, api_key="any", max_retries=0)
ASK = [{"role": "user", "content": QUESTION}]


class Bed(BaseModel):
    """A bed of a ward."""

    number: Literal[4, 5, 12]
    ward: Literal["A", "B"] | None


def chat() -> None:
    reply = client.chat.completions.create(model=MODEL, messages=ASK, max_completion_tokens=8, frequency_penalty=0.5)
    assert reply.choices[0].message.content
    assert reply.usage.completion_tokens <= 8


def stream() -> None:
    options = {"max_tokens": 8, "stream": True, "stream_options": {"include_usage": True}}
    *chunks, last = client.chat.completions.create(model=MODEL, messages=ASK, **options)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert last.usage.completion_tokens <= 8
    with client.chat.completions.stream(model=MODEL, messages=ASK, response_format=Bed) as events:
        assert isinstance(events.get_final_completion().choices[0].message.parsed, Bed)


def tools() -> None:
    tool = openai.pydantic_function_tool(Bed, name="reserve")
    assert tool["function"]["strict"] is True
    options = {"tools": [tool], "tool_choice": "required", "parallel_tool_calls": False}
    reply = client.chat.completions.parse(model=MODEL, messages=ASK, **options)
    [call] = reply.choices[0].message.tool_calls
    assert isinstance(call.function.parsed_arguments, Bed)
    turns = [reply.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "done"}]
    again = client.chat.completions.create(model=MODEL, messages=[*ASK, *turns], tools=[tool], max_tokens=8)
    assert again.choices[0].finish_reason


def structured() -> None:
    reply = client.chat.completions.parse(model=MODEL, messages=ASK, response_format=Bed)
    assert isinstance(reply.choices[0].message.parsed, Bed)


def tune() -> None:
    with open(ROWS, "rb") as rows:
        file = client.files.create(file=rows, purpose="fine-tune")
    method = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1}}}
    job = client.fine_tuning.jobs.create(model=MODEL, training_file=file.id, method=method)
    while job.status not in ("succeeded", "failed", "cancelled"):
        time.sleep(0.3)
        job = client.fine_tuning.jobs.retrieve(job.id)
    assert job.status == "succeeded", job.error
    reply = client.chat.completions.create(model=job.fine_tuned_model, messages=ASK, max_tokens=4)
    assert reply.model == job.fine_tuned_model


run(chat=chat, stream=stream, tools=tools, structured=structured, tune=tune)
