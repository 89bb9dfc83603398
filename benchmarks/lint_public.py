"""What `ftkit lint` flags in five public data sets, and how much of it is right.

    python benchmarks/lint_public.py FOLDER [--list] [--only NAME …]

FOLDER holds `addresses`, `bfcl`, `gsm8k`, `snips` and `sql` as JSON Lines. Every finding was read, and labelled `right`
or `wrong` in `lint_public/labels.csv`, by data set, split, row and rule; the files themselves are not part of ftkit.
`--list` prints every finding with its label.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import ftkit as ft

LABELS = Path(__file__).parent / "lint_public" / "labels.csv"
Rows = list[dict[str, Any]]
Key = tuple[str, str, int, str]
"""Data set, split, row from 1 (0 for all rows together), and rule."""


def read(path: Path) -> Rows:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def table(task: Callable[[Rows], ft.Task], target: str, splits: tuple[str, str]) -> Callable[[Path], list[ft.Dataset]]:
    """Open two files of a table."""

    def opened(folder: Path) -> list[ft.Dataset]:
        files = [read(folder / f"{split}.jsonl") for split in splits]
        used = task(files[0])
        named = zip(files, splits, strict=True)
        return [ft.Dataset.from_rows(rows, used, target=target, name=split) for rows, split in named]

    return opened


def address_task(rows: Rows) -> ft.Task:
    names = list(rows[0]["parts"])
    parts = {name: {"type": ["string", "null"]} for name in names}
    schema = {"type": "object", "properties": parts, "required": names}
    return ft.Task("Split the US address into its parts.", input="{address}", output=schema)


def intent_task(rows: Rows) -> ft.Task:
    intents: Any = Literal[tuple(sorted({row["intent"] for row in rows}))]
    return ft.Task("Choose the intent.", input="{text}", output=intents)


def slots_as_text(folder: Path) -> list[ft.Dataset]:
    """The slots as JSON without a schema."""
    task = ft.Task("Find the slots.", input="{text}")
    opened = []
    for split in ("train", "validation"):
        rows = [{**row, "slots": json.dumps(row["slots"])} for row in read(folder / f"{split}.jsonl")]
        opened.append(ft.Dataset.from_rows(rows, task, target="slots", name=split))
    return opened


_PYTHON_TYPES = {"dict": "object", "float": "number", "tuple": "array", "list": "array"}


def json_schema(python: Any) -> Any:
    """The parameters of a function in JSON Schema; the data set names Python's types."""
    if not isinstance(python, dict):
        return python
    schema = {key: value for key, value in python.items() if key != "optional"}
    kind = schema.get("type")
    if kind == "any":
        del schema["type"]
    elif isinstance(kind, str):
        schema["type"] = _PYTHON_TYPES.get(kind, kind)
    if isinstance(schema.get("properties"), dict):
        schema["properties"] = {name: json_schema(part) for name, part in schema["properties"].items()}
    if "items" in schema:
        schema["items"] = json_schema(schema["items"])
    return schema


def first_allowed(values: Any, schema: Any) -> Any:
    """The first of the values that the data set allows, at every depth; ``""`` means that it may be left out."""
    kept = [value for value in values if value != ""] if isinstance(values, list) else [values]
    if not kept:
        return ""
    return plain(kept[0], schema if isinstance(schema, dict) else {})


def plain(value: Any, schema: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        parts = schema.get("properties", {})
        chosen = {name: first_allowed(allowed, parts.get(name)) for name, allowed in value.items()}
        return {name: item for name, item in chosen.items() if item != ""}
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [plain(item, schema["items"]) for item in value]
    return value


def tool_rows(rows: Rows) -> Rows:
    """Questions with one call, as conversations with tools."""
    made = []
    for row in rows:
        functions = [{**each, "parameters": json_schema(each["parameters"])} for each in row["function"]]
        schemas = {each["name"]: each["parameters"] for each in functions}
        calls = []
        for number, call in enumerate(row["ground_truth"]):
            ((name, given),) = call.items()
            arguments = json.dumps(plain(given, schemas[name]))
            function = {"name": name, "arguments": arguments}
            calls.append({"id": f"call_{number}", "type": "function", "function": function})
        turns = [*row["question"][0], {"role": "assistant", "tool_calls": calls}]
        tools = [{"type": "function", "function": each} for each in functions]
        made.append({"id": row["id"], "messages": turns, "tools": tools})
    return made


def bfcl(folder: Path) -> list[ft.Dataset]:
    splits = ("simple_python", "multiple")
    return [ft.Dataset.from_rows(tool_rows(read(folder / f"{split}.jsonl")), name=split) for split in splits]


def text_task(instructions: str) -> Callable[[Rows], ft.Task]:
    return lambda rows: ft.Task(instructions, input="{question}")


DATA_SETS: dict[str, tuple[str, Callable[[Path], list[ft.Dataset]]]] = {
    "addresses": ("addresses", table(address_task, "parts", ("train", "validation"))),
    "bfcl": ("bfcl", bfcl),
    "gsm8k": ("gsm8k", table(text_task("Solve the problem."), "answer", ("train", "test"))),
    "snips intents": ("snips", table(intent_task, "intent", ("train", "validation"))),
    "snips slots": ("snips", slots_as_text),
    "sql": ("sql", table(text_task("Write the query."), "sql", ("train", "test"))),
}


def labels() -> dict[Key, str]:
    if not LABELS.exists():
        return {}
    with LABELS.open(encoding="utf-8", newline="") as file:
        return {(row["data"], row["split"], int(row["row"]), row["rule"]): row["label"] for row in csv.DictReader(file)}


def findings(name: str, folder: Path) -> Iterator[tuple[Key, Any]]:
    """The findings, the first one of each row and rule."""
    under, opened = DATA_SETS[name]
    train, test = opened(folder / under)
    first: dict[Key, Any] = {}
    for found in ft.lint(train, test, keep=100_000).findings:
        first.setdefault((name, found.split or "", found.line or 0, found.code), found)
    yield from first.items()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--only", nargs="*", choices=DATA_SETS, default=list(DATA_SETS))
    options = parser.parse_args()
    known = labels()
    counts: dict[str, Counter[tuple[str, str]]] = {}
    for name in options.only:
        for key, found in findings(name, options.folder):
            label = known.get(key, "unread")
            counts.setdefault(found.code, Counter())[name, label] += 1
            if options.list:
                place = f"{name}\t{key[1]}\t{key[2]}\t{found.code}\t{label}"
                print(f"{place}\t{found.path}\t{found.message}\t{found.excerpt}\t{', '.join(found.related)}")
    if options.list:
        return
    print(f"{'rule':6}{'rows':>6}{'right':>7}{'precision':>11}  where")
    total, right = 0, 0
    for code, by_place in sorted(counts.items()):
        rows = sum(by_place.values())
        correct = sum(count for (_, label), count in by_place.items() if label == "right")
        unread = sum(count for (_, label), count in by_place.items() if label == "unread")
        total, right = total + rows, right + correct
        names = Counter[str]()
        for (name, _), count in by_place.items():
            names[name] += count
        where = ", ".join(f"{name} {count}" for name, count in names.items()) + f" ({unread} unread)" * bool(unread)
        print(f"{code:6}{rows:>6}{correct:>7}{correct / rows:>11.2f}  {where}")
    print(f"{'all':6}{total:>6}{right:>7}{right / max(1, total):>11.2f}")


if __name__ == "__main__":
    main()
