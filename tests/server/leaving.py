"""An account at a fake of OpenAI with a model that was tuned on the triage messages, for docs/leaving-openai.md."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Literal, get_args

import openai

import ftkit as ft
from tests.hosts.openai_host import OpenAIFake

MESSAGES = Path(__file__).parents[2] / "examples" / "triage" / "messages.jsonl"
Queue = Literal["billing", "bug", "how_to", "cancellation", "lost_property", "praise"]
LABELS = get_args(Queue)
MODEL = "gpt-4.1-mini-2025-04-14"


def write_rows(folder: Path) -> None:
    """Split the messages as the triage example does, and write both parts as OpenAI takes them."""
    task = ft.Task("Sort the customer's message into one queue.", input="{message}", output=Queue)
    data = ft.Dataset.load(MESSAGES, task, target="label", id="id")
    train, test = data.split(test=0.25, stratify_by="label", seed=3)
    train.take(96).write_openai(folder / "train.jsonl")
    test.take(40).write_openai(folder / "test.jsonl")


def scripted(folder: Path) -> OpenAIFake:
    """The fake, whose tuned model knows the test rows: nine of ten of its answers are right."""
    fake = OpenAIFake()
    fake.spec = None  # what it says is held to the OpenAPI file in the tests of hosts
    right = {}
    for line in (folder / "test.jsonl").read_text(encoding="utf-8").splitlines():
        messages = json.loads(line)["messages"]
        right[messages[-2]["content"]] = messages[-1]["content"]

    def answer(text: str) -> str:
        drawn = zlib.crc32(text.encode())
        return right.get(text, "bug") if drawn % 10 else LABELS[drawn % 6]

    fake.answers = answer
    return fake


def tune(fake: OpenAIFake, folder: Path) -> str:
    """Let the account have tuned its model; the job's id."""
    client = openai.OpenAI(base_url=f"{fake.url}/v1", api_key=fake.key)
    with (folder / "train.jsonl").open("rb") as rows:
        file = client.files.create(file=rows, purpose="fine-tune")
    job = client.fine_tuning.jobs.create(model=MODEL, training_file=file.id)
    while job.status != "succeeded":
        job = client.fine_tuning.jobs.retrieve(job.id)
    return job.id
