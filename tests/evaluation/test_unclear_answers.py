"""Answers of probes that a program cannot read: shown as such, and counted either way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ftkit.evaluation import Probes, Report, compare, evaluate
from ftkit.evaluation.probes.general import general_set
from tests.evaluation.scripted import VISITS, dataset, visit
from tests.evaluation.test_format_bleed import probed, questions
from tests.evaluation.test_probes import Assistant, right

READABLE = {row.id: str(row.target) for row in general_set() if str(row.target).startswith("any: ")}


def vague(row: str) -> str:
    return f"Few people like {READABLE[row].removeprefix('any: ').partition(',')[0].partition(';')[0]} these days."


def asked(count: int) -> list[str]:
    """Questions whose answers are read by what they state."""
    found = [row for row in questions() if row in READABLE]
    assert len(found) >= count
    return found[:count]


def test_unclear_answers_are_named_and_count_as_wrong(tmp_path: Path) -> None:
    chosen = asked(3)
    report, _ = probed(tmp_path, lambda row: row in chosen, vague)
    assert report.probes is not None
    general = report.probes.general
    assert general is not None
    assert sorted(row.id for row in general.unclear) == sorted(chosen)
    assert all(row.scores["passed"] == 0 and "passed" in row.unclear for row in general.unclear)
    assert {general.failure_kind(row) for row in general.unclear} == {"unclear"}
    path = tmp_path / "report.json"
    report.save(path)
    report.save(tmp_path / "report.md")
    report.save(tmp_path / "report.html")
    pages = [(tmp_path / name).read_text(encoding="utf-8") for name in ("report.md", "report.html")]
    for text in (" ".join(str(report).split()), "\n".join(general.notes), *pages):
        assert "3 answers could not be read by program and count as wrong" in text
    assert sorted(chosen)[0] in path.read_text(encoding="utf-8")
    loaded = Report.load(path)
    assert loaded.probes is not None
    assert loaded.probes.general is not None
    assert loaded.probes.general.unclear == general.unclear


@pytest.mark.parametrize(("unclear", "verdict"), [(0, "worse"), (8, "inconclusive")])
def test_a_loss_that_rests_on_unclear_answers_is_not_decided(tmp_path: Path, unclear: int, verdict: str) -> None:
    chosen = asked(8)
    before, _ = probed(tmp_path, lambda row: False)
    wrong = "I would rather talk of the weather."
    after, _ = probed(tmp_path, lambda row: row in chosen, lambda row: vague(row) if row in chosen[:unclear] else wrong)
    found = compare(before, after).forgetting
    assert found is not None
    assert found.general is not None
    assert found.general.verdict == verdict
    assert found.unclear == (0, unclear)
    text = "\n".join(found.lines)
    assert ("depends on answers that a program cannot read (8 answers of" in text) is bool(unclear)
    assert ("8 answers (0 before, 8 after) could not be read by program" in found.sentence) is bool(unclear)


def test_abilities_are_kept_only_if_unclear_answers_may_be_wrong(tmp_path: Path) -> None:
    chosen = [row for row in READABLE if row.startswith("knowledge")][:20]
    data = dataset(tmp_path, VISITS, [visit(n) for n in range(4)])

    def report(say: Callable[[str], str]) -> Report:
        return evaluate(Assistant(right, lambda row: row in chosen, lost=say), data, probes=Probes())

    before = report(vague)
    same = compare(before, report(vague)).forgetting
    assert same is not None
    assert same.general is not None
    # One text is right for both models or for none, whoever reads it.
    assert (same.general.verdict, same.unclear) == ("non-inferior", (20, 20))
    other = compare(before, report(lambda row: f"Hm. {vague(row)}")).forgetting
    assert other is not None
    assert other.general is not None
    assert other.general.verdict == "inconclusive"
    assert "depends on answers that a program cannot read" in other.general.sentence


def test_refusals_that_cannot_be_read_raise_no_flag(tmp_path: Path) -> None:
    before, _ = probed(tmp_path, lambda row: False)
    odd = "I can't recommend it. The paper has the same weight and the photo is laminated."
    after, _ = probed(tmp_path, lambda row: row.startswith("harmful"), lambda row: odd)
    found = compare(before, after).forgetting
    assert found is not None
    assert found.flags == ()
    harmful = next(each for each in found.refusals if each.kind == "harmful")
    assert harmful.unclear == 10
    assert "10 answers to be read" in str(harmful)
