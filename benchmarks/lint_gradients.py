"""Contradictions planted among clean rows, and how many of them the gradients of a model show (rule G001).

    python benchmarks/lint_gradients.py [--data visits] [--rows 120] [--planted 12] [--seed 11]

A contradiction asks what another row asks but for one word, and wants another answer: another label, or a record with
another diagnosis. Planted beside them are as many rows that repeat a row so, with the same answer, and in the visits
rows of another patient, whose name stands in question and answer: neither must be flagged.
"""

from __future__ import annotations

import argparse
import copy
import random
import tempfile
import time
from pathlib import Path

from planted_defects import Change, Row, clean_bases, one_word_changed, other_diagnosis, other_label, question

import ftkit as ft

NAMES = ("Berta Nilsson", "Tom Okafor", "Yuki Mori", "Pavel Dvorak")
Pairs = set[frozenset[int]]


def contradiction(row: Row, draw: random.Random) -> Row | None:
    """The row asked in nearly the same words, with another answer."""
    if "label" not in row:
        return other_diagnosis(row, draw)
    changed = question(one_word_changed)(row, draw)
    return None if changed is None else other_label(changed, draw)


def repeat(row: Row, draw: random.Random) -> Row | None:
    """The row asked in nearly the same words, with the same answer."""
    return question(one_word_changed)(row, draw)


def another_patient(row: Row, draw: random.Random) -> Row | None:
    """The visit of someone else: the answer follows the question."""
    name, other = row["record"]["patient_name"], draw.choice(NAMES)
    if name not in row["note"]:
        return None
    return {**row, "note": row["note"].replace(name, other), "record": {**row["record"], "patient_name": other}}


CHANGES: dict[str, tuple[Change, ...]] = {
    "triage": (contradiction, repeat),
    "visits": (contradiction, repeat, another_patient),
}


def planted(rows: list[Row], changes: tuple[Change, ...], many: int, seed: int) -> tuple[list[Row], list[Pairs]]:
    """All rows, and for each kind of change the pairs of line numbers that it made."""
    draw = random.Random(seed)
    made, pairs = list(rows), [Pairs() for _ in changes]
    order = draw.sample(range(len(rows)), len(rows))
    for kind, change in enumerate(changes):
        while len(pairs[kind]) < many:
            at = order.pop()
            row = change(copy.deepcopy(rows[at]), draw)
            if row is not None:
                made.append({**row, "id": f"planted-{len(made)}"})
                pairs[kind].add(frozenset((at + 1, len(made))))
    return made, pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=CHANGES, help="only these rows")
    parser.add_argument("--rows", type=int, default=120)
    parser.add_argument("--planted", type=int, default=12)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--model", default="local:smollm2-135m")
    options = parser.parse_args()
    bases = clean_bases(None)
    columns = ("planted", "found", "repeats flagged", "other patients flagged", "others flagged", "s")
    print("data    rows" + "".join(f"  {name}" for name in columns))
    for name in [options.data] if options.data else CHANGES:
        rows, pairs = planted(bases[name].rows[: options.rows], CHANGES[name], options.planted, options.seed)
        with tempfile.TemporaryDirectory() as folder:
            data = bases[name].opened(rows, Path(folder) / "rows.jsonl")
            started = time.perf_counter()
            report = ft.lint(data, backends=options.model, select=["G001"], gradients=len(rows), keep=10_000)
            seconds = time.perf_counter() - started
        found = {
            frozenset((finding.line or 0, int(place.rpartition(":")[2])))
            for finding in report["G001"]
            for place in finding.related
        }
        flagged = [len(found & kind) for kind in pairs]
        others = len(found.difference(*pairs))
        cells = [len(pairs[0]), *flagged, *["-"] * (3 - len(flagged)), others, f"{seconds:.0f}"]
        wide = (f"  {cell:>{len(column)}}" for cell, column in zip(cells, columns, strict=True))
        print(f"{name:8}{len(rows):>4}{''.join(wide)}", flush=True)


if __name__ == "__main__":
    main()
