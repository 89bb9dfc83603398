"""Intervals and tests, against scipy, against definitions, and against their own promise in simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats

from ftkit.evaluation.statistics import (
    cluster_sums,
    clustered_scores,
    clusters_needed,
    critical_value,
    effective_rows,
    holm,
    mcnemar_exact,
    paired_interval,
    power_of,
    quantile,
    resample,
    score_interval,
    sign_flip,
    wilson_interval,
)
from ftkit.evaluation.statistics.score_interval import score_statistic

Z = critical_value(0.95)


@pytest.mark.parametrize(("right", "rows"), [(0, 1), (0, 40), (1, 40), (33, 40), (40, 40), (517, 1120)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilson_agrees_with_scipy(right: int, rows: int, confidence: float) -> None:
    expected = stats.binomtest(right, rows).proportion_ci(confidence, method="wilson")
    assert wilson_interval(right, rows, critical_value(confidence)) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(("fixed", "regressed"), [(0, 0), (1, 0), (5, 0), (3, 12), (7, 7), (40, 21)])
def test_mcnemar_agrees_with_scipys_binomial_test(fixed: int, regressed: int) -> None:
    expected = stats.binomtest(min(fixed, regressed), fixed + regressed).pvalue if fixed + regressed else 1.0
    assert mcnemar_exact(fixed, regressed) == pytest.approx(expected)


@pytest.mark.parametrize(("fixed", "regressed", "rows"), [(12, 2, 50), (9, 3, 44), (1, 0, 14), (0, 5, 30), (3, 3, 60)])
def test_ends_of_the_paired_interval_are_where_the_score_test_rejects(fixed: int, regressed: int, rows: int) -> None:
    """The nuisance share is found by maximising the likelihood, not by Tango's closed form."""

    def score(change: float) -> float:
        def loss(share: float) -> float:
            cells = (regressed, share), (fixed, share + change), (rows - fixed - regressed, 1 - 2 * share - change)
            return -sum(count * math.log(max(chance, 1e-300)) for count, chance in cells if count)

        found = optimize.minimize_scalar(
            loss, bounds=(max(0, -change), (1 - change) / 2), method="bounded", options={"xatol": 1e-12}
        )
        variance = (2 * found.x + change * (1 - change)) / rows
        return ((fixed - regressed) / rows - change) / math.sqrt(variance)

    low, high = paired_interval(fixed, regressed, rows, Z)
    assert low < (fixed - regressed) / rows < high
    assert score(low) == pytest.approx(Z, abs=1e-3)
    assert score(high) == pytest.approx(-Z, abs=1e-3)


def test_the_paired_interval_has_width_when_no_row_changed() -> None:
    low, high = paired_interval(0, 0, 40, Z)
    assert high == pytest.approx(Z**2 / (40 + Z**2))
    assert low == pytest.approx(-high)


def test_the_paired_interval_turns_with_the_sides() -> None:
    low, high = paired_interval(11, 4, 70, Z)
    assert paired_interval(4, 11, 70, Z) == pytest.approx((-high, -low))
    assert paired_interval(70, 0, 70, Z)[1] == pytest.approx(1.0)


def test_effective_rows_falls_to_the_number_of_groups_when_groups_are_of_one_mind() -> None:
    values = np.repeat([1.0, 0.0, 1.0, 1.0, 0.0, 1.0], 5)
    clusters = np.repeat(np.arange(6), 5)
    assert effective_rows(values, clusters) == pytest.approx(30 / (6 / 5 * 5), rel=1e-9)
    assert effective_rows(values, np.arange(30)) == 30
    assert effective_rows(np.ones(30), clusters) == 6


def test_bootstrap_is_seeded_and_leaves_numpys_generator_alone() -> None:
    sums = np.random.default_rng(1).random((25, 2))
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    first, second = resample(sums, seed=3, draws=500), resample(sums, seed=3, draws=500)
    assert np.random.random() == expected
    assert (first == second).all()
    assert (first != resample(sums, seed=4, draws=500)).any()
    assert first.mean(axis=0) == pytest.approx(sums.sum(axis=0), rel=0.05)


def test_cluster_sums_add_rows_of_one_cluster() -> None:
    sums = cluster_sums(np.array([[1.0, 1.0], [2.0, 1.0], [4.0, 1.0]]), np.array([0, 1, 0]))
    assert sums.tolist() == [[5.0, 2.0], [2.0, 1.0]]


def test_sign_flip_agrees_with_mcnemar_on_single_rows() -> None:
    moved = np.array([1.0] * 14 + [-1.0] * 5 + [0.0] * 30)
    assert sign_flip(moved, seed=0) == pytest.approx(mcnemar_exact(14, 5), abs=0.01)
    assert sign_flip(np.zeros(9), seed=0) == 1.0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_quantile_agrees_with_numpy() -> None:
    values = [0.3, 0.1, 2.5, 0.7, 0.2]
    assert quantile(values, 0.95) == pytest.approx(np.quantile(values, 0.95))
    assert quantile([1.5], 0.5) == 1.5
    assert quantile([], 0.5) is None


def test_rare_changes_have_the_statistic_of_tango() -> None:
    """At the ends of Tango's interval the statistic is the critical value, also where few rows changed."""
    for fixed, regressed, rows in ((1, 1, 40), (1, 2, 60), (3, 3, 120), (1, 1, 400), (2, 9, 200), (30, 4, 300)):
        changes = np.array([1.0] * fixed + [-1.0] * regressed + [0.0] * (rows - fixed - regressed))
        scores = clustered_scores(changes, np.ones(rows), np.arange(rows))
        ends = np.array(paired_interval(fixed, regressed, rows, 1.96))
        assert np.abs(score_statistic(scores, ends, (-1.0, 1.0))) == pytest.approx(1.96, abs=0.04)


def test_power_rises_with_the_rows_where_few_rows_changed() -> None:
    scores = clustered_scores(np.array([1.0, -1.0, *[0.0] * 38]), np.ones(40), np.arange(40))
    powers = [power_of(scores, n, limit=-0.2, bounds=(-1.0, 1.0), confidence=0.95, binary=True) for n in (20, 60, 120)]
    assert powers == sorted(powers)
    assert powers[-1] > 0.99
    assert clusters_needed(scores, limit=-0.2, bounds=(-1.0, 1.0), confidence=0.95, power=0.8, binary=True) < 40


def test_a_changed_test_level_needs_more_changed_groups() -> None:
    """Signs of six groups can have p = 0.03 and signs of eight p = 0.008, so fewer cannot show a gain at 99 %."""
    moved = np.repeat([1.0, *[0.0] * 19], 2)
    scores = clustered_scores(moved, np.ones(40), np.repeat(np.arange(20), 2))
    needed = [
        clusters_needed(scores, limit=0.0, bounds=(-1.0, 1.0), confidence=level, power=0.8, binary=False) or 0
        for level in (0.95, 0.99)
    ]
    assert needed[0] * 0.05 > 6
    assert needed[1] * 0.05 > 8


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.04])
def test_small_noise_is_no_evidence_that_no_answer_is_broken(noise: float) -> None:
    """88 rows without a broken answer leave a share of 3 % of them possible, however little the others vary."""
    changes = np.random.default_rng(4).normal(0.0, noise, 88)
    low, high = score_interval(clustered_scores(changes, np.ones(88), np.arange(88)), 0.95, (-1.0, 1.0))
    assert low < -0.03
    assert high > 0.03
    wide = np.random.default_rng(4).normal(0.0, 0.25, 88)  # here the spread itself decides
    low, high = score_interval(clustered_scores(wide, np.ones(88), np.arange(88)), 0.95, (-1.0, 1.0))
    assert high - low == pytest.approx(2 * 1.99 * wide.std(ddof=1) / 88**0.5, rel=0.1)


def test_power_of_few_rows_is_that_of_few_rows_however_many_the_pilot_had() -> None:
    """Whether a rare answer may be broken depends on the rows that will be asked, and not on those of the pilot."""
    changes = np.random.default_rng(2).normal(0.0, 0.04, 1_500)
    scores = clustered_scores(changes, np.ones(1_500), np.arange(1_500))
    few, many = (
        power_of(scores, rows, limit=-0.02, bounds=(-1.0, 1.0), confidence=0.95, binary=False) for rows in (90, 400)
    )
    assert few < 0.05
    assert many > 0.95
