"""instructor, whose default mode names the one tool that must be called."""

from typing import Literal

import instructor
from openai import OpenAI
from pydantic import BaseModel
from steps import MODEL, QUESTION, URL, run

ASK = [{"role": "user", "content": QUESTION}]
OPTIONS = {"model": MODEL, "messages": ASK, "max_tokens": 120, "max_retries": 1}


class Bed(BaseModel):
    number: Literal[4, 5, 12]
    ward: Literal["A", "B"]


def client(mode: instructor.Mode = instructor.Mode.TOOLS) -> instructor.Instructor:
    return instructor.from_openai(OpenAI(base_url=URL, api_key="any", max_retries=0), mode=mode)


def structured() -> None:
    assert isinstance(client().create(response_model=Bed, **OPTIONS), Bed)
    for mode in (instructor.Mode.TOOLS_STRICT, instructor.Mode.JSON_SCHEMA):
        assert isinstance(client(mode).create(response_model=Bed, **OPTIONS), Bed)


def tools() -> None:
    beds, reply = client().create_with_completion(response_model=Bed, **OPTIONS)
    assert reply.choices[0].message.tool_calls[0].function.name == "Bed"
    assert beds.ward in ("A", "B")


def stream() -> None:
    assert [*client().create_partial(response_model=Bed, **OPTIONS)][-1].number in (4, 5, 12)


run(structured=structured, tools=tools, stream=stream)
