"""Coverage of intervals and error rates of verdicts, by simulation through the functions that reports use.

    python benchmarks/coverage.py [--runs 2000] [--write] [--only NAME]

Each cell draws many test sets from a population whose true values are known: how often the intervals of one model's
value and of the change contain the truth, how often a model that is worse by the margin is called non-inferior, and how
often an equal model is called better. ``--write`` puts the table into docs/statistics.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ftkit.evaluation.metric_interval import value_interval
from ftkit.evaluation.metric_statistics import MetricStatistics
from ftkit.evaluation.metrics import Metric, RowMetric
from ftkit.evaluation.metrics.classification import ChoiceRate, MacroF1
from ftkit.evaluation.paired_difference import metric_change
from ftkit.evaluation.statistics import cluster_sums
from ftkit.evaluation.verdict import Improvement, verdict_of

Array = NDArray[np.float64]
Sample = tuple[Array, Array, NDArray[np.int64]]
"""Statistics of the rows before and after, shape ``[rows, k]``, and the cluster of each row."""

DOCUMENT = Path(__file__).parents[1] / "docs" / "statistics.md"
START, END = "<!-- table -->", "<!-- end of table -->"
SIZES = (20, 50, 88, 200, 1000)
MEAN = RowMetric(name="score", description="", score=lambda row: None)


@dataclass(frozen=True)
class Population:
    """Rows of two models with a known truth.

    Attributes:
        name: as the table shows it.
        metric: the metric.
        draw: draws about ``rows`` rows.
        value: the first model's true value.
        change: the true change.
        sizes: numbers of rows.
    """

    name: str
    metric: Metric
    draw: Callable[[np.random.Generator, int], Sample]
    value: float
    change: float
    sizes: Sequence[int] = SIZES


def scores(before: Array, after: Array, clusters: NDArray[np.int64] | None = None) -> Sample:
    ones = np.ones(len(before))
    own = np.arange(len(before)) if clusters is None else clusters
    return np.stack([before, ones], axis=1), np.stack([after, ones], axis=1), own


def rate(right: float, fixed: float, regressed: float) -> Population:
    """Right or wrong, independent rows."""

    def draw(generator: np.random.Generator, rows: int) -> Sample:
        before = generator.random(rows) < right
        turned = generator.random(rows) < np.where(before, regressed / right, fixed / max(1e-9, 1 - right))
        return scores(before.astype(float), (before ^ turned).astype(float))

    return Population(
        f"rate {right:.0%}, {fixed:.0%} fixed, {regressed:.0%} regressed", MEAN, draw, right, fixed - regressed
    )


def fields(right: float, broken: float, *, loss: float = 0.0, count: int = 5) -> Population:
    """Mean accuracy of fields; a share of answers is wholly broken, independently on each side."""

    def side(generator: np.random.Generator, rows: int, share: float, skill: Array, own: float) -> Array:
        answers = generator.binomial(count, (skill * own).clip(0, 1)) / count
        return np.where(generator.random(rows) < share, 0.0, answers)

    def draw(generator: np.random.Generator, rows: int) -> Sample:
        skill = np.full(rows, right) if right == 1 else generator.beta(right * 6, (1 - right) * 6, rows)
        before = side(generator, rows, broken, skill, 1.0)
        return scores(before, side(generator, rows, broken + loss, skill, 1.0))

    value = right * (1 - broken)
    return Population(
        f"mean of {count} fields, {right:.0%} right, {broken:.0%} of answers broken"
        + (f", then {broken + loss:.0%}" if loss else ""),
        MEAN,
        draw,
        value,
        -right * loss,
    )


def samples(right: float, change: float, count: int = 5) -> Population:
    """Several samples a row, of rows that differ in difficulty."""

    def draw(generator: np.random.Generator, rows: int) -> Sample:
        chance = generator.beta(right * 0.8, (1 - right) * 0.8, rows)
        before = generator.binomial(count, chance) / count
        after = generator.binomial(count, chance * (1 + change / right)) / count
        return scores(before, after)

    return Population(f"{count} samples a row, {right:.0%}, change {change:+.0%}", MEAN, draw, right, change)


def groups(right: float, change: float, concentration: float, *, skewed: bool) -> Population:
    """Rows in groups; skewed: a tenth of the groups has 30 rows, the others have 2."""

    def draw(generator: np.random.Generator, count: int) -> Sample:
        if skewed:
            sizes = np.full(count, 2)
            sizes[: max(1, round(count / 10))] = 30
        else:
            sizes = generator.integers(1, 7, size=count)
        clusters = np.repeat(np.arange(count), sizes)
        chance = generator.beta(right * concentration, (1 - right) * concentration, count)[clusters]
        lift = generator.beta(concentration / 4, concentration / 4, count)[clusters] * 2
        before = generator.random(len(clusters)) < chance
        after = generator.random(len(clusters)) < chance * (1 + change / right * lift)
        return scores(before.astype(float), after.astype(float), clusters)

    kind = "a tenth of the groups has 30 rows, the others 2" if skewed else "groups of 1 to 6 rows"
    return Population(
        f"rate {right:.0%}, {kind}, change {change:+.0%}", MEAN, draw, right, change, sizes=(20, 50, 100, 300)
    )


def choices(shares: Sequence[float], skill: float, metric: Metric, name: str, sizes: Sequence[int]) -> Population:
    """A classifier of several choices; both models have the same skill."""
    count = len(shares)
    chance = np.array(shares)

    def answers(generator: np.random.Generator, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(generator.random(len(wanted)) < skill, wanted, generator.choice(count, len(wanted), p=chance))

    def statistics(wanted: NDArray[np.int64], got: NDArray[np.int64]) -> Array:
        kinds = np.arange(count)
        target, predicted = wanted[:, None] == kinds, got[:, None] == kinds
        if isinstance(metric, MacroF1):
            return np.concatenate([target & predicted, target | predicted], axis=1).astype(float)
        last = count - 1
        below = predicted[:, last] if metric.kind == "precision" else target[:, last] | predicted[:, last]  # type: ignore[attr-defined]
        return np.stack([(target & predicted)[:, last], below], axis=1).astype(float)

    def draw(generator: np.random.Generator, rows: int) -> Sample:
        wanted = generator.choice(count, rows, p=chance)
        sides = [statistics(wanted, answers(generator, wanted)) for _ in range(2)]
        return sides[0], sides[1], np.arange(rows)

    generator = np.random.default_rng(1)
    wanted = generator.choice(count, 2_000_000, p=chance)
    truth = float(metric.compute(statistics(wanted, answers(generator, wanted)).sum(axis=0)))
    return Population(name, metric, draw, truth, 0.0, sizes)


def populations() -> Iterator[Population]:
    yield rate(0.5, 0.1, 0.1)
    yield rate(0.9, 0.03, 0.05)
    yield rate(0.98, 0.01, 0.01)
    yield fields(1.0, 0.02)
    yield fields(0.8, 0.0)
    yield fields(0.9, 0.02, loss=0.02)
    yield samples(0.7, 0.0)
    yield samples(0.8, -0.05)
    yield groups(0.7, 0.0, 3, skewed=False)
    yield groups(0.7, 0.0, 3, skewed=True)
    yield groups(0.8, -0.05, 8, skewed=True)
    rare = (0.9, 0.07, 0.03)
    precision = ChoiceRate(name="precision:c", description="", choice="c", kind="precision")
    f1 = ChoiceRate(name="f1:c", description="", choice="c", kind="f1")
    macro = MacroF1(name="macro_f1", description="", choices=("a", "b", "c"))
    yield choices(rare, 0.8, precision, "precision of a choice with 3 % of rows", SIZES)
    yield choices((0.5, 0.3, 0.2), 0.8, f1, "F1 of a choice with 20 % of rows", SIZES)
    yield choices(rare, 0.8, macro, "macro F1, choices 90/7/3", SIZES)
    yield choices((0.4, 0.35, 0.25), 0.8, macro, "macro F1, choices 40/35/25", SIZES)


@dataclass
class Cell:
    """What a cell's simulations found; shares of its runs."""

    population: str
    rows: int
    value_covered: float
    change_covered: float
    without_interval: float
    false_non_inferior: float
    false_better: float


def simulate(population: Population, rows: int, runs: int, seed: int = 7) -> Cell:
    generator = np.random.default_rng(seed)
    covered = changed = defined = value_defined = passed = better = 0
    margin = max(0.02, -population.change)
    for _ in range(runs):
        before, after, clusters = population.draw(generator, rows)
        sides = [MetricStatistics(population.metric, side, cluster_sums(side, clusters)) for side in (before, after)]
        interval = value_interval(sides[0], clusters, 0.95)
        if interval.low is not None and interval.high is not None:
            value_defined += 1
            covered += interval.low - 1e-9 <= population.value <= interval.high + 1e-9
        change = metric_change(population.metric, sides[0], sides[1], clusters, confidence=0.95, seed=0)
        if change.low is None or change.high is None:
            continue
        defined += 1
        changed += change.low - 1e-9 <= population.change <= change.high + 1e-9
        improvement = Improvement.of_change(change, change.p_value)
        assert improvement is not None
        better += verdict_of(improvement, margin=None, confidence=0.95) == "better"
        if population.change < 0:
            passed += verdict_of(improvement, margin=margin, confidence=0.95) in ("better", "non-inferior")
    none = float("nan")
    return Cell(
        population.name,
        rows,
        covered / value_defined if value_defined else none,
        changed / defined if defined else none,
        1 - defined / runs,
        passed / runs if population.change < 0 else none,
        better / runs if population.change <= 0 else none,
    )


def share(value: float) -> str:
    return "–" if value != value else f"{100 * value:.1f}"


def write_table(lines: Sequence[str]) -> None:
    """Replace the table in the document."""
    before, start, rest = DOCUMENT.read_text(encoding="utf-8").partition(START)
    _, end, after = rest.partition(END)
    DOCUMENT.write_text("\n".join([before + start, "", *lines, "", end + after]), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--only", default="", help="populations whose name has this text")
    parser.add_argument("--sizes", type=int, nargs="*", help="numbers of rows instead of each population's own")
    parser.add_argument("--write", action="store_true", help="put the table into docs/statistics.md")
    chosen = parser.parse_args()
    titles = ("population", "n", "value", "change", "no interval", "false non-inferior", "false better")
    lines = ["| " + " | ".join(titles) + " |", "|---|" + "---:|" * 6]
    print("\n".join(lines))
    for population in populations():
        if chosen.only not in population.name:
            continue
        for rows in chosen.sizes or population.sizes:
            started = time.time()
            cell = simulate(population, rows, chosen.runs)
            numbers = (
                cell.value_covered,
                cell.change_covered,
                cell.without_interval,
                cell.false_non_inferior,
                cell.false_better,
            )
            lines.append(f"| {cell.population} | {rows:,} | {' | '.join(map(share, numbers))} |")
            print(lines[-1], flush=True)
            print(f"{time.time() - started:.0f} s", file=sys.stderr)
    if chosen.write:
        write_table(lines)


if __name__ == "__main__":
    main()
