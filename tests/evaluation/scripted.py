"""A model whose answers are written down, and small datasets to ask it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from ftkit.backends import Answer, OnAnswer, Request, Sampling
from ftkit.data import Dataset
from ftkit.task import Task


class Visit(BaseModel):
    """What a clinic note says."""

    name: str
    age: int
    drug: str | None = None


VISITS = Task("Extract the visit.", input="{note}", output=Visit)
TRIAGE = Task("How urgent is it?", input="{note}", output=Literal["urgent", "soon", "later"])
ECHO = Task("Say it again.", input="{note}")


class ScriptedModel:
    """Answers the user's text with what the table holds for it: a text, or a whole :class:`Answer`."""

    def __init__(self, task: Task, answers: Mapping[str, str | Answer], name: str = "scripted") -> None:
        self.task = task
        self.name = name
        self.sampling = Sampling()
        self.asked: list[Request] = []
        self._answers = answers

    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling | None = None, on_answer: OnAnswer | None = None
    ) -> list[Answer]:
        self.asked += requests
        answers = [self._answer(request) for request in requests]
        for index, answer in enumerate(answers):
            if on_answer is not None:
                on_answer(index, answer)
        return answers

    def about(self) -> dict[str, Any]:
        return {"device": "paper", "versions": {"script": "1"}, "shape": (1, 2)}

    def _answer(self, request: Request) -> Answer:
        found = self._answers[request.messages[-1]["content"]]
        return found if isinstance(found, Answer) else answered(found)


def answered(text: str, cost: float | None = None, latency: float = 0.5) -> Answer:
    return Answer(text=text, finish_reason="stop", input_tokens=10, output_tokens=4, latency_s=latency, cost_usd=cost)


def failed(reason: str) -> Answer:
    return Answer(text="", finish_reason="error", input_tokens=0, output_tokens=0, latency_s=0.0, error=reason)


def visit(number: int, **changes: Any) -> dict[str, Any]:
    return {"name": f"P{number}", "age": 20 + number, "drug": None, **changes}


def dataset(
    folder: Path, task: Task, targets: Sequence[Any], groups: Sequence[str] | None = None, name: str = "rows.jsonl"
) -> Dataset:
    """Rows ``r0``, ``r1``, … that ask ``note 0``, ``note 1``, …"""
    lines = []
    for index, target in enumerate(targets):
        row = {"id": f"r{index}", "note": f"note {index}", "wanted": target}
        if groups is not None:
            row["patient"] = groups[index]
        lines.append(json.dumps(row))
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Dataset.load(path, task, target="wanted", id="id", group="patient" if groups else None)


def answers(values: Sequence[Any]) -> dict[str, Any]:
    """The table of a model that says ``values``, JSON for what is not yet text."""
    return {
        f"note {index}": value if isinstance(value, str | Answer) else json.dumps(value)
        for index, value in enumerate(values)
    }
