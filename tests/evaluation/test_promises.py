"""What intervals, verdicts and row counts promise, held to it in simulation.

Each case runs 2,000 comparisons; marked slow, 20,000. A promise of 95 % is met between 93.5 and 96.5: with 2,000 runs
the chance alone moves a true 95 % by ±1 point.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ftkit.evaluation.metrics import RowMetric
from ftkit.evaluation.paired_difference import metric_change
from ftkit.evaluation.scoring import MetricStatistics
from ftkit.evaluation.statistics import (
    bca_interval,
    cluster_sums,
    critical_value,
    effective_rows,
    resample,
    wilson_interval,
)
from ftkit.evaluation.verdict import Improvement, rows_needed, verdict_of
from ftkit.results.metric_result import MetricChange, Verdict

RUNS = [pytest.param(2_000, id="quick"), pytest.param(20_000, id="long", marks=pytest.mark.slow)]
METRIC = RowMetric(name="right", description="", score=lambda row: None)


def groups(generator: np.random.Generator, count: int, largest: int) -> np.ndarray:
    """Each row's group; groups have 1 to ``largest`` rows."""
    return np.repeat(np.arange(count), generator.integers(1, largest + 1, size=count))


def change(moved: np.ndarray, clusters: np.ndarray) -> MetricChange:
    """The change between two models that differ by ``moved`` in each row's score."""
    before = np.where(moved < 0, -moved, 0.0)
    sides = []
    for scores in (before, before + moved):
        tallies = np.stack([scores, np.ones(len(moved))], axis=1)
        sides.append(MetricStatistics(METRIC, tallies, cluster_sums(tallies, clusters)))
    return metric_change(METRIC, sides[0], sides[1], clusters, confidence=0.95, seed=0)


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
        assert covered / runs <= 0.965


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
    assert 0.935 <= covered / runs <= 0.965


@pytest.mark.parametrize(
    ("pairs", "margin"),
    [
        pytest.param(Pairs(0.06, 0.06, 50), 0.05, id="equal models, margin"),
        pytest.param(Pairs(0.05, 0.06, 80), 0.05, id="a small loss, margin"),
        pytest.param(Pairs(0.12, 0.06, 80), None, id="a gain, no margin"),
        pytest.param(Pairs(0.10, 0.10, 25, concentration=3, largest=5), 0.08, id="equal models, groups, margin"),
    ],
)
def test_with_the_rows_that_are_named_four_comparisons_in_five_are_settled(pairs: Pairs, margin: float | None) -> None:
    """The pilot's own estimates are noisy, so the true variance and change go in; the count that comes out is tried."""
    generator = np.random.default_rng(3)
    moved, clusters = zip(*(pairs.draw(generator) for _ in range(400)), strict=True)
    sizes = np.cumsum([0, *(own.max() + 1 for own in clusters)])
    pilot = change(np.concatenate(moved), np.concatenate([own + sizes[at] for at, own in enumerate(clusters)]))
    gain = Improvement.of_change(pilot, pilot.p_value)
    assert gain is not None
    true = type(gain)(gain.values, pairs.truth, gain.low, gain.high, gain.p_value, gain.variance, 10)
    needed = rows_needed(true, margin=margin, confidence=0.95, unit="rate")
    assert needed is not None
    units = needed if pairs.largest == 1 else round(needed / ((1 + pairs.largest) / 2))
    again = Pairs(pairs.fixed, pairs.regressed, units, concentration=pairs.concentration, largest=pairs.largest)
    reached = sum(verdict(found, margin) in ("better", "non-inferior") for found in again.changes(2_000))
    assert 0.75 <= reached / 2_000 <= 0.86


@pytest.mark.parametrize("runs", RUNS)
def test_averaged_samples_do_not_pretend_to_be_rows(runs: int) -> None:
    """Five answers a row from two equal models: rows differ in how hard they are, for both alike."""
    generator = np.random.default_rng(5)
    better = covered = 0
    for _ in range(runs):
        hard = generator.beta(1.5, 1.5, size=30)
        moved = (generator.binomial(5, hard) - generator.binomial(5, hard)) / 5
        found = change(moved, np.arange(30))
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0 <= found.high
        better += verdict(found) == "better"
    assert better / runs <= 0.05
    assert 0.935 <= covered / runs <= 0.965


@pytest.mark.parametrize("runs", RUNS)
@pytest.mark.parametrize(("count", "mean"), [(40, 0.7), (25, 0.9), (16, 0.8)])
def test_intervals_of_rates_over_groups_cover(count: int, mean: float, runs: int) -> None:
    generator = np.random.default_rng(11)
    covered = 0
    for _ in range(runs):
        clusters = groups(generator, count, 7)
        values = (
            generator.random(len(clusters)) < generator.beta(6 * mean, 6 - 6 * mean, size=count)[clusters]
        ).astype(float)
        rows = effective_rows(values, clusters)
        low, high = wilson_interval(values.mean() * rows, rows, critical_value(0.95, count))
        covered += low <= mean <= high
    assert 0.935 <= covered / runs <= 0.965


@pytest.mark.parametrize("runs", RUNS)
@pytest.mark.parametrize("count", [20, 60])
def test_bootstrap_intervals_of_skewed_means_cover(count: int, runs: int) -> None:
    """The share of five fields that is right, row by row."""
    generator = np.random.default_rng(13)
    covered, truth = 0, 4 / 5.5
    for run in range(runs):
        values = generator.binomial(5, generator.beta(4, 1.5, size=count)) / 5
        sums = np.stack([values, np.ones(count)], axis=1)
        drawn, left_out = resample(sums, seed=run, draws=1_000), sums.sum(axis=0) - sums
        low, high = bca_interval(float(values.mean()), drawn[:, 0] / drawn[:, 1], left_out[:, 0] / left_out[:, 1], 0.95)
        covered += low <= truth <= high
    assert 0.935 <= covered / runs <= 0.965


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
