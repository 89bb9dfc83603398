"""A million rows: load, split, read both sides. ftkit beside `datasets` and a plain list of dicts.

    python benchmarks/dataset_stream.py [--rows 1000000] [--repeat 3]

Each contender runs in a process of its own, so that its peak memory is its own; they take turns, and the fastest run of
each counts. The file lies in a temporary folder and is removed afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

WORDS = "patient reports seen today with mild severe pain cough fever since days given aspirin 100 mg twice daily"
SEED = 7


def generate(path: Path, rows: int) -> None:
    """Chats-to-be of about 400 bytes: a note, a record, and one of rows/4 patients."""
    draw = random.Random(SEED)
    words = WORDS.split()
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            note = " ".join(draw.choices(words, k=45))
            record = {"name": f"N{number}", "age": number % 90, "medication": None if number % 3 else "aspirin"}
            row = {"patient": f"p{draw.randrange(max(rows // 4, 2))}", "note": note, "answer": json.dumps(record)}
            file.write(json.dumps(row) + "\n")


class Clock:
    """Seconds since the last call."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def __call__(self) -> float:
        now = time.perf_counter()
        passed, self._last = now - self._last, now
        return passed


def with_ftkit(path: Path) -> Iterator[Any]:
    """Split by patient: no patient on both sides. Rows come with prompt and completion rendered by the task."""
    import ftkit as ft

    task = ft.Task("Extract the visit record.", input="{note}")
    data = ft.Dataset.load(path, task, target="answer", group="patient")
    yield
    train, test = data.split(test=0.2, seed=SEED)
    yield
    yield sum(1 for part in (train, test) for row in part if row.completion)


def with_datasets(path: Path) -> Iterator[Any]:
    """Split at random (`datasets` knows no groups). Rows come as dicts."""
    import datasets

    datasets.disable_progress_bars()
    data = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(path.parent / "cache"))
    yield
    parts = data.train_test_split(test_size=0.2, seed=SEED)
    yield
    yield sum(1 for part in parts.values() for row in part if row["answer"])


def with_a_list(path: Path) -> Iterator[Any]:
    """All rows as dicts in memory, split at random."""
    with path.open(encoding="utf-8") as file:
        data = [json.loads(line) for line in file]
    yield
    random.Random(SEED).shuffle(data)
    cut = len(data) // 5
    parts = (data[cut:], data[:cut])
    yield
    yield sum(1 for part in parts for row in part if row["answer"])


CONTENDERS: dict[str, Callable[[Path], Iterator[Any]]] = {
    "ftkit": with_ftkit,
    "datasets": with_datasets,
    "list of dicts": with_a_list,
}


def measure(name: str, path: Path) -> None:
    """Run one contender in this process and print its figures as JSON."""
    clock = Clock()
    steps = CONTENDERS[name](path)
    next(steps)
    load = clock()
    next(steps)
    split = clock()
    rows = next(steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"load": load, "split": split, "read": clock(), "rows": rows, "peak": peak}))


def run(name: str, path: Path, folder: Path) -> dict[str, float]:
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "hf"),
        "FTKIT_HOME": str(folder / "ftkit"),
    }
    for made in (folder / "cache").glob("*"):
        subprocess.run(["rm", "-rf", str(made)], check=True)  # `datasets` shall convert the file anew
    command = [sys.executable, __file__, "--measure", name, "--path", str(path)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--measure", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.path)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "rows.jsonl"
        generate(path, options.rows)
        size = path.stat().st_size / 1e6
        print(
            f"{options.rows:,} rows, {size:.0f} MB, best of {options.repeat}; Python {platform.python_version()}",
            flush=True,
        )
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
        for _ in range(options.repeat):
            for contender, taken in runs.items():
                taken.append(run(contender, path, folder))
    print(f"{'':15}{'load s':>8}{'split s':>9}{'read s':>8}{'total s':>9}{'peak MB':>9}{'time':>7}{'memory':>8}")
    base: dict[str, float] = {}
    for contender, taken in runs.items():
        best = min(taken, key=lambda one: one["load"] + one["split"] + one["read"])
        assert best["rows"] == options.rows
        total = best["load"] + best["split"] + best["read"]
        peak = max(one["peak"] for one in taken) / 1e6
        base = base or {"total": total, "peak": peak}
        print(
            f"{contender:15}{best['load']:8.1f}{best['split']:9.1f}{best['read']:8.1f}{total:9.1f}{peak:9.0f}"
            f"{total / base['total']:6.1f}x{peak / base['peak']:7.1f}x"
        )


if __name__ == "__main__":
    main()
