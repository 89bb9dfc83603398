"""LiteLLM's Python functions, with files and fine-tuning jobs."""

import time
from typing import Literal

import litellm
from pydantic import BaseModel
from steps import MODEL, QUESTION, ROWS, URL, run

ADDRESS = {"api_base": URL, "api_key": "any"}
CHAT = {"model": f"openai/{MODEL}", "messages": [{"role": "user", "content": QUESTION}], "num_retries": 0, **ADDRESS}


class Bed(BaseModel):
    number: Literal[4, 5, 12]
    ward: Literal["A", "B"]


def chat() -> None:
    reply = litellm.completion(**CHAT, max_tokens=8, frequency_penalty=0.2, logit_bias={"100": -5})
    assert reply.choices[0].message.content


def stream() -> None:
    chunks = [*litellm.completion(**CHAT, max_tokens=8, stream=True)]
    assert litellm.stream_chunk_builder(chunks).choices[0].message.content


def tools() -> None:
    schema = {
        "type": "object",
        "properties": {"number": {"type": "integer", "enum": [4, 5, 12]}},
        "required": ["number"],
    }
    offered = [{"type": "function", "function": {"name": "reserve", "parameters": schema}}]
    named = {"type": "function", "function": {"name": "reserve"}}
    reply = litellm.completion(**CHAT, tools=offered, tool_choice=named)
    assert reply.choices[0].message.tool_calls[0].function.name == "reserve"


def structured() -> None:
    Bed.model_validate_json(litellm.completion(**CHAT, response_format=Bed).choices[0].message.content)


def tune() -> None:
    provider = {"custom_llm_provider": "openai", **ADDRESS}
    with open(ROWS, "rb") as rows:
        file = litellm.create_file(file=rows, purpose="fine-tune", **provider)
    options = {"hyperparameters": {"n_epochs": 1}}
    job = litellm.create_fine_tuning_job(model=MODEL, training_file=file.id, **options, **provider)
    while job.status not in ("succeeded", "failed", "cancelled"):
        time.sleep(0.3)
        job = litellm.retrieve_fine_tuning_job(fine_tuning_job_id=job.id, **provider)
    assert job.status == "succeeded", job


run(chat=chat, stream=stream, tools=tools, structured=structured, tune=tune)
