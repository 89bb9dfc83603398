"""What intervals, verdicts and row counts promise, held to it in simulation.

Each case runs 500 comparisons; marked slow, 20,000.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.coverage import Population, populations, simulate
from ftkit.evaluation.metric_interval import PairedStatistics
from ftkit.evaluation.metric_statistics import MetricStatistics
from ftkit.evaluation.metrics import RowMetric
from ftkit.evaluation.paired_difference import metric_change
from ftkit.evaluation.statistics import cluster_sums
from ftkit.evaluation.verdict import Improvement, rows_needed, verdict_of
from ftkit.results.metric_result import MetricChange, Verdict

RUNS = [pytest.param(250, id="quick"), pytest.param(20_000, id="long", marks=pytest.mark.slow)]
METRIC = RowMetric(name="right", description="", score=lambda row: None)


def groups(generator: np.random.Generator, count: int, largest: int) -> np.ndarray:
    """Each row's group; groups have 1 to ``largest`` rows."""
    return np.repeat(np.arange(count), generator.integers(1, largest + 1, size=count))


def paired(moved: np.ndarray, clusters: np.ndarray) -> PairedStatistics:
    """Two models that differ by ``moved`` in each row's score."""
    before = np.where(moved < 0, -moved, 0.0)
    sides = []
    for scores in (before, before + moved):
        tallies = np.stack([scores, np.ones(len(moved))], axis=1)
        sides.append(MetricStatistics(METRIC, tallies, cluster_sums(tallies, clusters)))
    return PairedStatistics(sides[0], sides[1], clusters)


def change(moved: np.ndarray, clusters: np.ndarray) -> MetricChange:
    """The change between two models that differ by ``moved`` in each row's score."""
    both = paired(moved, clusters)
    return metric_change(METRIC, both.before, both.after, clusters, confidence=0.95, seed=0)


class Pairs:
    """Comparisons of two models whose true change is known."""

    def __init__(
        self, fixed: float, regressed: float, rows: int, *, concentration: float | None = None, largest: int = 1
    ):
        self.fixed, self.regressed, self.rows = fixed, regressed, rows
        self.concentration, self.largest = concentration, largest

    @property
    def truth(self) -> float:
        return self.fixed - self.regressed

    def draw(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Changes of the rows and their groups; groups differ in how often their rows are fixed and regressed."""
        shares = np.array([self.fixed, self.regressed, 1 - self.fixed - self.regressed])
        if self.concentration is None:
            kinds = generator.choice(3, size=self.rows, p=shares)
            return np.array([1.0, -1.0, 0.0])[kinds], np.arange(self.rows)
        clusters = groups(generator, self.rows, self.largest)
        own = generator.dirichlet(shares * self.concentration, size=self.rows)[clusters]
        kinds = (generator.random(len(clusters))[:, None] > own.cumsum(axis=1)).sum(axis=1).clip(max=2)
        return np.array([1.0, -1.0, 0.0])[kinds], clusters

    def changes(self, runs: int) -> Iterator[MetricChange]:
        generator = np.random.default_rng(7)
        for _ in range(runs):
            yield change(*self.draw(generator))


def verdict(found: MetricChange, margin: float | None = None) -> Verdict:
    gain = Improvement.of_change(found, found.p_value)
    assert gain is not None
    return verdict_of(gain, margin=margin, confidence=0.95)


EQUAL = [
    pytest.param(Pairs(0.06, 0.06, 120), id="rows"),
    pytest.param(Pairs(0.02, 0.02, 400), id="rows that rarely change"),
    pytest.param(Pairs(0.10, 0.10, 40, concentration=3, largest=6), id="groups"),
    pytest.param(Pairs(0.15, 0.15, 15, concentration=4, largest=9), id="few groups"),
]


@pytest.mark.parametrize("runs", RUNS)
@pytest.mark.parametrize("pairs", EQUAL)
def test_equal_models_are_rarely_called_better_and_their_interval_covers_zero(pairs: Pairs, runs: int) -> None:
    better = worse = covered = 0
    for found in pairs.changes(runs):
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0 <= found.high
        said = verdict(found)
        better += said == "better"
        worse += said == "worse"
    assert better / runs <= 0.05
    assert worse / runs <= 0.05
    assert covered / runs >= 0.935
    if (
        pairs.largest == 1 and pairs.fixed > 0.05
    ):  # where changes are rare or groups few, the interval errs on the wide side
        assert covered / runs <= 0.98


@pytest.mark.parametrize("runs", RUNS)
@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param(Pairs(0.05, 0.10, 200), id="rows"),
        pytest.param(Pairs(0.0, 0.05, 150), id="rows that only regress"),
        pytest.param(Pairs(0.08, 0.13, 60, concentration=4, largest=6), id="groups"),
    ],
)
def test_models_worse_by_the_margin_are_rarely_called_non_inferior(pairs: Pairs, runs: int) -> None:
    passed = sum(verdict(found, margin=-pairs.truth) in ("better", "non-inferior") for found in pairs.changes(runs))
    assert passed / runs <= 0.05


@pytest.mark.parametrize("runs", RUNS)
@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param(Pairs(0.14, 0.05, 120), id="rows"),
        pytest.param(Pairs(0.30, 0.10, 50, concentration=5, largest=5), id="groups"),
    ],
)
def test_intervals_of_real_changes_cover(pairs: Pairs, runs: int) -> None:
    covered = sum(
        found.low is not None and found.high is not None and found.low <= pairs.truth <= found.high
        for found in pairs.changes(runs)
    )
    assert 0.92 <= covered / runs <= 0.98


@pytest.mark.parametrize(
    ("pairs", "margin"),
    [
        pytest.param(Pairs(0.06, 0.06, 50), 0.05, id="equal models, margin"),
        pytest.param(Pairs(0.05, 0.06, 80), 0.05, id="a small loss, margin"),
        pytest.param(Pairs(0.12, 0.06, 80), None, id="a gain, no margin"),
        pytest.param(Pairs(0.04, 0.0, 80), None, id="a gain of few rows, no margin"),
        pytest.param(
            Pairs(0.10, 0.10, 25, concentration=3, largest=5),
            0.08,
            id="equal models, groups, margin",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_with_the_rows_that_are_named_four_comparisons_in_five_are_settled(pairs: Pairs, margin: float | None) -> None:
    """The pilot's own estimates are noisy, so a large one stands for the truth; the count that comes out is tried."""
    generator = np.random.default_rng(3)
    moved, clusters = zip(*(pairs.draw(generator) for _ in range(1_500)), strict=True)
    sizes = np.cumsum([0, *(own.max() + 1 for own in clusters)])
    pilot = paired(np.concatenate(moved), np.concatenate([own + sizes[at] for at, own in enumerate(clusters)]))
    needed = rows_needed(pilot, margin=margin, confidence=0.95, higher_is_better=True)
    assert needed is not None
    again = Pairs(pairs.fixed, pairs.regressed, needed[1], concentration=pairs.concentration, largest=pairs.largest)
    reached = sum(verdict(found, margin) in ("better", "non-inferior") for found in again.changes(500))
    assert 0.74 <= reached / 500 <= 0.88


def test_no_number_of_rows_is_named_that_the_test_could_not_decide() -> None:
    moved = np.zeros(100)
    moved[:5] = 1.0  # p = 0.063 by McNemar's test, although the interval excludes 0
    needed = rows_needed(paired(moved, np.arange(100)), margin=None, confidence=0.95, higher_is_better=True)
    assert needed is not None
    assert needed[0] > 100


@pytest.mark.parametrize("runs", [pytest.param(500, id="quick"), RUNS[1]])
def test_averaged_samples_do_not_pretend_to_be_rows(runs: int) -> None:
    """Five answers a row from two equal models: rows differ in how hard they are, for both alike."""
    generator = np.random.default_rng(5)
    better = covered = 0
    for _ in range(runs):
        hard = generator.beta(1.5, 1.5, size=60)
        moved = (generator.binomial(5, hard) - generator.binomial(5, hard)) / 5
        found = change(moved, np.arange(60))
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0 <= found.high
        better += verdict(found) == "better"
    assert better / runs <= 0.05
    assert 0.93 <= covered / runs <= 0.975


CELLS = [(population, rows) for population in populations() for rows in population.sizes]


@pytest.mark.parametrize(
    ("population", "rows"),
    [
        pytest.param(
            population,
            rows,
            id=f"{population.name}, n = {rows}",
            marks=() if rows == population.sizes[1] else pytest.mark.slow,
        )
        for population, rows in CELLS
    ],
)
def test_every_cell_of_the_table_is_inside_the_promise(population: Population, rows: int) -> None:
    """50 runs in the quick version see gross faults; the slow ones and docs/statistics.md hold the promise itself."""
    runs = 50 if rows == population.sizes[1] else 2_000
    cell = simulate(population, rows, runs)
    slack = 3 * (0.05 * 0.95 / runs) ** 0.5
    for covered in (cell.value_covered, cell.change_covered):
        assert covered != covered or covered >= 0.935 - slack
    assert cell.false_non_inferior != cell.false_non_inferior or cell.false_non_inferior <= 0.05 + slack
    assert cell.false_better != cell.false_better or cell.false_better <= 0.025 + slack


def test_holm_keeps_the_chance_of_any_false_alarm_over_many_fields() -> None:
    from ftkit.evaluation.statistics import holm, mcnemar_exact

    generator = np.random.default_rng(17)
    alarms = 0
    exact = {(up, down): mcnemar_exact(up, down) for up in range(40) for down in range(40)}
    for _ in range(2_000):
        shared = generator.random((80, 1)) < 0.3  # fields of one row go wrong together
        moved = np.where(shared, generator.integers(-1, 2, size=(80, 12)), 0)
        p_values = [exact[up, down] for up, down in zip((moved > 0).sum(axis=0), (moved < 0).sum(axis=0), strict=True)]
        alarms += min(holm(p_values)) <= 0.05
    assert alarms / 2_000 <= 0.05
