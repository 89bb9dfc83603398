"""A rule has a time, tells what it does, and says what it left out; many rows of many labels end in time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import ftkit as ft
from ftkit.linting import CorpusRule, RowRule, lint_rules
from ftkit.linting.finding import RuleFinding
from ftkit.linting.softmax_regression import SoftmaxRegression
from ftkit.linting.time_budget import TimeBudget

TASK = ft.Task("Say it.", input="{q}")


class SlowRow(RowRule):
    """Slow on each row."""

    code, name = "X901", "slow-row"

    def check(self, view: Any, context: Any) -> Iterator[RuleFinding]:
        time.sleep(0.01)
        yield RuleFinding("slow")


class SlowCorpus(CorpusRule):
    """Slow between findings."""

    code, name = "X902", "slow-corpus"
    needs_features = False

    def check(self, corpus: Any) -> Iterator[RuleFinding]:
        for row in range(40):
            if row >= 3:
                time.sleep(0.6)
            yield RuleFinding("slow", row=row)


@pytest.fixture
def slow_rules() -> Iterator[None]:
    for rule in (SlowRow, SlowCorpus):
        lint_rules.register(rule.code, rule)  # type: ignore[arg-type]
    yield
    for rule in (SlowRow, SlowCorpus):
        lint_rules.unregister(rule.code)


def test_slow_rules_end_and_the_report_says_where(slow_rules: None) -> None:
    data = ft.Dataset.from_rows([{"q": str(n), "a": "b"} for n in range(120)], TASK, target="a")
    report = ft.lint(data, select=["X9"], rule_seconds=0.3)
    by_rule = {line.split()[0]: line for line in report.limited}
    assert "X901 slow-row checked only the first " in by_rule["X901"]
    assert len(report["X901"]) < 120
    assert 3 <= len(report["X902"]) < 8
    assert "with the findings until then" in by_rule["X902"]
    assert "Sampled: X901 slow-row" in str(report)
    whole = ft.lint(data.take(5), select=["X901"], rule_seconds=None)
    assert (whole.limited, len(whole["X901"])) == ((), 5)
    with pytest.raises(ft.ConfigError, match="rule_seconds must be positive"):
        ft.lint(data, rule_seconds=0)


def test_the_classifier_is_that_of_scikit_learn_and_stops_in_time() -> None:
    from sklearn.linear_model import LogisticRegression

    generator = np.random.default_rng(0)
    classes = generator.integers(0, 6, 400)
    vectors = (generator.normal(size=(6, 20))[classes] + generator.normal(size=(400, 20))).astype(np.float32) / 5
    ours = SoftmaxRegression(10.0, 60.0).fit(vectors, classes, 6)
    theirs = LogisticRegression(C=10.0, max_iter=1000, class_weight="balanced", tol=1e-6).fit(vectors, classes)
    assert ours.converged
    assert np.abs(ours.predict_proba(vectors) - theirs.predict_proba(vectors)).max() < 0.02
    hurried = SoftmaxRegression(10.0, 0.0).fit(vectors, classes, 6)
    assert not hurried.converged
    assert np.allclose(hurried.predict_proba(vectors).sum(axis=1), 1, atol=1e-5)


def test_a_budget_tells_what_runs() -> None:
    said: list[str] = []
    budget = TimeBudget(5.0, said.append)
    budget.begin("L005 likely-mislabel")
    budget.step("vectors of the rows")
    budget.limit("trained on 10 of 20 rows")
    assert said == ["L005 likely-mislabel", "L005 likely-mislabel: vectors of the rows"]
    assert 4.0 < budget.left_s <= 5.0
    assert budget.limited == {"L005 likely-mislabel": "trained on 10 of 20 rows"}
