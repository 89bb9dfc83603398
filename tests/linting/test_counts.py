"""Counts are exact: they depend neither on how many findings a report holds nor on how many processes scan."""

from __future__ import annotations

import pickle
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ftkit as ft
from ftkit.linting import parallel_scan, variant_counter
from ftkit.linting.scan import scan
from ftkit.linting.variant_counter import VariantCounter
from tests.linting.planted import BASES, PLANTS
from tests.tiny import quick_first

COMBINATIONS = [(keep, workers) for keep in (1, 10, 1000) for workers in (1, 2, 3)]
SOME = [(1000, 1), (1000, 3), (10, 2), (1, 1), (1, 3)]
LONG = ("plain chats", "visits")
"""Bases like others, whose rows take ten seconds."""
SLOW = ["L005"]
"""The classifier reads all rows together, in one process."""


@pytest.fixture
def in_process(monkeypatch):
    """Jobs for other processes are pickled as usual, and run here."""
    monkeypatch.setattr(parallel_scan, "_run", lambda job: scan(*pickle.loads(job)))


def figures(report: ft.LintReport) -> dict[str, Any]:
    """All that must not depend on ``keep``."""
    return {"counts": report.counts, "flagged": report.flagged_rows, "density": report.density, "ok": report.ok}


def planted_rows(name: str, role: str) -> list[Any]:
    """Every planted defect of a base in one list, some of it several times, between clean rows."""
    mixed: list[Any] = list(BASES[name].rows[:40])
    for plant in PLANTS:
        if name in plant.bases and (plant.role == "test") == (role == "test") and plant.model is None:
            rows, planted = plant.make(BASES[name].rows, random.Random(1))
            mixed += [rows[number] for number in sorted(planted)]
    return mixed


@pytest.mark.parametrize("name", quick_first(BASES, *(name for name in BASES if name not in LONG)))
def test_counts_do_not_depend_on_what_is_kept_or_who_scans(name: str, tmp_path: Path, in_process: None) -> None:
    base = BASES[name]
    train = base.opened(planted_rows(name, "train"), tmp_path / "train.jsonl")
    test = base.opened(planted_rows(name, "test"), tmp_path / "test.jsonl")
    options = {"backends": "openai:gpt-4.1-mini", "recipe": ft.SFT(epochs=8), "ignore": SLOW}
    reports = {(keep, workers): ft.lint(train, test, keep=keep, workers=workers, **options)
               for keep, workers in SOME}  # fmt: skip
    expected = figures(reports[1000, 1])
    assert len(expected["counts"]) >= 3
    for combination in SOME:
        assert figures(reports[combination]) == expected, combination
    for keep in (1, 1000):  # the same findings, too
        assert reports[keep, 1].findings == reports[keep, 3].findings


def test_several_findings_in_one_row_are_all_counted(chats, in_process):
    mails = [f"user{number}@company.org" for number in range(400)]
    rows = [
        {"messages": [{"role": role, "content": f"{role}: {mail}"} for role in ("system", "user", "assistant", "user")]
         + [{"role": "assistant", "content": "done"}]}
        for mail in mails
    ]  # fmt: skip
    for keep, workers in COMBINATIONS:
        (count,) = ft.lint(chats(*rows), select=["S002"], keep=keep, workers=workers).counts
        assert (count.count, count.rows) == (1600, 400), (keep, workers)


def test_other_processes_count_the_same(chats):
    rows = [(f"mail user{number}@company.org", f"answer {number} ") for number in range(60)]
    here, there = (ft.lint(chats(*rows), select=["S002", "C006"], keep=7, workers=workers) for workers in (1, 2))
    assert (here.counts, here.findings) == (there.counts, there.findings)


def test_more_rows_of_a_rare_variant_are_counted_than_a_report_holds(tmp_path):
    rows = [{"q": f"question {number}", "r": {"day": "2026-11-24" if number % 5 else "24/11/2026"}}
            for number in range(6_000)]  # fmt: skip
    task = ft.Task("x", input="{q}", output={"type": "object", "properties": {"day": {"type": "string"}}})
    (count,) = ft.lint(ft.Dataset.from_rows(rows, task, target="r"), select=["C003"]).counts
    assert (count.count, count.rows) == (1_200, 1_200)


observations = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("xyz"), st.integers(0, 400)), max_size=60
)


@given(observations, st.lists(st.integers(0, 60), max_size=3))
def test_a_counter_is_the_same_for_every_division_of_the_rows(seen, cuts):
    """Also where there are more keys and variants than it holds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variant_counter, "MAX_KEYS", 5)
        patch.setattr(variant_counter, "MAX_VARIANTS", 2)
        seen = sorted(seen, key=lambda item: item[2])
        whole = counted(seen)
        merged = VariantCounter()
        edges = [0, *sorted(cuts), len(seen)]
        for start, stop in pairwise(edges):
            merged.merge(counted(seen[start:stop]))
        assert list(merged) == list(whole)
        for key, variants in whole:
            for variant, count in variants.items():
                rows = [row for other, way, row in seen if (other, way) == (key, variant)]
                assert merged.rows(key, variant) == whole.rows(key, variant) == rows
                assert count == len(rows)


def counted(seen: list[tuple[str, str, int]]) -> VariantCounter:
    counter = VariantCounter()
    for key, variant, row in seen:
        counter.add(key, variant, row)
    return counter
