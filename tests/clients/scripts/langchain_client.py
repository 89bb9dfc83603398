"""LangChain's ``ChatOpenAI``, with every method of ``with_structured_output``."""

from typing import Literal

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field
from steps import MODEL, QUESTION, URL, run

model = ChatOpenAI(model=MODEL, base_url=URL, api_key="any", max_retries=0, max_tokens=60)


class Bed(BaseModel):
    """A bed of a ward."""

    number: Literal[4, 5, 12] = Field(description="the number of the bed")
    ward: Literal["A", "B"] = Field(description="the ward")


@tool
def reserve(number: Literal[4, 5, 12]) -> str:
    """Reserve a bed."""
    return f"bed {number} is reserved"


def chat() -> None:
    short = ChatOpenAI(
        model=MODEL, base_url=URL, api_key="any", max_tokens=8, presence_penalty=0.5, logit_bias={"100": -5}, seed=1
    )
    assert short.invoke(QUESTION).content
    assert len(short.batch([QUESTION, "And now?"])) == 2


def stream() -> None:
    assert "".join(chunk.content for chunk in model.stream(QUESTION))


def tools() -> None:
    for options in ({"tool_choice": "any"}, {"tool_choice": "reserve"}, {"tool_choice": "reserve", "strict": True}):
        answer = model.bind_tools([reserve], parallel_tool_calls=False, **options).invoke(QUESTION)
        [call] = answer.tool_calls
        assert call["args"]["number"] in (4, 5, 12)
    result = ToolMessage(reserve.invoke(call["args"]), tool_call_id=call["id"])
    assert model.bind_tools([reserve]).invoke([HumanMessage(QUESTION), answer, result])


def structured() -> None:
    for method in ("json_schema", "function_calling"):
        for strict in (None, True):
            assert isinstance(model.with_structured_output(Bed, method=method, strict=strict).invoke(QUESTION), Bed)


run(chat=chat, stream=stream, tools=tools, structured=structured)
