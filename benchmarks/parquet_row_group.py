"""A Parquet file of one row group: open it, read single rows, read all rows; seconds and peak memory.

    python benchmarks/parquet_row_group.py [--rows 200000]

Each measurement runs in a process of its own. To measure another checkout, put it first on PYTHONPATH.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SEED = 7
ITEMS = 20


def generate(path: Path, rows: int) -> float:
    """Write chats of about 3 kB in one row group. Returns their decoded size in MB."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    draw = random.Random(SEED)
    words = ["".join(draw.choices("abcdefghij", k=draw.randrange(2, 9))) for _ in range(5000)]
    texts = [" ".join(draw.choices(words, k=300)) for _ in range(2000)]
    chats = [
        [
            {"role": "user", "content": f"{draw.choice(texts)} {number}"},
            {"role": "assistant", "content": draw.choice(texts)[:1500]},
        ]
        for number in range(rows)
    ]
    table = pa.table({"messages": chats, "id": [str(number) for number in range(rows)]})
    pq.write_table(table, path, row_group_size=rows)
    return float(table.nbytes) / 1e6


def measure(what: str, path: Path) -> None:
    """Measure one thing in this process and print it as JSON."""
    import pyarrow.parquet  # noqa: F401  loaded before the clock starts

    import ftkit as ft

    peak_before, start = _peak_mb(), time.perf_counter()
    data = ft.Dataset.load(path)
    if what == "open":
        seconds = time.perf_counter() - start
    elif what == "item":
        draw = random.Random(SEED)
        data[len(data) // 2], data[len(data) // 3]
        start = time.perf_counter()
        for _ in range(ITEMS):
            data[draw.randrange(len(data))]
        seconds = (time.perf_counter() - start) / ITEMS
    else:
        start = time.perf_counter()
        assert sum(1 for _ in data) == len(data)
        seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak": _peak_mb(), "peak_before": peak_before}))


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--measure", choices=("generate", "open", "item", "pass"), help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure == "generate":
        print(generate(options.path, options.rows))
        return
    if options.measure:
        measure(options.measure, options.path)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        # In a process of its own too: a new process begins with the peak of the one that starts it.
        command = [sys.executable, __file__, "--measure", "generate", "--path", str(path), "--rows", str(options.rows)]
        size = float(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
        print(f"{options.rows:,} rows in one row group, {path.stat().st_size / 1e6:.0f} MB, decoded {size:.0f} MB")
        for what, label in (("open", "open"), ("item", "one row, in any order"), ("pass", "all rows, in order")):
            command = [sys.executable, __file__, "--measure", what, "--path", str(path)]
            environment = {**os.environ, "FTKIT_HOME": folder}
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            memory = f"peak {found['peak']:6.0f} MB (at the start {found['peak_before']:.0f})"
            print(f"{label:24}{found['seconds']:10.4f} s   {memory}")


if __name__ == "__main__":
    main()
