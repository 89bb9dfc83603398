"""Every rule finds what was planted for it; the benchmark with all data sets is ``benchmarks/lint_planted.py``."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.linting import known_rules
from tests.linting.planted import BASES, PLANTS

LIKELIHOOD = {"L005"}


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: f"{plant.code}-{plant.bases[0]}-{plant.role}")
def test_a_planted_defect_is_found(plant: Any, tmp_path: Path) -> None:
    base = BASES[plant.bases[0]]
    rows, planted = plant.make(base.rows, random.Random(3))
    made = base.opened(rows, tmp_path / "planted.jsonl")
    clean = base.opened(base.rows, tmp_path / "clean.jsonl")
    report = plant.report(made, clean, select=[plant.code])
    found = plant.flagged(report)
    if plant.code not in LIKELIHOOD:
        assert len(found & planted) >= 0.95 * len(planted)
        assert found <= planted
    assert not any("np." in finding.message for finding in report.findings)


@pytest.mark.parametrize("name", BASES)
def test_clean_rows_are_left_alone(name: str, tmp_path: Path) -> None:
    report = ft.lint(BASES[name].opened(BASES[name].rows, tmp_path / "clean.jsonl"))
    assert report.ok, str(report)
    assert report.density.score == 100


def test_every_rule_says_what_it_is_about() -> None:
    for code, rule in known_rules().items():
        assert rule.code == code
        assert rule.summary.endswith(".")
        assert len(rule.summary) < 90
        assert rule.name == rule.name.lower().replace(" ", "-")
        assert len(rule.explanation) > 60, code
