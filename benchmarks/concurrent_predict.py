"""Twenty ``Model.apredict`` calls in flight at once against one ``predict_many`` of the same rows.

    python benchmarks/concurrent_predict.py
    python benchmarks/concurrent_predict.py --model FOLDER_OF_A_TUNED_MODEL --rows 20

A web service gets its requests one by one, so it cannot call ``predict_many``. Concurrent calls join the running batch,
and what their prompts share is computed once. Both ways start from an empty prefix cache, take turns, and must give the
same answers, or the benchmark stops.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from typing import Any

import torch

import ftkit as ft

INSTRUCTIONS = (
    "You read short clinic notes and answer in one line. Name the drug, the dose and for how many days it is taken. "
    "If the note leaves one of them out, say which. Do not add advice, and do not repeat the note."
)
DRUGS = ("aspirin", "ibuprofen", "amoxicillin", "metformin", "lisinopril")


def note(number: int) -> str:
    drug, dose, days = DRUGS[number % len(DRUGS)], 50 * (1 + number % 7), 2 + number % 11
    return f"Patient {number}: {drug} {dose} mg twice a day for {days} days, seen on ward {number % 9}."


async def concurrently(model: ft.Model, rows: list[dict[str, str]]) -> list[Any]:
    return await asyncio.gather(*(model.apredict(**row) for row in rows))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", default="smollm2-135m", help="a name or folder that the local backend takes")
    options.add_argument("--rows", type=int, default=20)
    options.add_argument("--tokens", type=int, default=32)
    options.add_argument("--repeat", type=int, default=3)
    chosen = options.parse_args()
    task = ft.Task(INSTRUCTIONS, input="{note}")
    rows = [{"note": note(number)} for number in range(chosen.rows)]
    sampling = ft.Sampling(max_output_tokens=chosen.tokens)
    together: list[float] = []
    concurrent: list[float] = []
    for _ in range(chosen.repeat):
        answers = []
        for seconds in (together, concurrent):
            with ft.Model(f"local:{chosen.model}", task, sampling=sampling) as model:
                model.about()  # loads it
                started = time.perf_counter()
                answers.append(
                    model.predict_many(rows) if seconds is together else asyncio.run(concurrently(model, rows))
                )
                seconds.append(time.perf_counter() - started)
        if answers[0] != answers[1]:
            raise SystemExit("the answers of the two ways differ")
    first, second = statistics.median(together), statistics.median(concurrent)
    print(f"{chosen.rows} rows, at most {chosen.tokens} tokens each, {torch.get_num_threads()} threads")
    print(f"median of {chosen.repeat} runs")
    print(f"{'one predict_many':28}{first:7.2f} s")
    print(f"{f'{chosen.rows} apredict at once':28}{second:7.2f} s")
    print(f"{second / first:.2f} times as long")


if __name__ == "__main__":
    main()
