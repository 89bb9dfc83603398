"""How often rule L005 (likely mislabels) is right: labels of one row in twenty changed at random, several times over.

    python benchmarks/lint_mislabels.py [--draws 5]

Two sets of texts: the support messages in `examples/triage`, and docstrings of Python's standard library whose label is
their module, which no one can have mislabelled.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import random
from pathlib import Path
from typing import Literal

import ftkit as ft

SHARE = 0.05
MODULES = (
    *("argparse", "datetime", "decimal", "email.message", "logging", "pathlib", "socket", "ssl", "statistics"),
    *("subprocess", "tarfile", "threading"),
)
Labelled = list[tuple[str, str]]


def messages() -> Labelled:
    path = Path(__file__).parents[1] / "examples" / "triage" / "messages.jsonl"
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [(row["message"], row["label"]) for row in rows]


def docstrings() -> Labelled:
    """The first 200 characters of each docstring of five words or more, with its module."""
    found: dict[str, str] = {}
    for name in MODULES:
        module = importlib.import_module(name)
        own = name.partition(".")[0]
        classes = [one for _, one in inspect.getmembers(module, inspect.isclass)]
        owners = [module, *(one for one in classes if one.__module__.lstrip("_").partition(".")[0] == own)]
        for owner in owners:
            for attribute, value in inspect.getmembers(owner, callable):
                text = " ".join((inspect.getdoc(value) or "").split())[:200]
                home = str(getattr(value, "__module__", None) or own).lstrip("_")
                if not attribute.startswith("__") and len(text.split()) >= 5 and (owner is not module or own in home):
                    found.setdefault(text, name)
    return list(found.items())


def changed(rows: Labelled, draw: random.Random) -> tuple[Labelled, set[int]]:
    """The rows with some labels changed, and the numbers of these rows."""
    labels = sorted({label for _, label in rows})
    chosen = set(draw.sample(range(len(rows)), round(SHARE * len(rows))))
    return [
        (text, draw.choice([other for other in labels if other != label]) if number in chosen else label)
        for number, (text, label) in enumerate(rows)
    ], chosen


def flagged(rows: Labelled) -> set[int]:
    """Numbers of the rows that L005 reports."""
    labels = tuple(sorted({label for _, label in rows}))
    task = ft.Task("Sort.", input="{text}", output=Literal[labels])  # type: ignore[valid-type]
    made = [{"text": text, "label": label} for text, label in rows]
    report = ft.lint(ft.Dataset.from_rows(made, task, target="label"), select=["L005"])
    return {found.line - 1 for found in report["L005"] if found.line is not None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=5)
    draws = parser.parse_args().draws
    print(f"{'texts':12}{'rows':>6}{'changed':>9}{'found':>7}{'recall':>8}{'flagged':>9}{'precision':>11}")
    for name, rows in (("messages", messages()), ("docstrings", docstrings())):
        before = len(flagged(rows))
        planted = found = hit = 0
        for seed in range(draws):
            made, chosen = changed(rows, random.Random(seed))
            reported = flagged(made)
            planted, found, hit = planted + len(chosen), found + len(reported), hit + len(reported & chosen)
        recall, precision = hit / planted, hit / max(1, found)
        figures = f"{planted:>9}{hit:>7}{recall:>8.2f}{found:>9}{precision:>11.2f}"
        print(f"{name:12}{len(rows):>6}{figures}  ({before} flagged as they are)", flush=True)


if __name__ == "__main__":
    main()
