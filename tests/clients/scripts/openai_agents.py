"""OpenAI's agents SDK with chat completions: its tools are strict, and an agent may have an output type besides."""

import asyncio
from typing import Literal

from agents import (
    Agent,
    ModelSettings,
    Runner,
    function_tool,
    set_default_openai_api,
    set_default_openai_client,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from pydantic import BaseModel
from steps import MODEL, QUESTION, URL, run

set_default_openai_api("chat_completions")
set_tracing_disabled(True)
reserved: list[tuple[int, str]] = []


class Bed(BaseModel):
    number: Literal[4, 5, 12]
    ward: Literal["A", "B"]


@function_tool
def reserve(number: Literal[4, 5, 12], ward: Literal["A", "B"] = "A") -> str:
    """Reserve a bed."""
    reserved.append((number, ward))
    return f"bed {number} is reserved"


def agent(**options: object) -> Agent:
    # A client belongs to one event loop, and each run of a step has its own.
    set_default_openai_client(AsyncOpenAI(base_url=URL, api_key="any", max_retries=0), use_for_tracing=False)
    settings = {"max_tokens": 60, **options.pop("settings", {})}
    return Agent(
        name="nurse", instructions="Be brief.", model=MODEL, model_settings=ModelSettings(**settings), **options
    )


def chat() -> None:
    assert Runner.run_sync(agent(settings={"max_tokens": 8}), QUESTION).final_output


def stream() -> None:
    async def read() -> None:
        streamed = Runner.run_streamed(agent(settings={"max_tokens": 8}), QUESTION)
        assert [event async for event in streamed.stream_events()]
        assert streamed.final_output

    asyncio.run(read())


def tools() -> None:
    settings = {"tool_choice": "required", "parallel_tool_calls": False}
    found = Runner.run_sync(agent(tools=[reserve], settings=settings, tool_use_behavior="stop_on_first_tool"), QUESTION)
    assert found.final_output == f"bed {reserved[-1][0]} is reserved"
    # Without a required call the model may call or not; a call that it makes has valid arguments.
    Runner.run_sync(agent(tools=[reserve], tool_use_behavior="stop_on_first_tool"), QUESTION)


def structured() -> None:
    assert isinstance(Runner.run_sync(agent(output_type=Bed), QUESTION).final_output, Bed)


run(chat=chat, stream=stream, tools=tools, structured=structured)
