"""Time this checkout beside an earlier one, workload by workload, in one run.

    git worktree add ../before REVISION
    python benchmarks/before_after.py --before ../before

Each workload uses only ftkit's public API, so the same code runs on both sides. The sides take turns, each run in a
process of its own, and the table shows the median of each side and the median of the ratios: of the seconds that the
workload took, and of the processor time of the whole process and its children, which other work on the machine disturbs
less.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

ROOT = Path(__file__).resolve().parents[1]
MODEL = "local:smollm2-135m"
STYLE = "Answer the customer in two friendly sentences. Never promise a refund. End with a question."


class Visit(BaseModel):
    """A visit record."""

    patient_name: str
    age: int
    diagnosis: str
    medication: str | None
    follow_up_days: int | None


def read_rows(name: str, count: int) -> list[dict[str, Any]]:
    with (ROOT / "examples" / name).open(encoding="utf-8") as file:
        return [json.loads(line) for line in file][:count]


def visits(count: int) -> Any:
    import ftkit as ft

    task = ft.Task("Extract the visit record from the clinic note. " * 8, input="{note}", output=Visit)
    rows = [{"note": row["note"], "record": row["record"]} for row in read_rows("visits/visits.jsonl", count)]
    return ft.Dataset.from_rows(rows, task, target="record", name="visits")


def question(number: int) -> list[Any]:
    return [{"role": "system", "content": STYLE}, {"role": "user", "content": f"Where is parcel {number}?"}]


def pairs(count: int) -> Any:
    import ftkit as ft

    rows = [
        {
            "prompt": question(number),
            "chosen": [{"role": "assistant", "content": f"Parcel {number} is on its way. May I text you the time?"}],
            "rejected": [{"role": "assistant", "content": f"No idea where parcel {number} is, wait for it."}],
        }
        for number in range(count)
    ]
    return ft.Dataset.from_rows(rows, name="pairs")


def training(recipe: Any, data: Any) -> float:
    """Seconds of all steps but the first, which warms up."""
    import ftkit as ft

    run = ft.train(recipe, data, backend=MODEL, lint=False).wait(progress=False)
    steps = [event.data["seconds"] for event in run.events() if event.kind == "step"]
    return float(sum(steps[1:]))


def common() -> dict[str, Any]:
    return {
        "epochs": 1,
        "learning_rate": 5e-4,
        "lr_scheduler_type": "constant",
        "warmup_ratio": 0.0,
        "precision": "fp32",
    }


def sft() -> float:
    import ftkit as ft

    return training(ft.SFT(batch_size=8, **common()), visits(40))


def qlora() -> float:
    import ftkit as ft

    return training(ft.SFT(batch_size=8, adapter=ft.QLoRA(rank=16), **common()), visits(24))


def dpo() -> float:
    import ftkit as ft

    return training(ft.DPO(batch_size=8, **common()), pairs(32))


def reward_model() -> float:
    import ftkit as ft

    return training(ft.RewardModel(batch_size=8, **common()), pairs(32))


def rft() -> float:
    import ftkit as ft

    grader = ft.StringCheckGrader(reference="a", operation="like")
    recipe = ft.RFT(grader=grader, batch_size=4, num_generations=8, max_output_tokens=48, probe_prompts=0, **common())
    return training(recipe, visits(12))


def evaluation() -> float:
    import ftkit as ft

    data = visits(64)
    model = ft.Model(MODEL, data.task)
    model.predict_many([{"note": "warm up"}], on_error="return")
    began = time.perf_counter()
    sampling = ft.Sampling(max_output_tokens=72)
    ft.evaluate(model, data, sampling=sampling, probes=None, progress=False)
    return time.perf_counter() - began


def lint() -> float:
    import ftkit as ft

    rows = [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": f"Parcel {number} left."}]}
        for number in range(60_000)
        for text in (
            f"Where is parcel {number}? I ordered it {number % 40} days ago and live at {number} Main Street.",
        )
    ]
    data = ft.Dataset.from_rows(rows, name="chats")
    began = time.perf_counter()
    ft.lint(data)
    return time.perf_counter() - began


def dataset() -> float:
    import ftkit as ft

    rows = read_rows("visits/visits.jsonl", 440)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "rows.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for number in range(150_000):
                file.write(json.dumps({**rows[number % len(rows)], "patient_id": number // 3}) + "\n")
        began = time.perf_counter()
        task = ft.Task("Extract.", input="{note}", output=Visit)
        data = ft.Dataset.load(path, task, target="record")
        for side in data.split(test=0.2, group_by="patient_id", seed=7):
            for row in side:
                assert row.prompt
        return time.perf_counter() - began


def start() -> float:
    """Seconds to import ftkit and load a dataset in a fresh process."""
    began = time.perf_counter()
    visits(1)
    return time.perf_counter() - began


def serving() -> float:
    """Seconds for 48 requests at once, after one that loads the model."""
    import openai

    command = [sys.executable, "-m", "ftkit", "serve", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert server.stdout is not None
        address = next(line for line in server.stdout if "http://" in line)
        url = next(word for word in address.replace(";", " ").split() if word.startswith("http://"))
        threading.Thread(target=server.stdout.read, daemon=True).start()
        client = openai.OpenAI(base_url=url, api_key="none")

        def ask(number: int) -> None:
            client.chat.completions.create(
                model="smollm2-135m",
                messages=[
                    {"role": "system", "content": STYLE},
                    {"role": "user", "content": f"Where is parcel {number}?"},
                ],
                max_tokens=32,
                temperature=0,
            )

        ask(0)
        began = time.perf_counter()
        askers = [threading.Thread(target=ask, args=(number,)) for number in range(48)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
        return time.perf_counter() - began
    finally:
        server.terminate()
        server.wait()


WORKLOADS: dict[str, Callable[[], float]] = {
    function.__name__: function
    for function in (start, dataset, lint, sft, qlora, dpo, reward_model, rft, evaluation, serving)
}

Side = Literal["before", "after"]


def cpu_seconds() -> float:
    """Processor time of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(checkout: Path, workload: str, home: Path) -> tuple[float, float]:
    """Seconds of a workload, and processor time of its process."""
    began = cpu_seconds()
    environment = {**os.environ, "PYTHONPATH": str(checkout), "FTKIT_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, __file__, "--workload", workload]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=home, check=False)
    if done.returncode:
        raise SystemExit(f"{workload} in {checkout} failed:\n{done.stderr[-3000:]}")
    return float(done.stdout.splitlines()[-1]), cpu_seconds() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="a checkout of the earlier version")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--workload", choices=WORKLOADS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.workload:
        print(WORKLOADS[chosen.workload]())
        return
    if chosen.before is None:
        parser.error("--before is missing")
    checkouts: dict[Side, Path] = {"before": chosen.before.resolve(), "after": ROOT}
    print(
        f"{'':14}{'before s':>10}{'after s':>10}{'after/before':>14}{'CPU before':>12}{'CPU after':>11}"
        f"{'after/before':>14}  (medians of {chosen.repeat}; lower is faster)"
    )
    with tempfile.TemporaryDirectory() as name:
        for workload in chosen.only:
            found: dict[Side, list[tuple[float, float]]] = {"before": [], "after": []}
            for _ in range(chosen.repeat):
                for side, checkout in checkouts.items():
                    home = Path(os.environ.get("FTKIT_HOME", Path(name) / side))
                    home.mkdir(parents=True, exist_ok=True)
                    found[side].append(measure(checkout, workload, home))
            line = f"{workload:14}"
            for which, width in ((0, 10), (1, 12)):
                sides = [[pair[which] for pair in found[side]] for side in checkouts]
                ratio = statistics.median(after / before for before, after in zip(*sides, strict=True))
                before, after = map(statistics.median, sides)
                line += f"{before:{width}.2f}{after:{width - 1 if which else width}.2f}{ratio:14.2f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
