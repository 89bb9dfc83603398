"""Pages of reports: their size, the first screen, confused choices, and the rows that they link to."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from ftkit.backends import Answer, OnAnswer, Request, Sampling
from ftkit.evaluation import Comparison, Probes, Report, compare, evaluate
from ftkit.render.charts import latency_plot, loss_plot, metric_chart
from ftkit.render.row_cards import MAX_CARDS, report_cards
from ftkit.render.row_facets import link_to
from ftkit.render.summary import comparison_badge, comparison_summary, report_summary
from ftkit.results.confusion import INVALID
from ftkit.results.resources import TrainingCurve
from ftkit.task import Task
from tests.evaluation.scripted import ECHO, TRIAGE, VISITS, ScriptedModel, answered, answers, dataset, failed, visit
from tests.evaluation.test_probes import Assistant, number, right

LABELS = tuple(f"intent_{n:03}" for n in range(150))
INTENTS = Task("Which intent?", input="{note}", output=Literal[LABELS])  # type: ignore[valid-type]


def page_of(result: Report | Comparison, folder: Path) -> str:
    return result.save(folder / "page.html").read_text(encoding="utf-8")


def intents(folder: Path, rows: int = 300) -> Report:
    """Every third row of ``intent_007`` and every row of ``intent_010`` is taken for another."""
    wanted = [LABELS[n % 150] for n in range(rows)]
    said = ["intent_011" if label == "intent_010" else label for label in wanted]
    said[7] = "something else"
    return evaluate(
        ScriptedModel(INTENTS, answers(said)), dataset(folder, INTENTS, wanted), probes=None, label="intents"
    )


def test_a_page_of_88_rows_is_small_and_needs_no_library(tmp_path: Path) -> None:
    data = dataset(tmp_path, VISITS, [visit(n, name="An long name " * 8) for n in range(88)])
    said = json.dumps(visit(0, name="Another long name " * 20))
    report = evaluate(ScriptedModel(VISITS, answers([said] * 88)), data, probes=None)
    page = page_of(report, tmp_path)
    assert len(page.encode()) < 600_000
    assert len(page_of(compare(report, report), tmp_path).encode()) < 1_000_000
    assert page.count("<script>") == 1
    assert page.count("<article") == 88


def test_150_labels_have_pairs_and_worst_choices_instead_of_a_matrix(tmp_path: Path) -> None:
    report = intents(tmp_path)
    found = report.confusion
    assert found is not None
    first = found.pairs(1)[0]
    assert (first.wanted, first.answered, first.count, first.share) == ("intent_010", "intent_011", 2, 1.0)
    assert [(pair.wanted, pair.answered) for pair in found.pairs()][1] == ("intent_007", INVALID)
    worst = found.errors(1)[0]
    assert (worst.choice, worst.recall, worst.precision, worst.f1) == ("intent_010", 0.0, None, 0.0)
    assert "intent_010 → intent_011: 2" in str(found)
    page = page_of(report, tmp_path)
    assert len(page.encode()) < 1_000_000
    assert page.count("intent_010") < 40
    assert "worst choices" in page
    assert 'data-show="wanted=10&amp;answered=11"' in page
    assert "Precision, recall and F1 of each choice" in page
    assert len((report.save(tmp_path / "r.md")).read_text(encoding="utf-8")) < 100_000
    few = evaluate(ScriptedModel(TRIAGE, answers(["soon"] * 3)), dataset(tmp_path, TRIAGE, ["soon"] * 3), probes=None)
    assert 'class="matrix"' in page_of(few, tmp_path)
    assert evaluate(ScriptedModel(ECHO, answers(["a"])), dataset(tmp_path, ECHO, ["a"]), probes=None).confusion is None


def test_failures_and_their_kinds(tmp_path: Path) -> None:
    said: list[Any] = [
        visit(0),
        visit(1, age=0),
        "no JSON",
        {"name": "P3", "drug": None},
        visit(4, age="old"),
        Answer(text='{"name', finish_reason="length", input_tokens=1, output_tokens=1, latency_s=0.1),
        failed("busy"),
    ]
    report = evaluate(
        ScriptedModel(VISITS, answers(said)), dataset(tmp_path, VISITS, [visit(n) for n in range(7)]), probes=None
    )
    kinds = {row.id: report.failure_kind(row) for row in report.failures}
    assert kinds == {
        "r1": "wrong value",
        "r2": "not readable",
        "r3": "missing field",
        "r4": "wrong type",
        "r5": "cut off",
        "r6": "no answer",
    }
    cards = report_cards(report)
    facets = {facet.name: facet for facet in cards.facets}
    assert [(text, count) for _, text, count in facets["failure"].options] == [
        ("no answer", 1),
        ("cut off", 1),
        ("not readable", 1),
        ("missing field", 1),
        ("wrong type", 1),
        ("wrong value", 1),
    ]
    age = next(value for value, text, _ in facets["field"].options if text == "age")
    assert [card.id for card in cards.cards if age in card.facets.get("field", "").split()] == [
        *("r1", "r2", "r3", "r4", "r5", "r6")
    ]
    page = page_of(report, tmp_path)
    assert f'data-show="field={age}"' in page
    assert "wrong: 1 wrong value, 1 not readable" in report_summary(report)[0].lines[1]


def test_metrics_link_to_rows() -> None:
    settings: dict[str, Any] = {"primary": "record_exact", "fields": ["name", "age"], "choices": ()}
    assert link_to("record_exact", **settings) == "filter=wrong"
    assert link_to("field:age", **settings) == "field=1"
    assert link_to("missing_field_rate", **settings) == "failure=3"
    assert link_to("mean_field_accuracy", **settings) == ""
    choices: dict[str, Any] = {"primary": "accuracy", "fields": (), "choices": ("soon", "later")}
    assert link_to("recall:later", **choices) == link_to("f1:later", **choices) == "wanted=1"
    assert link_to("precision:soon", **choices) == "answered=0"


def test_many_rows_are_cut_and_the_page_says_so(tmp_path: Path) -> None:
    wrong = {5, MAX_CARDS + 10}
    texts = ["no" if n in wrong else "yes" for n in range(MAX_CARDS + 20)]
    report = evaluate(
        ScriptedModel(ECHO, answers(texts)),
        dataset(tmp_path, ECHO, ["yes"] * len(texts)),
        metrics="exact_match",
        probes=None,
    )
    cards = report_cards(report)
    assert len(cards.cards) == MAX_CARDS
    assert [card.id for card in cards.cards[:2]] == ["r5", f"r{MAX_CARDS + 10}"]
    assert f"1,000 of {MAX_CARDS + 20:,} rows, those that are wrong or changed first" in page_of(report, tmp_path)


def visits(folder: Path, wrong: int, forgets: bool, cut: int = 0) -> Report:
    def say(note: str) -> str:
        return json.dumps(visit(number(note), age=0)) if number(note) < wrong else right(note)

    class Cut(Assistant):
        def answer_many(self, requests: Any, sampling: Any = None, on_answer: Any = None) -> list[Answer]:
            found = super().answer_many(requests, sampling, on_answer)
            if "note" not in str(requests[0].messages[-1]["content"]):
                return found
            reasons = ["length" if at < cut else "stop" for at in range(len(found))]
            return [
                answered(answer.text) if reason == "stop" else Answer(answer.text, "length", 1, 1, 0.1)
                for answer, reason in zip(found, reasons, strict=True)
            ]

    model = Cut(say, lambda row: forgets and not row.startswith("talk"))
    data = dataset(folder, VISITS, [visit(n) for n in range(40)])
    return evaluate(model, data, probes=Probes(general=80), label=f"{wrong} wrong", gpu_hour_usd=2)


def test_the_first_screen_answers_four_questions_and_the_badge_is_not_plain_green(tmp_path: Path) -> None:
    before = visits(tmp_path, 30, forgets=False)
    healthy, ruined, cut = (
        compare(before, visits(tmp_path, 2, forgets=forgets, cut=count))
        for forgets, count in ((False, 0), (True, 0), (False, 10))
    )
    questions = [fact.question for fact in comparison_summary(healthy)]
    assert questions == ["Better?", "How sure?", "At what cost?", "What broke?"]
    better, sure, cost, broke = comparison_summary(healthy)
    assert (better.answer, better.state) == ("Yes", "good")
    assert re.fullmatch(r"\+\d+\.\d to \+\d+\.\d points", sure.answer)
    assert cost.answer.endswith(" per right answer")
    assert broke.answer == "Nothing shown"
    assert comparison_badge(healthy).css == "better"
    assert (
        comparison_badge(ruined).text.startswith("better, with 1 warning")
        or "warnings" in comparison_badge(ruined).text
    )
    assert comparison_badge(ruined).css == "better flagged-verdict"
    assert comparison_summary(ruined)[3].answer.startswith("Forgetting")
    assert comparison_summary(cut)[3].answer == "Cut-off answers"
    assert comparison_badge(cut).css == "better flagged-verdict"
    page = page_of(ruined, tmp_path)
    assert 'class="badge better flagged-verdict"' in page
    assert page.index("What broke?") < page.index("<h2>Metrics</h2>")
    unprobed = before.model_copy(update={"probes": None})
    assert report_summary(unprobed)[3].answer == "Not probed"


def test_charts_are_positions_in_percent(tmp_path: Path) -> None:
    report = visits(tmp_path, 10, forgets=False)
    chart = metric_chart([("<one>", report.metrics), ("two", report.metrics)], "rates")
    assert chart is not None
    assert [series for series, _, _ in chart.legend] == [1, 2]
    row = next(row for row in chart.rows if row.name == "record_exact")
    assert [mark.x for mark in row.marks] == [75.0, 75.0]
    assert row.text == "75.0 % → 75.0 %"
    plot = latency_plot([("a", report)])
    assert plot is not None
    assert plot.curves[0].points.startswith("0,100 ")
    assert plot.y_ticks == [(100.0, "0 %"), (50.0, "50 %"), (0.0, "100 %")]
    curve = TrainingCurve(run="r", losses=((1, 2.0), (2, float("nan")), (3, 1.0)), validation=((3, 1.5),))
    losses = loss_plot([("a", report.model_copy(update={"training": curve}))])
    assert losses is not None
    assert len(losses.curves) == len(losses.marks) == 1
    assert "nan" not in losses.curves[0].points


@pytest.mark.parametrize("latency", [0.0, 1e-9, 1e6])
def test_axes_of_any_scale(latency: float, tmp_path: Path) -> None:
    model = ScriptedModel(ECHO, answers([answered("a", latency=latency)]))
    plot = latency_plot([("a", evaluate(model, dataset(tmp_path, ECHO, ["a"]), probes=None))])
    assert plot is not None
    assert 2 <= len(plot.x_ticks) <= 7


class Sampled(ScriptedModel):
    """Gives a wrong age in the answers with an odd seed."""

    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling | None = None, on_answer: OnAnswer | None = None
    ) -> list[Answer]:
        odd = sampling is not None and sampling.seed % 2 == 1
        said = [visit(number, **({"age": 1} if odd else {})) for number in range(len(requests))]
        return [answered(json.dumps(value)) for value in said]


def test_a_row_of_several_answers_shows_all_of_them(tmp_path: Path) -> None:
    """The first answer is right: a card that shows it alone would not say why the row is wrong."""
    data = dataset(tmp_path, VISITS, [visit(number) for number in range(3)])
    report = evaluate(
        Sampled(VISITS, {}), data, samples=5, sampling=Sampling(temperature=0.7, seed=0), probes=None, label="five"
    )
    page = page_of(report, tmp_path)
    assert page.count('<span class="badge wrong">right in 3 of 5</span>') == 3
    assert "20 (right in 3 of 5)" in page
    assert "raw answer of five, 3 of 5 samples" in page
    assert "raw answer of five, 2 of 5 samples" in page
    assert "&#34;age&#34;: 1" in page


def test_names_break_between_words_and_shares_are_rounded(tmp_path: Path) -> None:
    data = dataset(tmp_path, VISITS, [visit(number) for number in range(7)])
    said = [answered(json.dumps(visit(number)), cost=0.1) for number in range(6)]
    report = evaluate(ScriptedModel(VISITS, answers([*said, failed("429")])), data, probes=None)
    page = page_of(report, tmp_path)
    assert "missing_<wbr>field_<wbr>rate" in page
    assert "14.3 % of the answers failed" in page
    whole = evaluate(ScriptedModel(VISITS, answers([visit(number) for number in range(7)])), data, probes=None)
    found = compare(whole, report)
    assert any(
        note.startswith("missing_field_rate, extra_field_rate, wrong_type_rate, invalid_value_rate: compared on 6 of 7")
        for note in found.notes
    )
