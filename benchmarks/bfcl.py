"""Tool calls on the Berkeley Function Calling Leaderboard's simple and multiple sets, base and tuned.

The rows and the checker are those of the package bfcl-eval (Apache-2.0), which is installed without its 30
requirements, because the checker needs none of them: ``pip install --no-deps bfcl-eval``.

The set is a test set. Here one part of it trains and the other is asked, so no value can be compared with the
leaderboard: the question is whether training teaches calls, by the set's own judgement.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
import tempfile
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import ftkit as ft
from ftkit.evaluation import RowMetric, RowResult

CATEGORIES = ("simple_python", "multiple")
TEMPLATE = Path(__file__).with_name("bfcl_tools.jinja")
"""A chat template with a place for tools, which SmolLM2's own does not have."""
_NAME = "ftkit"


def checker() -> Any:
    """Return the set's checker of calls, ``ast_checker``.

    Its module imports a table of every model on the leaderboard, and so the clients of twenty hosts. It reads one flag
    of it: whether a model's names have ``_`` for ``.``, as OpenAI's form of tools demands. This table has one model.
    """
    table = types.ModuleType("bfcl_eval.constants.model_config")
    table.MODEL_CONFIG_MAPPING = {_NAME: types.SimpleNamespace(underscore_to_dot=True)}
    sys.modules.setdefault(table.__name__, table)
    return importlib.import_module("bfcl_eval.eval_checker.ast_eval.ast_checker").ast_checker


def rows(category: str) -> Iterator[dict[str, Any]]:
    """The rows of a category, from the package, with the messages and tools that are made of them."""
    data = resources.files("bfcl_eval") / "data"
    asked = _lines((data / f"BFCL_v4_{category}.json").read_text(encoding="utf-8"))
    allowed = _lines((data / "possible_answer" / f"BFCL_v4_{category}.json").read_text(encoding="utf-8"))
    for question, answer in zip(asked, allowed, strict=True):
        if question["id"] != answer["id"]:
            raise ValueError(f"{question['id']} has no answer beside it")
        yield conversation({**question, "ground_truth": answer["ground_truth"], "category": category})


def conversation(row: Mapping[str, Any]) -> dict[str, Any]:
    """Write a row of the set as a chat with tools and the wanted calls, in OpenAI's form."""
    schemas = {function["name"]: function["parameters"] for function in row["function"]}
    calls = [
        {"type": "function", "function": {"name": _name(name), "arguments": json.dumps(_wanted(values, schemas[name]))}}
        for each in row["ground_truth"]
        for name, values in each.items()
    ]
    tools = [
        {
            "type": "function",
            "function": {
                **function,
                "name": _name(function["name"]),
                "parameters": json_schema(function["parameters"]),
            },
        }
        for function in row["function"]
    ]
    return {
        "id": row["id"],
        "messages": [*row["question"][0], {"role": "assistant", "content": None, "tool_calls": calls}],
        "tools": tools,
        **{name: row[name] for name in ("category", "function", "ground_truth")},
    }


_TYPES = {"float": "number", "dict": "object", "tuple": "array", "any": "string"}


def json_schema(described: Any) -> Any:
    """Write the set's description of parameters as JSON Schema, by the set's own table of types."""
    if isinstance(described, list):
        return [json_schema(item) for item in described]
    if not isinstance(described, Mapping):
        return described
    written = {key: json_schema(value) for key, value in described.items() if key != "optional"}
    if isinstance(written.get("type"), str):
        written["type"] = _TYPES.get(written["type"], written["type"])
    return written


def _wanted(allowed: Mapping[str, Sequence[Any]], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The first allowed value of each argument. ``""`` among the allowed values says that it may be left out."""
    wanted = {}
    for name, values in allowed.items():
        if name not in schema.get("required", ()) and "" in values:
            continue
        first = next((value for value in values if value != ""), values[0])
        wanted[name] = _value(first, schema.get("properties", {}).get(name, {}))
    return wanted


def _value(value: Any, schema: Mapping[str, Any]) -> Any:
    """A value; the keys of an object have lists of allowed values themselves."""
    if isinstance(value, Mapping):
        inner = schema if schema.get("properties") else schema.get("items", {})
        return {
            key: _value(allowed[0], inner.get("properties", {}).get(key, {}))
            for key, allowed in value.items()
            if allowed[0] != ""
        }
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        return [_value(item, schema.get("items", {})) for item in value]
    return value


@dataclass(frozen=True, kw_only=True)
class Checked(RowMetric):
    """Share of the rows whose calls the set's checker accepts."""

    check: Any

    @property
    def columns(self) -> frozenset[str]:
        return frozenset({"category", "function", "ground_truth"})

    def row_score(self, row: RowResult) -> float:
        return float(self.verdict(row)["valid"])

    def verdict(self, row: RowResult) -> dict[str, Any]:
        """What the checker says of a row."""
        from bfcl_eval.constants.enums import Language

        try:
            calls = [
                {call["function"]["name"]: json.loads(call["function"]["arguments"])} for call in row.tool_calls or ()
            ]
        except ValueError:
            return {"valid": False, "error_type": "arguments are not JSON"}
        if not calls:
            return {"valid": False, "error_type": "no call"}
        item = row.item
        return dict(self.check(item["function"], calls, item["ground_truth"], Language.PYTHON, item["category"], _NAME))


def metric() -> Checked:
    """The set's judgement as a metric."""
    return Checked(
        name="bfcl_ast",
        description="rows whose calls the checker of bfcl-eval accepts",
        headline_rank=99,
        check=checker(),
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--model", default=f"local:smollm2-135m?chat_template={TEMPLATE}")
    options.add_argument("--category", choices=CATEGORIES, action="append", help="default: both")
    options.add_argument("--train", type=int, default=400, help="rows that train; the others are held out")
    options.add_argument("--test", type=int, default=200, help="held-out rows that are asked")
    options.add_argument("--epochs", type=int, default=3)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--output", type=Path, default=Path("bfcl"))
    given = options.parse_args()
    judged = metric()
    every = [row for category in given.category or CATEGORIES for row in rows(category)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bfcl.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in every), encoding="utf-8")
        data = ft.Dataset.load(path, id="id")
        train, test = data.split(test=len(data) - given.train, stratify_by="category", seed=given.seed)
        test = test.take(given.test)
        print(f"{len(data)} rows: {len(train)} train, {len(test)} of the others are asked")
        sampling = ft.Sampling(max_output_tokens=128)
        asked: dict[str, Any] = {"metrics": [judged, "tool_calls_match"], "sampling": sampling, "probes": None}
        with ft.Model(given.model, ft.Task()) as model:
            started = time.perf_counter()
            base = ft.evaluate(model, test, label="base", **asked)
        print(f"base: {_said(base, judged)}; {time.perf_counter() - started:.0f} s", flush=True)
        started = time.perf_counter()
        recipe = ft.SFT(epochs=given.epochs, seed=given.seed, adapter=ft.LoRA())
        run = ft.train(recipe, train, backend=given.model, lint=False).wait()
        print(f"trained in {time.perf_counter() - started:.0f} s", flush=True)
        started = time.perf_counter()
        with run.model as tuned_model:
            tuned = ft.evaluate(tuned_model, test, label="tuned", **asked)
        print(f"tuned: {_said(tuned, judged)}; {time.perf_counter() - started:.0f} s", flush=True)
    compared = ft.compare(base, tuned)
    print(compared)
    given.output.mkdir(parents=True, exist_ok=True)
    for name, result in (("base", base), ("tuned", tuned), ("comparison", compared)):
        result.save(given.output / f"{name}.json")
        result.save(given.output / f"{name}.html")


def _said(report: ft.Report, judged: Checked) -> str:
    value = report["bfcl_ast"]
    reasons: dict[str, int] = {}
    for row in report.rows:
        verdict = judged.verdict(row)
        if not verdict["valid"]:
            reason = str(verdict["error_type"])
            reasons[reason] = reasons.get(reason, 0) + 1
    listed = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items(), key=lambda one: -one[1]))
    right = round((value.value or 0) * value.n)
    return (
        f"{right} of {value.n} right ({100 * (value.low or 0):.0f} to {100 * (value.high or 0):.0f} %); wrong: {listed}"
    )


def _name(name: str) -> str:
    return re.sub(r"\.", "_", name)


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.strip()]


if __name__ == "__main__":
    main()
