"""Ways to train one model on the same rows, each in a process of its own, taking turns.

What counts is training alone, without imports, loading and tokenising: examples a second by the clock, seconds of
processor time an example (which other work on the machine disturbs less), and the process's peak resident memory, from
its start to its end. Of several runs the fastest counts, and for memory the largest.

A benchmark states a :class:`Contest` and calls :func:`compete`. The rows are rendered once, by ftkit, and given to the
others as token ids in the order in which ftkit will see them, so that all compute the same batches; that they do is
checked by the losses of the first two steps.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contest_figures import clock, figures, spent

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2}
"""Largest relative difference of a batch's loss between two that compute the same."""


@dataclass(frozen=True)
class Contender:
    """One way to train.

    Attributes:
        name: as the table shows it.
        side: ``"ftkit"``, ``"trl"`` or ``"unsloth"``.
        settings: changes to the recipe (ftkit) or to the trainer's config (TRL, see ``trl_side.py``).
        same_batches: whether its batches are ftkit's, so that its losses must be too.
        python: the Python that runs it.
    """

    name: str
    side: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    same_batches: bool = True
    python: str = sys.executable


@dataclass(frozen=True)
class Contest:
    """What all contenders do.

    Attributes:
        task: an ``ftkit.Task``.
        rows: columns of each row.
        columns: which column is the answer: ``{"target": …}``, or of pairs ``{"chosen": …, "rejected": …}``.
        recipe: an ``ftkit`` recipe whose precision, batch size and adapter are numbers, not ``"auto"``.
        contenders: the first is what the others are compared with.
        validation: columns of rows to score ftkit's models on while it trains, by the recipe's ``eval_metric``.
    """

    task: Any
    rows: Sequence[Mapping[str, Any]]
    columns: Mapping[str, str]
    recipe: Any
    contenders: Sequence[Contender]
    validation: Sequence[Mapping[str, Any]] = ()

    def data(self) -> Any:
        """The rows as an ``ftkit.Dataset``."""
        import ftkit as ft

        return ft.Dataset.from_rows(self.rows, self.task, **self.columns)


def with_ftkit(folder: Path, settings: dict[str, Any]) -> str:
    """Train as a worker process does."""
    import ftkit as ft
    from ftkit.backends.grading import setting_of
    from ftkit.recipe import parse_recipe
    from ftkit.training.job import Job, train

    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    plain = job["recipe"]
    recipe = parse_recipe({**plain, **settings})
    task = ft.Task.from_yaml(job["task"])
    data = ft.Dataset.from_rows(job["rows"], task, **job["columns"])
    held_out = ft.Dataset.from_rows(job["validation"], task, **job["columns"]) if job["validation"] else None
    times: dict[str, tuple[float, float]] = {}
    losses: list[float] = []
    lengths: list[float] = []
    steps: list[tuple[float, float]] = []
    scores: list[tuple[int, float]] = []

    def emit(kind: str, event: dict[str, Any]) -> None:
        if kind == "warning":
            print(event["message"], file=sys.stderr)
        if kind == "log" and event["message"] == "training":
            times["began"] = times["step"] = clock()
        if kind == "validation" and recipe.eval_metric is not None:
            scores.append((event["step"], event[recipe.eval_metric]))
            times["step"] = clock()
        if kind == "step":
            times["ended"] = clock()
            steps.append(spent(times["step"], times["ended"]))
            times["step"] = times["ended"]
            losses.append(event["loss"])
            if "completion_length" in event:
                lengths.append(event["completion_length"])

    # The benchmark itself names the grader's function, so it was checked, as a worker's is.
    setting = setting_of(recipe, checked=True)
    train(Job(recipe, data, held_out, job["model"], folder / "model"), emit, setting=setting)
    return figures(
        times["began"], times["ended"], len(job["rows"]) * int(plain["epochs"]), losses, lengths, steps, scores
    )


def prepare(contest: Contest, folder: Path) -> dict[str, int]:
    """Write the job, and its rows in tokens in the order of training; tells how many tokens there are, and how many
    the longest row has."""
    from ftkit.modeling.embedded_model import EMBEDDED, expand_embedded
    from ftkit.modeling.model_source import find_source
    from ftkit.modeling.tokenizer import load_chat_template
    from ftkit.training.dataloader import render_rows
    from ftkit.training.losses import loss_of

    where = expand_embedded()
    recipe = contest.recipe
    found = render_rows(contest.data(), load_chat_template(find_source(EMBEDDED)), loss_of(recipe).render, None)
    order = [
        [[one.ids.tolist(), one.supervised.tolist()] for one in example.sequences]
        for epoch in range(recipe.epochs)
        for batch in found.batches(epoch, recipe.batch_size, recipe.seed)
        for example in batch
    ]
    job = {
        "model": EMBEDDED,
        "folder": str(where),
        "task": contest.task.to_yaml(),
        "rows": [dict(row) for row in contest.rows],
        "columns": dict(contest.columns),
        "validation": [dict(row) for row in contest.validation],
        "recipe": recipe.model_dump(mode="json"),
    }
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    (folder / "tokens.json").write_text(json.dumps(order), encoding="utf-8")
    return {"tokens": found.tokens, "supervised": found.supervised, "longest": found.longest}


def run(contender: Contender, folder: Path) -> dict[str, Any]:
    """One run of a contender; on failure its last words under ``"failed"``."""
    command = [contender.python, __file__, "--side", contender.side, "--folder", str(folder)]
    command += ["--settings", json.dumps(dict(contender.settings))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "killed")}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compete(contest: Contest, *, repeat: int) -> dict[str, list[dict[str, Any]]]:
    """Let the contenders run in turns; returns every run's figures by the contender's name."""
    runs: dict[str, list[dict[str, Any]]] = {one.name: [] for one in contest.contenders}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        counts = prepare(contest, folder)
        print(about(contest, counts, repeat), flush=True)
        for _ in range(repeat):
            for contender in contest.contenders:
                earlier = runs[contender.name]
                if not (earlier and "failed" in earlier[-1]):
                    earlier.append(run(contender, folder))
                    print(f"  {contender.name}: {short(earlier[-1])}", file=sys.stderr, flush=True)
    check(contest, runs)
    return runs


def short(figures: Mapping[str, Any]) -> str:
    if "failed" in figures:
        return f"failed: {figures['failed']}"
    return f"{figures['examples'] / figures['seconds']:.3f} examples/s, {figures['peak'] / 1e6:.0f} MB"


def about(contest: Contest, counts: Mapping[str, int], repeat: int) -> str:
    from importlib.metadata import version

    recipe, rows = contest.recipe, len(contest.rows)
    threads = os.environ.get("OMP_NUM_THREADS", f"{os.cpu_count()}")
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "peft", "trl"))
    return (
        f"{rows} rows, {counts['tokens'] / rows:.0f} tokens a row ({counts['supervised'] / rows:.0f} of them "
        f"supervised, the longest row {counts['longest']}); {recipe.adapter.kind}, batch size {recipe.batch_size}, "
        f"{recipe.precision}\n"
        f"best of {repeat}; {threads} threads, Python {platform.python_version()}, {packages}"
    )


def check(contest: Contest, runs: Mapping[str, list[dict[str, Any]]]) -> None:
    """All who compute the same batches must find the same losses before and after the first update."""
    allowed = TOLERANCE[contest.recipe.precision]
    wanted: list[float] | None = None
    for contender in contest.contenders:
        for one in runs[contender.name]:
            if "failed" in one or not contender.same_batches:
                continue
            wanted = wanted or one["losses"]
            for step, (mine, first) in enumerate(zip(one["losses"][:2], wanted, strict=False)):
                if abs(mine - first) > allowed * abs(first):
                    raise SystemExit(f"{contender.name}: loss {mine} at step {step + 1}, and not {first}")


def show(contest: Contest, runs: Mapping[str, list[dict[str, Any]]]) -> None:
    """Print the table: how many times as fast the first contender is, and its share of the memory."""
    width = max(len(one.name) for one in contest.contenders) + 2
    print(f"{'':{width}}{'examples/s':>11}{'CPU s each':>12}{'peak MB':>9}{'speed':>8}{'by CPU':>8}{'memory':>8}")
    first: dict[str, float] = {}
    for contender in contest.contenders:
        taken = runs[contender.name]
        if "failed" in taken[-1]:
            print(f"{contender.name:{width}}failed: {taken[-1]['failed'][:100]}")
            continue
        rate = max(one["examples"] / one["seconds"] for one in taken)
        each = min(one["processor"] / one["examples"] for one in taken)
        peak = max(one["peak"] for one in taken)
        first = first or {"rate": rate, "each": each, "peak": peak}
        print(
            f"{contender.name:{width}}{rate:11.2f}{each:12.2f}{peak / 1e6:9.0f}"
            f"{first['rate'] / rate:7.1f}x{each / first['each']:7.1f}x{first['peak'] / peak:7.2f}x"
        )


def options(description: str | None, *, rows: int, repeat: int = 3) -> argparse.ArgumentParser:
    """The arguments that all contests take."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=rows)
    parser.add_argument("--repeat", type=int, default=repeat)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--adapter", choices=["lora", "qlora", "dora"], default="lora")
    parser.add_argument("--threads", type=int, help="of each contender; torch's own choice by default")
    return parser


def chosen_threads(chosen: argparse.Namespace) -> None:
    if chosen.threads:
        os.environ["OMP_NUM_THREADS"] = str(chosen.threads)


def main() -> None:
    """One contender's process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", choices=["ftkit", "trl", "unsloth"], required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--settings", type=json.loads, required=True)
    given = parser.parse_args()
    if given.side == "ftkit":
        print(with_ftkit(given.folder, given.settings))
    elif given.side == "unsloth":
        from unsloth_side import with_unsloth

        print(with_unsloth(given.folder, given.settings))
    else:
        from trl_side import with_trl

        print(with_trl(given.folder, given.settings))


if __name__ == "__main__":
    main()
