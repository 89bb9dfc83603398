"""Which recipe is best on six small tasks, and what ``"auto"`` should be: a sweep, and rules fitted by leave-one-out.

    python benchmarks/auto_recipe.py sweep --data ../data --out sweep [--tasks snips visits] [--points 12]
    python benchmarks/auto_recipe.py rules sweep
    python benchmarks/auto_recipe.py table --data ../data sweep

``--data`` holds one folder for each public task: addresses, snips, gsm8k, bfcl, sql (JSON Lines; the loaders in
``auto_recipe_tasks.py`` say which columns). ``examples/visits`` is the sixth. A point of the sweep is one recipe on one
task: trained on ``--rows`` rows, and scored on ``--validation`` other rows of the training file (GSM8K, SQL and BFCL,
of which this model solves too few to count, by the probability per token of the written answer). The first point is
``ft.SFT()``, in which all is ``"auto"``; the others are drawn so that every value of every field comes up equally
often. All of them run on Snips, which takes a tenth of the others' time; ``"auto"`` and the ``--promising`` best ones
there, the best first, run on the other tasks (a race, as irace runs it: López-Ibáñez et al. 2016). Each point is a line
of ``OUT/TASK.jsonl`` when it is done. The same command goes on where it was stopped, inside a point from its
checkpoint; two commands with different ``--tasks`` may run side by side once Snips is done. The models of ``"auto"``
and of the best point are kept.

``rules`` chooses one recipe for each task by the other tasks' points (the one with the highest mean share of each
task's best score), and prints how near it and ``"auto"`` come to the best of the sweep on the task that was left out.

``table`` asks the base, the base with examples, and the two kept models of each task on the test rows, by which nothing
was chosen, with the probes of what was forgotten. Its reports are kept, too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import resource
import shutil
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from auto_recipe_tasks import TASKS, Trial, metric_of, read

import ftkit as ft
from ftkit.modeling.model_source import find_source
from ftkit.recipe import RecipeFacts
from ftkit.training.job import Job, train

GRID: dict[str, tuple[Any, ...]] = {
    "learning_rate": (2e-4, 5e-4, 1e-3, 2e-3),
    "epochs": (1, 2, 3),
    "rank": (8, 16, 32),
    "batch_size": (4, 8, 16),
    "lr_scheduler_type": ("linear", "cosine", "constant"),
    "ema_decay": (None, 0.95),
    "neftune_noise_alpha": (None, 5.0),
}
QUICK = "snips"
"""The task that takes a tenth of the others' time: all points run on it, and the best ones on the others."""


def auto(options: argparse.Namespace) -> dict[str, Any]:
    """The point that ``ft.SFT()`` is. It is written in numbers, so that it is another one if the rules change."""
    resolved = ft.SFT().resolve(RecipeFacts(options.rows, size=find_source(options.model).size()))
    fields = {**resolved.model_dump(), "rank": resolved.adapter.model_dump()["rank"]}
    return {name: fields[name] for name in GRID}


def points(count: int) -> list[dict[str, Any]]:
    """Recipes of the grid in which every value of every field comes up equally often."""
    draw = random.Random(16)
    columns = []
    for values in GRID.values():
        column = [value for _ in range(-(-count // len(values))) for value in draw.sample(values, len(values))]
        columns.append(column[:count])
    return [dict(zip(GRID, each, strict=True)) for each in zip(*columns, strict=True)]


def promising(count: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The points that the slow tasks take: ``"auto"``, then the ``count`` best of Snips, the best one first."""
    drawn = points(options.points)
    scores = {json.dumps(line["point"]): line["score"] for line in points_done(options.out, QUICK)}
    if missing := sum(json.dumps(point) not in scores for point in drawn):
        raise SystemExit(f"{options.out}: {missing} points of {QUICK} are missing; run `--tasks {QUICK}` first")
    return [auto(options), *sorted(drawn, key=lambda point: -scores[json.dumps(point)])[:count]]


def recipe_of(point: Mapping[str, Any], rows: int) -> ft.SFT:
    """The recipe of a point. Its result is the model with the lowest validation loss at the end of an epoch."""
    fields = {key: value for key, value in point.items() if key != "rank"}
    return ft.SFT(adapter=ft.LoRA(rank=point["rank"]), eval_steps=-(-rows // point["batch_size"]), **fields)


def folder_of(name: str, point: Mapping[str, Any], options: argparse.Namespace) -> Path:
    """Where a point's model is."""
    fingerprint = recipe_of(point, options.rows).fingerprint.removeprefix("sha256:")
    return options.out / f"{name}-{fingerprint[:16]}" / "model"


def measured(tried: Trial, **more: Any) -> dict[str, Any]:
    """Options of an evaluation on a trial's rows."""
    sampling = ft.Sampling(max_output_tokens=tried.max_output_tokens)
    return {"metrics": [metric_of(tried)], "sampling": sampling, "probes": None, "progress": False, **more}


def run_point(name: str, tried: Trial, point: Mapping[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Train and score one recipe. Minutes are of processor time, which other work on the machine disturbs little."""
    rows, validation = training_rows(tried, options)
    folder = folder_of(name, point, options)
    began = processor_seconds()
    summary = train_point(tried, point, folder, options)
    trained = processor_seconds()
    loss = summary["validation_loss"]
    if tried.chosen_by_loss:
        score = math.exp(-loss)
    else:
        model = ft.Model(f"local:{folder}", tried.task)
        score = ft.evaluate(model, validation, **measured(tried))[tried.metric].value
    return {
        "task": name, "point": dict(point), "rows": len(rows), "validation": len(validation), "score": score,
        "loss": loss, "train_loss": summary["train_loss"],
        "minutes": round((trained - began) / 60, 2), "answer_minutes": round((processor_seconds() - trained) / 60, 2),
    }  # fmt: skip


def train_point(tried: Trial, point: Mapping[str, Any], folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Train one recipe, and return the run's summary."""
    rows, validation = training_rows(tried, options)
    return train(Job(recipe_of(point, options.rows), rows, validation, options.model, folder), lambda kind, data: None)


def training_rows(tried: Trial, options: argparse.Namespace) -> tuple[ft.Dataset, ft.Dataset]:
    """The rows to train on, and the others of the training file that recipes are chosen by."""
    drawn = tried.train.shuffle(0).take(options.rows + options.validation)
    return drawn.take(options.rows), drawn[options.rows :]


def processor_seconds() -> float:
    """Processor time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def sweep(options: argparse.Namespace) -> None:
    """Run the points that ``--out`` does not have: those of the quick task, then the others' in turns."""
    options.out.mkdir(parents=True, exist_ok=True)
    slow = [name for name in options.tasks if name != QUICK]
    if QUICK in options.tasks:
        run_points([QUICK], [auto(options), *points(options.points)], options)
    if slow:
        run_points(slow, promising(options.promising, options), options)


def run_points(names: list[str], chosen: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Run points that ``--out`` does not have, each on every task before the next."""
    trials = {name: TASKS[name](options.data) for name in names}
    for point, name in itertools.product(chosen, names):
        wanted = (options.rows, options.validation)
        done = [line for line in points_done(options.out, name) if (line["rows"], line["validation"]) == wanted]
        if any(line["point"] == point for line in done):
            continue
        found = run_point(name, trials[name], point, options)
        with (options.out / f"{name}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")
        kept = {folder_of(name, each, options) for each in (auto(options), best([*done, found])["point"])}
        for line in (*done, found):
            if (folder := folder_of(name, line["point"], options)) not in kept:
                shutil.rmtree(folder.parent, ignore_errors=True)
        print(f"{name:10} {found['score']:.3f}  {found['minutes']:5.1f} min  {point}", flush=True)


def points_done(out: Path, name: str) -> list[dict[str, Any]]:
    """The points of a task that have been run."""
    file = out / f"{name}.jsonl"
    return read(file) if file.is_file() else []


def best(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The line with the highest score, the first of equal ones."""
    return max(lines, key=lambda line: line["score"])


def rules(options: argparse.Namespace) -> None:
    """Print, for each task, the recipe that the others choose, and how near it and ``"auto"`` come to the best."""
    out, is_auto = options.out, json.dumps(auto(options))
    lines = {
        file.stem: {json.dumps(line["point"]): line["score"] for line in read(file)} for file in out.glob("*.jsonl")
    }
    shared = set.intersection(*(set(each) for each in lines.values())) if lines else set()
    if len(lines) < 2 or len(shared) < 2:
        raise SystemExit(f"{out}: rules need two tasks with the same points; it has {len(lines)}, {len(shared)} shared")
    highest = {name: max(each.values()) for name, each in lines.items()}

    def mean_share(point: str, left_out: str | None) -> float:
        shares = [each[point] / highest[name] for name, each in lines.items() if name != left_out and highest[name]]
        return statistics.mean(shares) if shares else math.nan

    print(f"{len(shared)} recipes on {len(lines)} tasks; the rule is chosen without the task that it is tried on")
    for name, each in sorted(lines.items()):
        chosen = max(sorted(shared), key=lambda point: mean_share(point, name))
        of_best = [
            f"{each[point] / highest[name]:.1%}" if highest[name] and point in each else "–"
            for point in (is_auto, chosen)
        ]
        print(f"{name:10} best {highest[name]:.3f}  auto {of_best[0]:>6} of it  rule {of_best[1]:>6}  {chosen}")
    print("\nmean share of the best of each task:")
    for point in sorted(shared, key=lambda point: -mean_share(point, None)):
        print(f"  {mean_share(point, None):.1%}  {point}{' (auto)' if point == is_auto else ''}")


def table(options: argparse.Namespace) -> None:
    """Print the scores of base, base with examples, ``"auto"`` and best of the sweep, and what each forgot."""
    print("| task | model | score | general set | perplexity of prose | minutes |\n|---|---|---|---|---|---|")
    for name in options.tasks:
        if not (lines := points_done(options.out, name)):
            continue
        tried, first = TASKS[name](options.data), next(line for line in lines if line["point"] == auto(options))
        kept = {"base": None, "4 examples": None, "`auto`": first, "best of the sweep": best(lines)}
        for label, line in kept.items():
            same = label != "`auto`" and line is not None and line["point"] == first["point"]
            report = reported(name, tried, "`auto`" if same else label, line, options)
            found, probes = report[tried.metric], report.probes
            general = text = "–"
            if probes is not None and probes.general is not None:
                general = f"{probes.general['passed'].value:.0%}"
            if probes is not None and probes.text is not None:
                text = f"{probes.text.perplexity:.1f}"
            minutes = "–" if line is None else f"{line['minutes']:.1f}"
            score = f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"
            print(f"| {name} | {label} | {score} | {general} | {text} | {minutes} |", flush=True)


def reported(
    name: str, tried: Trial, label: str, line: Mapping[str, Any] | None, options: argparse.Namespace
) -> ft.Report:
    """The report of a model, kept or made."""
    file = options.out / "reports" / f"{name}-{label.strip('`').replace(' ', '-')}.json"
    if file.is_file():
        return ft.Report.load(file)
    source = options.model
    if line is not None:
        source = folder_of(name, line["point"], options)
        if not source.is_dir():  # the points are from another machine
            train_point(tried, line["point"], source, options)
    model, test = ft.Model(f"local:{source}", tried.task), tried.test.take(options.test)
    probes = ft.Probes(general=options.general)
    if label == "4 examples":
        chosen = measured(tried)
        [report] = ft.baselines(
            model, test, examples=training_rows(tried, options)[0], shots=(4,), constrained=False, **chosen
        )
    else:
        report = ft.evaluate(model, test, **measured(tried, probes=probes))
    file.parent.mkdir(exist_ok=True)
    report.save(file)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ("sweep", "rules", "table"):
        one = commands.add_parser(command)
        one.add_argument("--rows", type=int, default=150, help="rows to train on")
        one.add_argument("--model", default="smollm2-135m")
        if command == "sweep":
            one.add_argument("--out", type=Path, required=True)
            one.add_argument("--points", type=int, default=12, help="recipes beside auto")
            one.add_argument("--promising", type=int, default=4, help=f"of them, how many go on from {QUICK}")
        else:
            one.add_argument("out", type=Path)
        if command != "rules":
            one.add_argument("--data", type=Path, default=Path("data"))
            one.add_argument("--tasks", nargs="+", choices=sorted(TASKS), default=sorted(TASKS))
            one.add_argument("--validation", type=int, default=60, help="rows that recipes are chosen by")
        if command == "table":
            one.add_argument("--test", type=int, default=150, help="most rows to score")
            one.add_argument("--general", type=int, default=60, help="questions of the general set")
    options = parser.parse_args()
    {"sweep": sweep, "rules": rules, "table": table}[options.command](options)


if __name__ == "__main__":
    main()
