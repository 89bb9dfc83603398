"""Time from the call of ``ft.train`` to the first optimiser step, on many rows and a tiny model.

    python benchmarks/time_to_first_step.py [--rows 200000] [--form table|chat] [--profile FILE]

The model is a random Llama of two layers with SmolLM2's tokenizer, so that nearly all time goes into reading, checking
and tokenising the rows. Prints two phases: the call itself (lint, fingerprint, submission), and the worker process
(imports, reading, tokenising) up to its first step. To compare two versions of ftkit, run it twice with another
``PYTHONPATH``.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.append(str(Path(__file__).parents[1]))

import psutil
from pydantic import BaseModel

import ftkit as ft
from ftkit.files import home
from ftkit.store import Store
from tests.tiny import save_tiny, smollm_tokenizer

SEED = 7


class Visit(BaseModel):
    """What a clinic note says."""

    patient_name: str
    age: int
    diagnosis: str
    medication: str | None
    follow_up_days: int | None


def generate(path: Path, rows: int, form: str) -> None:
    """Write clinic notes of about 60 words with their records: as a table, or as whole chats."""
    draw = random.Random(SEED)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(draw.choices(letters, k=draw.randint(2, 8))) for _ in range(4_000)]
    task = ft.Task("Extract the visit record from the clinic note.", input="{note}", output=Visit)
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            record = {
                "patient_name": f"{draw.choice(words).title()} {draw.choice(words).title()}",
                "age": draw.randint(1, 99),
                "diagnosis": " ".join(draw.choices(words, k=2)),
                "medication": draw.choice([None, draw.choice(words)]),
                "follow_up_days": draw.choice([None, 7, 14, 28]),
            }
            note = f"{record['patient_name']}, {record['age']}. {' '.join(draw.choices(words, k=50)).capitalize()}."
            if form == "table":
                line = {"patient_id": f"p{number}", "note": note, "record": record}
            else:
                answer = {"role": "assistant", "content": task.target(record)}
                line = {"messages": [*task.prompt({"note": note}), answer]}
            file.write(json.dumps(line) + "\n")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=200_000)
    options.add_argument("--form", choices=["table", "chat"], default="table")
    options.add_argument("--profile", type=Path, help="write a profile of the call to this file")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = save_tiny(folder / "model", "llama", smollm_tokenizer(home() / "models"))
        os.environ["FTKIT_HOME"] = str(folder / "home")
        generate(folder / "rows.jsonl", chosen.rows, chosen.form)
        print(f"{chosen.rows:,} rows ({chosen.form}), {(folder / 'rows.jsonl').stat().st_size / 1e6:,.0f} MB")
        measure(folder / "rows.jsonl", model, chosen.form, chosen.profile)


def measure(path: Path, model: str, form: str, profile: Path | None) -> None:
    if form == "table":
        task = ft.Task("Extract the visit record from the clinic note.", input="{note}", output=Visit)
        data = ft.Dataset.load(path, task, target="record")
    else:
        data = ft.Dataset.load(path, ft.Task(output=Visit))
    recipe = ft.SFT(epochs=1, batch_size=8, adapter=ft.LoRA(rank=4))
    profiler = cProfile.Profile() if profile else None
    start, cpu = time.time(), cpu_seconds()
    if profiler:
        profiler.enable()
    run = ft.train(recipe, data, backend=f"local:{model}")
    if profiler:
        profiler.disable()
        profiler.dump_stats(profile)
    returned, call_cpu = time.time(), cpu_seconds() - cpu
    store = Store()
    worker = psutil.Process(store.get(run.id).handle["pid"])
    peak, worker_cpu = 0, 0.0
    first = None
    while first is None:
        time.sleep(0.1)
        try:
            peak = max(peak, worker.memory_info().rss)
            worker_cpu = sum(worker.cpu_times()[:2])
        except psutil.NoSuchProcess:
            pass
        first = next((event.at for event in store.events(run.id) if event.kind == "step"), None)
        if run.state in ("failed", "cancelled"):
            sys.exit(f"the run {run.state}: {store.get(run.id).error}")
    run.cancel()
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"{'phase':28}{'wall s':>10}{'CPU s':>10}")
    print(f"{'call of ft.train':28}{returned - start:>10.1f}{call_cpu:>10.1f}")
    print(f"{'worker to the first step':28}{first - returned:>10.1f}{worker_cpu:>10.1f}")
    print(f"{'together':28}{first - start:>10.1f}{call_cpu + worker_cpu:>10.1f}")
    print(f"peak memory: caller {own / 1e6:,.0f} MB, worker {peak / 1e6:,.0f} MB")


def cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    main()
