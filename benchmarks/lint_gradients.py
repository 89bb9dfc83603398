"""Contradictions planted among clean rows, and how many of them the gradients of a model show (rule G001).

    python benchmarks/lint_gradients.py [--rows 120] [--planted 12] [--model local:smollm2-135m]

A contradiction asks what another row asks but for one word, and wants another answer: another label, or a record with
another diagnosis. As many rows that repeat a row so, with the same answer, are planted beside them: those must not be
flagged.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

from planted_defects import Row, clean_bases, one_word_changed, other_diagnosis, other_label, question

import ftkit as ft

SEED = 11


def contradiction(row: Row, draw: random.Random) -> Row | None:
    """The row asked in nearly the same words, with another answer."""
    if "label" not in row:
        return other_diagnosis(row, draw)
    changed = question(one_word_changed)(row, draw)
    return None if changed is None else other_label(changed, draw)


def repeat(row: Row, draw: random.Random) -> Row | None:
    """The row asked in nearly the same words, with the same answer."""
    return question(one_word_changed)(row, draw)


def planted(rows: list[Row], many: int) -> tuple[list[Row], set[frozenset[int]], set[frozenset[int]]]:
    """All rows, the pairs that contradict each other, and those that agree; pairs of line numbers."""
    draw = random.Random(SEED)
    made, pairs = list(rows), (set[frozenset[int]](), set[frozenset[int]]())
    order = draw.sample(range(len(rows)), len(rows))
    for kind, change in enumerate((contradiction, repeat)):
        while len(pairs[kind]) < many:
            at = order.pop()
            row = change(rows[at], draw)
            if row is not None:
                made.append({**row, "id": f"planted-{len(made)}"})
                pairs[kind].add(frozenset((at + 1, len(made))))
    return made, *pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=120)
    parser.add_argument("--planted", type=int, default=12)
    parser.add_argument("--model", default="local:smollm2-135m")
    options = parser.parse_args()
    bases = clean_bases(None)
    print(f"{'data':10}{'rows':>6}{'planted':>9}{'found':>7}{'repeats flagged':>17}{'other pairs flagged':>21}{'s':>7}")
    for name in ("triage", "visits"):
        rows, wrong, right = planted(bases[name].rows[: options.rows], options.planted)
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
        kinds = (len(wrong), len(found & wrong), len(found & right), len(found - wrong - right))
        print("{:10}{:>6}{:>9}{:>7}{:>17}{:>21}{:>7.0f}".format(name, len(rows), *kinds, seconds), flush=True)


if __name__ == "__main__":
    main()
