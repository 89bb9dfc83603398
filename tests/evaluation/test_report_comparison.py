"""Comparing two reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from ftkit.errors import ConfigError, ReportError
from ftkit.evaluation import Comparison, Report, compare, evaluate, metric
from ftkit.evaluation.metrics import METRICS
from ftkit.task import Task
from tests.evaluation.scripted import ECHO, TRIAGE, VISITS, ScriptedModel, answers, dataset, failed, visit


def echoes(folder: Path, right: list[bool], label: str, groups: list[str] | None = None) -> Report:
    data = dataset(folder, ECHO, ["yes"] * len(right), groups)
    return evaluate(ScriptedModel(ECHO, answers(["yes" if each else "no" for each in right])), data, label=label)


def pattern(fixed: int, regressed: int, both_right: int, both_wrong: int) -> tuple[list[bool], list[bool]]:
    before = [False] * fixed + [True] * regressed + [True] * both_right + [False] * both_wrong
    after = [True] * fixed + [False] * regressed + [True] * both_right + [False] * both_wrong
    return before, after


def compared(folder: Path, counts: tuple[int, int, int, int], **options: Any) -> Comparison:
    before, after = pattern(*counts)
    return compare(echoes(folder, before, "old"), echoes(folder, after, "new"), **options)


def test_rows_are_counted_by_what_became_of_them(tmp_path: Path) -> None:
    found = compared(tmp_path, (12, 3, 20, 5))
    assert found.tally == (("fixed", 12), ("regressed", 3), ("both_right", 20), ("both_wrong", 5))
    change = found["exact_match"]
    assert (change.before, change.after) == (pytest.approx(23 / 40), pytest.approx(32 / 40))
    assert change.difference == pytest.approx(9 / 40)
    assert change.p_value == pytest.approx(stats.binomtest(3, 15).pvalue)
    assert change.method == "score"


@pytest.mark.parametrize(
    ("counts", "margin", "verdict"),
    [
        ((20, 2, 30, 8), None, "better"),
        ((20, 2, 30, 8), 0.05, "better"),
        ((2, 20, 30, 8), None, "worse"),
        ((2, 20, 30, 8), 0.05, "worse"),
        ((3, 3, 50, 4), None, "inconclusive"),
        ((3, 3, 50, 4), 0.02, "inconclusive"),
        ((3, 3, 50, 4), 0.15, "non-inferior"),
        ((0, 8, 190, 2), 0.10, "non-inferior"),  # a loss beyond chance, within the margin set beforehand
        ((5, 0, 50, 5), None, "inconclusive"),  # McNemar's p is 0.06
    ],
)
def test_verdicts(counts: tuple[int, int, int, int], margin: float | None, verdict: str, tmp_path: Path) -> None:
    found = compared(tmp_path, counts, margin=margin)
    assert found.verdict == verdict
    assert (found.rows_needed is not None) == ((verdict == "inconclusive" and counts[0] != counts[1]) or margin == 0.02)
    assert str(found).startswith(verdict.upper())


def test_identical_answers_on_few_rows_prove_nothing(tmp_path: Path) -> None:
    found = compared(tmp_path, (0, 0, 15, 5), margin=0.02)
    assert found.verdict == "inconclusive"
    assert found.rows_needed is not None
    assert found.rows_needed > 185
    assert f"About {found.rows_needed} rows like these would" in found.sentence


def test_a_loss_beyond_the_margin_needs_no_more_rows(tmp_path: Path) -> None:
    found = compared(tmp_path, (1, 4, 10, 5), margin=0.05)
    assert (found.verdict, found.rows_needed) == ("inconclusive", None)
    assert "more rows are unlikely to help" in found.sentence


def test_groups_make_the_verdict_harder(tmp_path: Path) -> None:
    before, after = pattern(16, 4, 20, 0)
    groups = [f"g{index // 8}" for index in range(40)]
    (tmp_path / "grouped").mkdir()
    alone = compare(echoes(tmp_path, before, "old"), echoes(tmp_path, after, "new"))
    grouped = compare(
        echoes(tmp_path / "grouped", before, "old", groups), echoes(tmp_path / "grouped", after, "new", groups)
    )
    assert (alone.verdict, grouped.verdict) == ("better", "inconclusive")
    assert grouped["exact_match"].method == "score-clustered"
    assert alone.rows_needed is None
    assert grouped.rows_needed is not None


def test_all_metrics_but_the_headline_are_one_family_of_tests(tmp_path: Path) -> None:
    targets = [visit(n, drug="x") for n in range(40)]
    data = dataset(tmp_path, VISITS, targets)
    worse = [visit(n, drug="x", name="?", age=0) if n < 7 else targets[n] for n in range(40)]
    found = compare(
        evaluate(ScriptedModel(VISITS, answers(worse)), data, label="old"),
        evaluate(ScriptedModel(VISITS, answers(targets)), data, label="new"),
    )
    name = found["field:name"]
    assert name.p_value == pytest.approx(stats.binomtest(0, 7).pvalue)
    others = [change for change in found.metrics if change.name != found.primary and change.p_value is not None]
    assert name.p_adjusted == pytest.approx(len(others) * stats.binomtest(0, 7).pvalue)
    assert found["field:drug"].p_adjusted == 1
    assert found["record_exact"].p_adjusted is None
    fields = found["mean_field_accuracy"]
    assert fields.difference == pytest.approx(7 * 2 / 3 / 40)
    assert fields.method == "score"
    assert fields.low is not None
    assert 0 < fields.low < 7 * 2 / 3 / 40


def test_lower_is_better_metrics_improve_when_they_fall(tmp_path: Path) -> None:
    data = dataset(tmp_path, VISITS, [visit(n) for n in range(40)])
    extra = [{**visit(n), "more": 1} for n in range(40)]
    found = compare(
        evaluate(ScriptedModel(VISITS, answers(extra)), data),
        evaluate(ScriptedModel(VISITS, answers([visit(n) for n in range(40)])), data),
        primary="extra_field_rate",
    )
    assert found["extra_field_rate"].difference == -1
    assert found.verdict == "better"
    assert found.tally == (("fixed", 40), ("regressed", 0), ("both_right", 0), ("both_wrong", 0))
    assert found.labels == ("scripted (before)", "scripted (after)")


def test_macro_f1_is_paired(tmp_path: Path) -> None:
    wanted = ["urgent", "soon", "later"] * 20
    said = [choice if index % 4 else "urgent" for index, choice in enumerate(wanted)]
    data = dataset(tmp_path, TRIAGE, wanted)
    before = evaluate(ScriptedModel(TRIAGE, answers(said)), data)
    after = evaluate(ScriptedModel(TRIAGE, answers(wanted)), data)
    found = compare(before, after, seed=1)["macro_f1"]
    assert (found.method, found.after) == ("mover", 1.0)
    assert found.p_value is not None
    assert found.p_value < 0.001
    assert found.verdict == "better"
    assert compare(before, after, seed=1).metrics == compare(before, after, seed=1).metrics


def test_a_loaded_report_compares_like_the_one_that_was_saved(tmp_path: Path) -> None:
    wanted = ["urgent", "soon", "later"] * 10
    data = dataset(tmp_path, TRIAGE, wanted)
    before = evaluate(ScriptedModel(TRIAGE, answers(["urgent"] * 30)), data)
    after = evaluate(ScriptedModel(TRIAGE, answers(wanted)), data)
    loaded = Report.load(before.save(tmp_path / "before.json"))
    assert compare(loaded, after) == compare(before, after)


def test_own_metrics_are_compared_from_their_stored_scores(tmp_path: Path) -> None:
    short = metric("short")(lambda row: len(row.text) < 3)
    METRICS.unregister("short")
    data = dataset(tmp_path, ECHO, ["yes"] * 10)
    before, after = (
        evaluate(ScriptedModel(ECHO, answers([said] * 10)), data, metrics=["auto", short]) for said in ("yes", "no")
    )
    found = compare(before, Report.load(after.save(tmp_path / "after.json")))["short"]
    assert (found.before, found.after, found.verdict) == (0, 1, "better")


def test_no_answer_is_right_or_wrong_by_a_score_on_another_scale(tmp_path: Path) -> None:
    length = metric("length", unit="number")(lambda row: len(row.text))
    METRICS.unregister("length")
    data = dataset(tmp_path, ECHO, ["yes"] * 12)
    said = (["no"] * 12, ["yes"] * 7 + ["no"] * 3 + ["n"] * 2)
    before, after = (evaluate(ScriptedModel(ECHO, answers(each)), data, metrics=[length]) for each in said)
    found = compare(before, after)
    assert found.tally == (("better", 7), ("worse", 2), ("unchanged", 3))
    assert "Rows by length: 7 better, 2 worse, 3 unchanged" in str(found)
    html, markdown = (found.save(tmp_path / f"found{suffix}").read_text("utf-8") for suffix in (".html", ".md"))
    assert 'data-filter="worse"' in html
    assert 'data-filter="regressed"' not in html
    assert "Rows that got worse (2)" in markdown


def test_repeated_ids_pair_in_order(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"id": "same", "note": f"note {n}", "wanted": "yes"}) + "\n" for n in range(4)))
    from ftkit.data import Dataset

    data = Dataset.load(path, ECHO, target="wanted", id="id")
    before = evaluate(ScriptedModel(ECHO, answers(["yes", "no", "no", "yes"])), data)
    after = evaluate(ScriptedModel(ECHO, answers(["yes", "yes", "no", "no"])), data)
    assert [count for _, count in compare(before, after).tally] == [1, 1, 1, 1]


class TestRefusals:
    def report(self, folder: Path, task: Task, targets: list[Any], said: list[Any], name: str) -> Report:
        data = dataset(folder, task, targets, name=f"{name}.jsonl")
        return evaluate(ScriptedModel(task, answers(said)), data, label=name)

    def test_other_rows(self, tmp_path: Path) -> None:
        one = self.report(tmp_path, ECHO, ["a"] * 8, ["a"] * 8, "one")
        two = self.report(tmp_path, ECHO, ["a"] * 3, ["a"] * 3, "two")
        expected = (
            r'5 of 8 rows \(r3 \(one.jsonl:4\), r4 \(one.jsonl:5\), r5 \(one.jsonl:6\) and 2 more\) only in "one"'
        )
        with pytest.raises(ReportError, match=expected):
            compare(one, two)

    def test_other_targets(self, tmp_path: Path) -> None:
        one = self.report(tmp_path, ECHO, ["a", "b"], ["a", "b"], "one")
        two = self.report(tmp_path, ECHO, ["a", "c"], ["a", "b"], "two")
        with pytest.raises(ReportError, match=r"the wanted answer differs in 1 of 2 rows \(r1 "):
            compare(one, two)

    def test_other_prompts(self, tmp_path: Path) -> None:
        other = ECHO.model_copy(update={"instructions": "Repeat."})
        one = self.report(tmp_path, ECHO, ["a"], ["a"], "one")
        two = self.report(tmp_path, other, ["a"], ["a"], "two")
        with pytest.raises(ReportError, match="the prompt differs in 1 of 1 row"):
            compare(one, two)

    def test_other_outputs(self, tmp_path: Path) -> None:
        one = self.report(tmp_path, ECHO, ["soon"], ["soon"], "one")
        two = self.report(tmp_path, TRIAGE, ["soon"], ["soon"], "two")
        with pytest.raises(ReportError, match=r"outputs differ \(text and choice\)"):
            compare(one, two)

    @pytest.mark.parametrize("margin", [0, -0.02, 2, float("nan")])
    def test_margins_that_make_no_sense(self, margin: float, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="margin"):
            compared(tmp_path, (1, 1, 1, 1), margin=margin)

    def test_primary_must_score_rows(self, tmp_path: Path) -> None:
        one = self.report(tmp_path, TRIAGE, ["soon", "later"], ["soon", "soon"], "one")
        with pytest.raises(ReportError, match=r'"macro_f1" does not score single rows.*accuracy'):
            compare(one, one, primary="macro_f1")
        with pytest.raises(ReportError, match='no metric "f2" in both reports'):
            compare(one, one, primary="f2")


class TestForms:
    @pytest.fixture
    def comparison(self, tmp_path: Path) -> Comparison:
        data = dataset(tmp_path, VISITS, [visit(n) for n in range(6)])
        before = ["<script>alert('x')</script> | a_b", failed("<b>429</b>"), visit(2), visit(3, age=1), "[]", visit(5)]
        after = [visit(0), visit(1), {**visit(2), "<i>": 1}, visit(3), visit(4), visit(5)]
        return compare(
            evaluate(ScriptedModel(VISITS, answers(before)), data, label="<old>"),
            evaluate(ScriptedModel(VISITS, answers(after)), data, label="new|er"),
            margin=0.1,
        )

    def test_html_shows_what_models_wrote_as_text(self, comparison: Comparison, tmp_path: Path) -> None:
        page = comparison.save(tmp_path / "c.html").read_text(encoding="utf-8")
        for markup in ("<script>alert", "<b>429", "<i>", "<old>"):
            assert markup not in page
            assert markup not in comparison._repr_html_()
        assert page.count("<article") == 6
        assert page.count('data-kind="regressed changed"') == 1
        assert 'data-filter="both_wrong"' in page

    def test_markdown_keeps_cells_apart(self, comparison: Comparison, tmp_path: Path) -> None:
        text = comparison.save(tmp_path / "c.md").read_text(encoding="utf-8")
        assert "<script>" not in text
        assert r"new\|er" in text
        assert "Rows that got worse (1)" in text

    def test_json_holds_everything(self, comparison: Comparison, tmp_path: Path) -> None:
        content = json.loads(comparison.save(tmp_path / "c.json").read_text(encoding="utf-8"))
        assert content["verdict"] == comparison.verdict
        assert len(content["before"]["rows"]) == 6
        assert Comparison.model_validate(content) == comparison

    def test_text_shows_both_sides(self, comparison: Comparison) -> None:
        text = str(comparison)
        assert "4 fixed, 1 regressed, 1 right in both, 0 wrong in both; margin 10 points" in text
        assert "<old>: 1 of 6 rows got no answer" in text
