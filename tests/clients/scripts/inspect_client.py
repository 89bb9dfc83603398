"""inspect_ai: evaluations through its provider for OpenAI-compatible servers."""

import tempfile
from typing import Literal

import inspect_ai
from inspect_ai.dataset import Sample
from inspect_ai.model import ResponseSchema, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, use_tools
from inspect_ai.tool import ToolFunction, tool
from inspect_ai.util import json_schema
from pydantic import BaseModel
from steps import MODEL, QUESTION, URL, run

model = get_model(f"openai-api/ftkit/{MODEL}", base_url=URL, api_key="any")
called: list[int] = []
logs = tempfile.TemporaryDirectory()


class Bed(BaseModel):
    number: Literal[4, 5, 12]
    ward: Literal["A", "B"]


@tool
def reserve() -> object:
    async def execute(number: int, ward: str = "A") -> str:
        """Reserve a bed.

        Args:
            number: The number of the bed.
            ward: The ward.
        """
        called.append(number)
        return f"bed {number} is reserved"

    return execute


def evaluated(*solvers: object, **config: object) -> object:
    config = {"max_tokens": 60, "max_retries": 0, **config}
    data = [Sample(input=QUESTION, target="bed")]
    options = {"log_dir": logs.name, "display": "none", "fail_on_error": True}
    task = inspect_ai.Task(dataset=data, solver=[*solvers, generate()], scorer=includes())
    [log] = inspect_ai.eval(task, model=model, **options, **config)
    assert log.status == "success", log.error
    return log.samples[0].output


def chat() -> None:
    output = evaluated(frequency_penalty=0.5, presence_penalty=0.1, logit_bias={100: -5}, seed=1, logprobs=True)
    assert output.completion


def structured() -> None:
    form = ResponseSchema(name="bed", json_schema=json_schema(Bed), strict=True)
    Bed.model_validate_json(evaluated(response_schema=form).completion)


def tools() -> None:
    evaluated(use_tools(reserve(), tool_choice=ToolFunction(name="reserve")), max_tokens=200, seed=3)
    assert called


run(chat=chat, structured=structured, tools=tools)
