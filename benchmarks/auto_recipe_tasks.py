"""The six tasks of ``auto_recipe.py``: public rows, with what counts as a right answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, create_model

import ftkit as ft

EXAMPLES = Path(__file__).parents[1] / "examples"


@dataclass(frozen=True)
class Trial:
    """A task with its rows: those to train on, and others to score.

    ``chosen_by_loss``: recipes are compared by the loss of the right answers, because the metric is 0 on nearly all
    rows, or a row more or less is more than the difference that is looked for.
    """

    task: ft.Task
    train: ft.Dataset
    test: ft.Dataset
    metric: str
    max_output_tokens: int
    chosen_by_loss: bool = False


def read(*files: Path) -> list[dict[str, Any]]:
    """Read JSON Lines."""
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def trial(
    task: ft.Task, rows: Iterable[Mapping[str, Any]], test: Iterable[Mapping[str, Any]], metric: str, tokens: int
) -> Trial:
    """Put rows with a ``gold`` column into a trial."""
    made = [ft.Dataset.from_rows([dict(row) for row in part], task, target="gold") for part in (rows, test)]
    return Trial(task, *made, metric, tokens)


def shorter_half(rows: list[dict[str, Any]], test: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], ...]:
    """The rows of both parts that are no longer than the middle one to train on: a sweep pays for every token."""
    sizes = [len(json.dumps(row)) for row in rows]
    limit = sorted(sizes)[len(sizes) // 2]
    return tuple([row for row in part if len(json.dumps(row)) <= limit] for part in (rows, test))


def addresses(data: Path) -> Trial:
    """Fourteen nullable fields of an American address."""
    rows, test = (read(data / "addresses" / f"{name}.jsonl") for name in ("train", "validation"))
    fields: dict[str, Any] = dict.fromkeys(rows[0]["parts"], (str | None, ...))
    task = ft.Task("Split the address into its parts.", input="{address}", output=create_model("Address", **fields))
    gold = [[{"address": row["address"], "gold": row["parts"]} for row in part] for part in (rows, test)]
    return trial(task, *gold, "mean_field_accuracy", 200)


def snips(data: Path) -> Trial:
    """Seven intents."""
    rows, test = (read(data / "snips" / f"{name}.jsonl") for name in ("train", "validation"))
    intents = tuple(sorted({row["intent"] for row in rows}))
    task = ft.Task("What does the user want?", input="{text}", output=Literal[intents])  # type: ignore[valid-type]
    gold = [[{"text": row["text"], "gold": row["intent"]} for row in part] for part in (rows, test)]
    return trial(task, *gold, "accuracy", 12)


def gsm8k(data: Path) -> Trial:
    """Word problems (the shorter half); the number after ``####`` counts."""
    rows, test = shorter_half(*(read(data / "gsm8k" / f"{name}.jsonl") for name in ("train", "test")))
    task = ft.Task("Solve the problem. End with #### and the number.", input="{question}")
    gold = [[{"question": row["question"], "gold": row["answer"]} for row in part] for part in (rows, test)]
    return replace(trial(task, *gold, "same_number", 200), chosen_by_loss=True)


def bfcl(data: Path) -> Trial:
    """One call as JSON (the shorter half); a test set: every fourth row is scored, the others are trained on.

    The functions are a part of the prompt, because the model's chat template leaves tools out.
    """

    def call(row: Mapping[str, Any]) -> dict[str, Any]:
        [(name, wanted)] = row["ground_truth"][0].items()
        arguments = {argument: values[0] for argument, values in wanted.items() if values[0] != ""}
        [[question]] = row["question"]
        gold = json.dumps({"name": name, "arguments": arguments})
        return {"functions": json.dumps(row["function"]), "question": question["content"], "gold": gold}

    rows = [call(row) for row in read(data / "bfcl" / "multiple.jsonl", data / "bfcl" / "simple_python.jsonl")]
    task = ft.Task("Call one of the functions, as JSON.", input="{functions}\n\n{question}")
    parts = shorter_half([row for at, row in enumerate(rows) if at % 4], rows[::4])
    # A row of 60 is 4 % of the calls that are right.
    return replace(trial(task, *parts, "same_call", 128), chosen_by_loss=True)


def sql(data: Path) -> Trial:
    """Questions to SQL (the shorter half), equal but for spaces."""
    rows, test = shorter_half(*(read(data / "sql" / f"{name}.jsonl") for name in ("train", "test")))
    task = ft.Task("Translate the question to SQL.", input="{question}")
    gold = [[{"question": row["question"], "gold": row["sql"]} for row in part] for part in (rows, test)]
    return replace(trial(task, *gold, "normalised_match", 200), chosen_by_loss=True)


class Visit(BaseModel):
    """What a clinic note says."""

    patient_name: str
    age: int
    diagnosis: str
    medication: str | None
    follow_up_days: int | None


def visits(data: Path) -> Trial:
    """The demo's clinic notes."""
    task = ft.Task("Extract the visit record from the clinic note.", input="{note}", output=Visit)
    rows = ft.Dataset.load(EXAMPLES / "visits" / "visits.jsonl", task, target="record")
    return Trial(task, *rows.split(test=0.2, group_by="patient_id", seed=7), "mean_field_accuracy", 72)


TASKS: dict[str, Callable[[Path], Trial]] = {
    each.__name__: each for each in (addresses, snips, gsm8k, bfcl, sql, visits)
}


def same_number(row: Any) -> bool | None:
    """Whether the number after the last ``####`` is the wanted one."""

    def number(text: str) -> str:
        return re.sub(r"[^0-9.-]", "", text.rpartition("####")[2]) if "####" in text else ""

    return number(row.text) == number(str(row.target)) != ""


def same_call(row: Any) -> bool | None:
    """Whether the answer is the wanted call, in whatever order and spacing."""
    try:
        return bool(json.loads(row.text) == json.loads(row.target))
    except ValueError:
        return False


METRICS = {each.__name__: each for each in (same_number, same_call)}


def metric_of(tried: Trial) -> Any:
    """What a report needs to measure a trial's metric: its name, or the function where it is defined here."""
    return METRICS.get(tried.metric, tried.metric)
