"""A million short chats linted by every deterministic rule and for near-duplicates, beside a plain pass with
datasketch.

    python benchmarks/lint_million.py [--rows 1000000]

Each contender runs in a process of its own, so that its peak memory (with its children's) is its own. The file lies in
a temporary folder and is removed afterwards.
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
from collections.abc import Callable
from pathlib import Path

SEED = 7
SYSTEM = "You are the assistant of a bicycle hire. Answer in one sentence."
NEAR, EXACT = 0.02, 0.01


def generate(path: Path, rows: int) -> int:
    """Chats of about 400 bytes; 2 % repeat an earlier one with one word changed, 1 % letter by letter.

    Returns the number of near-duplicates that were planted.
    """
    draw = random.Random(SEED)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(draw.choices(letters, k=draw.randint(3, 8))) for _ in range(4_000)]
    kept: list[tuple[list[str], str]] = []
    planted = 0
    with path.open("w", encoding="utf-8") as file:
        for _ in range(rows):
            chance = draw.random()
            if kept and chance < NEAR:
                asked, answer = draw.choice(kept)
                asked = list(asked)
                asked[draw.randrange(len(asked))] = draw.choice(words)
                planted += 1
            elif kept and chance < NEAR + EXACT:
                asked, answer = draw.choice(kept)
            else:
                asked = draw.choices(words, k=34)
                answer = " ".join(draw.choices(words, k=10)).capitalize() + "."
                if len(kept) < 50_000:
                    kept.append((asked, answer))
            turns = [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": " ".join(asked)},
                {"role": "assistant", "content": answer},
            ]
            file.write(json.dumps({"messages": turns}) + "\n")
    return planted


def with_ftkit(path: Path) -> dict[str, int]:
    """Every rule of ftkit lint, in as many processes as there are cores."""
    import ftkit as ft

    report = ft.lint(ft.Dataset.load(path))
    counts = {count.code: count.count for count in report.counts}
    return {"near": counts.get("U003", 0), "exact": counts.get("U001", 0)}


def with_datasketch(path: Path) -> dict[str, int]:
    """Near-duplicates of the questions only: the same shingles, 64 hash functions, and threshold."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=0.8, num_perm=64)
    near = 0
    seen: set[str] = set()
    exact = 0
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            text = json.loads(line)["messages"][1]["content"]
            if text in seen:
                exact += 1
                continue
            seen.add(text)
            words = text.lower().split()
            sketch = MinHash(num_perm=64, seed=SEED)
            sketch.update_batch([" ".join(words[at : at + 3]).encode() for at in range(len(words) - 2)])
            near += bool(index.query(sketch))
            index.insert(number, sketch, check_duplication=False)
    return {"near": near, "exact": exact}


CONTENDERS: dict[str, Callable[[Path], dict[str, int]]] = {
    "ftkit lint, all rules": with_ftkit,
    "datasketch, near-duplicates only": with_datasketch,
}


def measure(name: str, path: Path) -> None:
    """Run one contender in this process and print its figures as JSON."""
    begun = time.perf_counter()
    found = CONTENDERS[name](path)
    seconds = time.perf_counter() - begun
    unit = 1 if sys.platform == "darwin" else 1024
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    # Children are counted as if all of them were as large as the largest, at the same time as this process's peak.
    workers = os.cpu_count() or 1 if children.ru_maxrss else 0
    peak = (own.ru_maxrss + workers * children.ru_maxrss) * unit
    busy = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    print(json.dumps({"seconds": seconds, "cpu": busy, "peak": peak, **found}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--measure", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.path)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        planted = generate(path, options.rows)
        print(
            f"{options.rows:,} chats, {path.stat().st_size / 1e6:.0f} MB, {planted:,} near-duplicates planted; "
            f"{os.cpu_count()} cores, Python {platform.python_version()}",
            flush=True,
        )
        print(f"{'':34}{'seconds':>9}{'CPU s':>8}{'peak MB':>9}{'near':>9}{'exact':>8}", flush=True)
        for name in CONTENDERS:
            command = [sys.executable, __file__, "--measure", name, "--path", str(path)]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
            one = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{name:34}{one['seconds']:>9.1f}{one['cpu']:>8.1f}{one['peak'] / 1e6:>9.0f}"
                f"{one['near']:>9,}{one['exact']:>8,}",
                flush=True,
            )


if __name__ == "__main__":
    main()
