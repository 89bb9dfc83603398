"""OpenAI's agents SDK with its default, the Responses API, and with chat completions.

Its tools are strict, and an agent may have an output type besides.
"""

import asyncio
from collections.abc import Callable
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


def each_api(step: Callable[[], object]) -> Callable[[], object]:
    def with_each() -> None:
        for api in ("responses", "chat_completions"):
            set_default_openai_api(api)
            step()

    return with_each


def chat() -> None:
    set_default_openai_api("chat_completions")
    assert Runner.run_sync(agent(settings={"max_tokens": 8}), QUESTION).final_output
    # The SDK takes a response that reached its limit for an error, so the answers of this model are held to a schema.
    set_default_openai_api("responses")
    found = Runner.run_sync(agent(output_type=Bed), QUESTION)
    assert isinstance(found.final_output, Bed)
    # The second turn names the first response, which the server has.
    again = Runner.run_sync(agent(output_type=Bed), "Which one?", previous_response_id=found.last_response_id)
    assert isinstance(again.final_output, Bed)


def stream() -> None:
    async def read() -> None:
        streamed = Runner.run_streamed(agent(output_type=Bed), QUESTION)
        assert [event async for event in streamed.stream_events()]
        assert isinstance(streamed.final_output, Bed)

    asyncio.run(read())


def tools() -> None:
    settings = {"tool_choice": "required", "parallel_tool_calls": False}
    stop = {"tools": [reserve], "tool_use_behavior": "stop_on_first_tool"}
    found = Runner.run_sync(agent(settings=settings, **stop), QUESTION)
    assert found.final_output == f"bed {reserved[-1][0]} is reserved"
    # The next turn has the call and its result.
    again = [*found.to_input_list(), {"role": "user", "content": "Which one?"}]
    assert isinstance(Runner.run_sync(agent(output_type=Bed), again).final_output, Bed)
    # Without a required call the model may call or answer; a call that it makes has valid arguments.
    Runner.run_sync(agent(output_type=Bed, **stop), QUESTION)


def structured() -> None:
    assert isinstance(Runner.run_sync(agent(output_type=Bed), QUESTION).final_output, Bed)


run(chat=chat, stream=each_api(stream), tools=each_api(tools), structured=each_api(structured))
