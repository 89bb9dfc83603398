"""Every rule finds what was planted for it; the benchmark with all data sets is ``benchmarks/lint_planted.py``."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.linting import known_rules

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "planted_defects.py"
_spec = importlib.util.spec_from_file_location("planted_defects", SCRIPT)
planted_defects: Any = importlib.util.module_from_spec(_spec)  # type: ignore[arg-type]
sys.modules["planted_defects"] = planted_defects
_spec.loader.exec_module(planted_defects)  # type: ignore[union-attr]
BASES = planted_defects.clean_bases(None)
LIKELIHOOD = {"L005"}


PLANTS = [plant for plant in planted_defects.PLANTS if plant.bases[0] in BASES]


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
