"""Defects planted into clean rows at known places: precision and recall of each rule, and what is flagged on clean
rows.

    python benchmarks/lint_planted.py [--addresses FOLDER]

FOLDER holds `train.jsonl` with `{"address": …, "parts": {…}}` rows; without it, only the data in `examples/` is used.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path

from planted_defects import PLANTS, Base, Plant, clean_bases

import ftkit as ft

SEED = 7
STATISTICAL = {"C010", "C011", "L005", "K001", "L006"}
"""Rules that judge by likelihood; all others are deterministic."""


def measure(plant: Plant, base: Base, folder: Path) -> tuple[int, int, int, int]:
    """Planted rows, those found, rows flagged by the rule in all, and those that it flagged before planting."""
    rows, planted = plant.make(base.rows, random.Random(SEED))
    clean = base.opened(base.rows, folder / "clean.jsonl")
    made = base.opened(rows, folder / "planted.jsonl")
    before: set[int] = set()
    if plant.role == "alone" and "recipe" not in plant.lint:  # else what is planted is not in the rows
        before = plant.flagged(plant.report(clean, clean, select=[plant.code]))
    found = plant.flagged(plant.report(made, clean, keep=10_000))
    return len(planted), len(found & planted), len(found), len((found - planted) & before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--addresses", type=Path)
    options = parser.parse_args()
    bases = clean_bases(options.addresses)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print("Clean rows: what is flagged without planting\n")
        for base in bases.values():
            report = ft.lint(base.opened(base.rows, folder / "clean.jsonl"))
            counts = ", ".join(f"{count.count} {count.code}" for count in report.counts) or "nothing"
            share = 100 * report.flagged_rows / len(base.rows)
            print(f"{base.name:12}{len(base.rows):>6} rows{report.flagged_rows:>5} flagged ({share:.1f} %)  {counts}")
        print(f"\n{'rule':6}{'data':14}{'planted':>8}{'found':>7}{'recall':>8}{'flagged':>9}{'precision':>11}")
        worst = 1.0
        for plant in PLANTS:
            for base in (bases[each] for each in plant.bases if each in bases):
                planted, hit, found, before = measure(plant, base, folder)
                recall = hit / planted
                precision = (hit + before) / found if found else 0.0
                kind = "*" if plant.code in STATISTICAL else ""
                note = f"  ({before} more were flagged before)" if before else ""
                figures = f"{planted:>8}{hit:>7}{recall:>8.2f}{found:>9}{precision:>11.2f}{note}"
                print(f"{plant.code + kind:6}{base.name:14}{figures}", flush=True)
                if not kind:
                    worst = min(worst, recall)
        print(f"\n* judges by likelihood. Of the others the lowest recall is {worst:.2f}.")


if __name__ == "__main__":
    main()
