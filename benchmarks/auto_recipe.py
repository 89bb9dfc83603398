"""Which recipe is best on six small tasks, and what ``"auto"`` should be: a sweep, and rules fitted by leave-one-out.

    python benchmarks/auto_recipe.py sweep --data ../data --out sweep.jsonl [--tasks snips visits] [--points 24]
    python benchmarks/auto_recipe.py rules sweep.jsonl

``--data`` holds one folder for each public task: addresses, snips, gsm8k, bfcl, sql (JSON Lines; the loaders below say
which columns). ``examples/visits`` is the sixth. A point of the sweep is one recipe on one task: trained on ``--rows``
rows, scored on rows that it never saw. Each point is a line of ``--out`` when it is done; the same command goes on
where it was stopped, inside a point from its checkpoint. Points are drawn in a fixed order that covers the grid evenly,
so a sweep that was stopped early says something about all of it.

``rules`` fits one recipe for each task to the other tasks' points (the one with the highest mean share of each task's
best score), and prints how near it comes to the best of the sweep on the task that was left out.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import re
import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, create_model

import ftkit as ft
from ftkit.training.job import Job, train

GRID: dict[str, tuple[Any, ...]] = {
    "learning_rate": (2e-4, 5e-4, 1e-3, 2e-3),
    "epochs": (1, 2, 3, 5),
    "rank": (4, 8, 16, 32),
    "batch_size": (4, 8, 16),
    "lr_scheduler_type": ("linear", "cosine", "constant"),
}
EXAMPLES = Path(__file__).parents[1] / "examples"


@dataclass(frozen=True)
class Trial:
    """A task with its rows: those to train on, and others to score."""

    task: ft.Task
    train: ft.Dataset
    test: ft.Dataset
    metric: str
    max_output_tokens: int


def read(*files: Path) -> list[dict[str, Any]]:
    """Read JSON Lines."""
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def trial(
    task: ft.Task, rows: Iterable[Mapping[str, Any]], test: Iterable[Mapping[str, Any]], metric: str, tokens: int
) -> Trial:
    """Put rows with a ``gold`` column into a trial."""
    made = [ft.Dataset.from_rows([dict(row) for row in part], task, target="gold") for part in (rows, test)]
    return Trial(task, *made, metric, tokens)


def addresses(data: Path) -> Trial:
    """Fourteen nullable fields of an American address."""
    rows, test = (read(data / "addresses" / f"{name}.jsonl") for name in ("train", "validation"))
    fields: dict[str, Any] = dict.fromkeys(rows[0]["parts"], (str | None, ...))
    task = ft.Task("Split the address into its parts.", input="{address}", output=create_model("Address", **fields))
    gold = [[{"address": row["address"], "gold": row["parts"]} for row in part] for part in (rows, test)]
    return trial(task, *gold, "record_exact", 200)


def snips(data: Path) -> Trial:
    """Seven intents."""
    rows, test = (read(data / "snips" / f"{name}.jsonl") for name in ("train", "validation"))
    intents = tuple(sorted({row["intent"] for row in rows}))
    task = ft.Task("What does the user want?", input="{text}", output=Literal[intents])  # type: ignore[valid-type]
    gold = [[{"text": row["text"], "gold": row["intent"]} for row in part] for part in (rows, test)]
    return trial(task, *gold, "accuracy", 12)


def gsm8k(data: Path) -> Trial:
    """Word problems; the number after ``####`` counts."""
    rows, test = (read(data / "gsm8k" / f"{name}.jsonl") for name in ("train", "test"))
    task = ft.Task("Solve the problem. End with #### and the number.", input="{question}")
    gold = [[{"question": row["question"], "gold": row["answer"]} for row in part] for part in (rows, test)]
    return trial(task, *gold, "same_number", 200)


def bfcl(data: Path) -> Trial:
    """One tool call; a test set, of which every fourth row is scored and the others are trained on."""

    def conversation(row: Mapping[str, Any]) -> dict[str, Any]:
        [call] = row["ground_truth"]
        [(name, wanted)] = call.items()
        given = {argument: values[0] for argument, values in wanted.items() if values[0] != ""}
        answer = {"id": "call_0", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
        tools = [{"type": "function", "function": json_schema(function)} for function in row["function"]]
        messages = [*row["question"][0], {"role": "assistant", "content": None, "tool_calls": [answer]}]
        return {"messages": messages, "tools": tools}

    rows = [conversation(row) for row in read(data / "bfcl" / "multiple.jsonl", data / "bfcl" / "simple_python.jsonl")]
    parts = [row for at, row in enumerate(rows) if at % 4], rows[::4]
    made = [ft.Dataset.from_rows(part) for part in parts]
    return Trial(made[0].task, *made, "tool_calls_match", 128)


def json_schema(value: Any) -> Any:
    """BFCL's types as JSON Schema calls them."""
    if isinstance(value, list):
        return [json_schema(each) for each in value]
    if not isinstance(value, dict):
        return value
    names = {"dict": "object", "float": "number", "tuple": "array"}
    return {
        key: names.get(each, each) if key == "type" and isinstance(each, str) else json_schema(each)
        for key, each in value.items()
        if not (key == "type" and each == "any")
    }


def sql(data: Path) -> Trial:
    """Questions to SQL, equal but for spaces."""
    rows, test = (read(data / "sql" / f"{name}.jsonl") for name in ("train", "test"))
    task = ft.Task("Translate the question to SQL.", input="{question}")
    gold = [[{"question": row["question"], "gold": row["sql"]} for row in part] for part in (rows, test)]
    return trial(task, *gold, "normalised_match", 200)


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


def points(count: int) -> list[dict[str, Any]]:
    """Recipes of the grid, in a fixed order in which every value of every field comes up equally often."""
    draw = random.Random(16)
    columns = []
    for values in GRID.values():
        column = [value for _ in range(-(-count // len(values))) for value in draw.sample(values, len(values))]
        columns.append(column[:count])
    return [dict(zip(GRID, each, strict=True)) for each in zip(*columns, strict=True)]


def run_point(name: str, tried: Trial, point: Mapping[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Train and score one recipe."""
    from ftkit.evaluation.metrics import row_metric

    recipe = ft.SFT(adapter=ft.LoRA(rank=point["rank"]), **{key: point[key] for key in point if key != "rank"})
    folder = options.out.with_suffix("") / f"{name}-{recipe.fingerprint.removeprefix('sha256:')[:16]}"
    rows = tried.train.shuffle(0).take(options.rows)
    began = time.monotonic()
    summary = train(Job(recipe, rows, None, options.model, folder / "model"), lambda kind, data: None)
    metric = row_metric(same_number, "same_number") if tried.metric == "same_number" else tried.metric
    report = ft.evaluate(
        ft.Model(f"local:{folder / 'model'}", tried.task),
        tried.test.take(options.test),
        metrics=[metric],
        sampling=ft.Sampling(max_output_tokens=tried.max_output_tokens),
        probes=None,
        progress=False,
    )
    shutil.rmtree(folder)
    found = report[tried.metric]
    return {
        "task": name, "point": dict(point), "rows": len(rows), "test": options.test, "score": found.value,
        "low": found.low, "high": found.high, "loss": summary["train_loss"], "minutes": (time.monotonic() - began) / 60,
    }  # fmt: skip


def sweep(options: argparse.Namespace) -> None:
    """Run the points that ``--out`` does not have, task by task in turns."""
    done = read(options.out) if options.out.is_file() else []
    known = {(each["task"], json.dumps(each["point"], sort_keys=True)) for each in done if each["rows"] == options.rows}
    trials = {name: TASKS[name](options.data) for name in options.tasks}
    for point, name in itertools.product(points(options.points), trials):
        if (name, json.dumps(point, sort_keys=True)) in known:
            continue
        found = run_point(name, trials[name], point, options)
        with options.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")
        print(f"{name:10} {found['score']:.3f} in {found['minutes']:.1f} min  {point}", flush=True)


def rules(file: Path) -> None:
    """Print, for each task, the recipe that the others choose, and how near it comes to the best."""
    scores: dict[str, dict[str, float]] = {}
    for line in read(file):
        scores.setdefault(line["task"], {})[json.dumps(line["point"], sort_keys=True)] = line["score"]
    shared = set.intersection(*(set(each) for each in scores.values()))
    if len(scores) < 2 or not shared:
        raise SystemExit(
            f"{file}: rules need two tasks with the same points; it has {len(scores)}, {len(shared)} shared"
        )
    best = {name: max(each[point] for point in shared) for name, each in scores.items()}

    def mean_share(point: str, left_out: str) -> float:
        others = [each[point] / best[name] for name, each in scores.items() if name != left_out and best[name]]
        return statistics.mean(others) if others else math.nan

    print(f"{len(shared)} recipes on {len(scores)} tasks; the rule is fitted without the task that it is tried on")
    for name, each in scores.items():
        chosen = max(sorted(shared), key=lambda point: mean_share(point, name))
        share = each[chosen] / best[name] if best[name] else math.nan
        print(f"{name:10} best {best[name]:.3f}  rule {each[chosen]:.3f} ({share:.1%} of it)  {chosen}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    sweeping = commands.add_parser("sweep")
    sweeping.add_argument("--data", type=Path, default=Path("data"))
    sweeping.add_argument("--out", type=Path, required=True)
    sweeping.add_argument("--tasks", nargs="+", choices=sorted(TASKS), default=sorted(TASKS))
    sweeping.add_argument("--points", type=int, default=24)
    sweeping.add_argument("--rows", type=int, default=200)
    sweeping.add_argument("--test", type=int, default=80)
    sweeping.add_argument("--model", default="smollm2-135m")
    commands.add_parser("rules").add_argument("file", type=Path)
    options = parser.parse_args()
    if options.command == "sweep":
        sweep(options)
    else:
        rules(options.file)


if __name__ == "__main__":
    main()
