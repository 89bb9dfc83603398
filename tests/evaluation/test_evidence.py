"""Verdicts that rows cannot carry, and intervals where nothing varies."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from ftkit.data import Dataset
from ftkit.evaluation import Report, RowResult, baselines, compare, evaluate, metric, overview
from ftkit.evaluation.metric_statistics import cluster_ids
from ftkit.evaluation.metrics.text_overlap import chrf
from ftkit.results.answer import Sampling
from tests.evaluation.scripted import ECHO, TRIAGE, VISITS, ScriptedModel, answered, answers, dataset, failed, visit


def reported(folder: Path, task: Any, wanted: list[Any], said: list[Any], **options: Any) -> Report:
    groups = options.pop("groups", None)
    return evaluate(ScriptedModel(task, answers(said)), dataset(folder, task, wanted, groups), **options)


def test_two_models_at_the_floor_are_no_evidence_of_equality(tmp_path: Path) -> None:
    wanted = [f"the parcel number {number} is on its way to you" for number in range(400)]
    good = [f"parcel number {number} is on the way to you" for number in range(400)]
    before = reported(tmp_path, ECHO, wanted, good)
    after = reported(tmp_path, ECHO, wanted, ["No."] * 400)
    assert before.primary == "chrf"  # free text is not led by exact match
    assert compare(before, after, margin=0.05).verdict == "worse"
    floor = compare(before, after, margin=0.05, primary="exact_match")
    assert floor.verdict == "inconclusive"
    assert "There is no evidence: the first model's 0.0 % leaves no room" in floor.sentence


def test_one_answer_to_all_rows_is_no_evidence_of_equality(tmp_path: Path) -> None:
    wanted = [f"Dear customer, parcel number {number} arrives at your door" for number in range(200)]
    same = reported(tmp_path, ECHO, wanted, ["Dear customer, thank you for your message about the parcel."] * 200)
    other = reported(tmp_path, ECHO, wanted, ["Dear customer, thank you for your messages about the parcel."] * 200)
    for after in (same, other):
        found = compare(same, after, margin=0.05)
        assert found.verdict == "inconclusive"
        assert "one and the same answer to all rows" in found.sentence
    targets = [visit(number, drug="x") for number in range(200)]
    records = reported(tmp_path, VISITS, targets, [targets[0]] * 200, primary="mean_field_accuracy")
    assert compare(records, records, margin=0.05).verdict == "inconclusive"
    good = reported(tmp_path, ECHO, wanted, wanted)
    assert compare(good, good, margin=0.05).verdict == "non-inferior"
    assert compare(good, same, margin=0.05).verdict == "worse"


def test_answers_that_ignore_the_row_are_no_evidence_of_equality(tmp_path: Path) -> None:
    draw = Random(3)
    wanted = [f"Dear customer, parcel number {draw.randrange(10_000)} arrives at your door" for _ in range(90)]
    good = reported(tmp_path, ECHO, wanted, wanted)
    shuffled = reported(tmp_path, ECHO, wanted, [*wanted[5:], *wanted[:5]])
    other = reported(tmp_path, ECHO, wanted, [*wanted[11:], *wanted[:11]])
    for before, margin in ((shuffled, 0.05), (good, 0.2)):  # 0.2 is more than the numbers make of the texts
        found = compare(before, other, margin=margin)
        assert found.verdict != "non-inferior"
        assert "score no more on their own rows than on other rows" in found.sentence
    assert compare(good, good, margin=0.05).verdict == "non-inferior"
    choices = ["urgent", "soon", "later"]
    targets = [choices[number % 3] for number in range(120)]
    guesses = [draw.choice(choices) for _ in range(120)]
    guessed = reported(tmp_path, TRIAGE, targets, guesses)
    assert compare(guessed, guessed, margin=0.25).verdict == "inconclusive"
    half = [
        target if number % 2 else guess for number, (target, guess) in enumerate(zip(targets, guesses, strict=True))
    ]
    some = reported(tmp_path, TRIAGE, targets, half)
    assert compare(some, some, margin=0.25).verdict == "non-inferior"


def test_short_targets_are_led_by_exact_match(tmp_path: Path) -> None:
    assert reported(tmp_path, ECHO, ["yes"] * 5, ["no"] * 5).primary == "exact_match"


@given(st.text(max_size=40), st.text(max_size=40))
def test_chrf_is_that_of_sacrebleu(text: str, target: str) -> None:
    assert chrf(text, target) == pytest.approx(sacrebleu.sentence_chrf(text, [target]).score / 100, abs=1e-9)


def test_one_wrong_field_is_no_better_evidence_than_none(tmp_path: Path) -> None:
    targets = [visit(n, drug="x") for n in range(100)]
    right = reported(tmp_path, VISITS, targets, targets, primary="mean_field_accuracy")
    nearly = reported(
        tmp_path, VISITS, targets, [{**targets[0], "age": 1}, *targets[1:]], primary="mean_field_accuracy"
    )
    same, less = (compare(right, after, margin=0.02) for after in (right, nearly))
    assert (same.verdict, less.verdict) == ("inconclusive", "inconclusive")
    lows = [found["mean_field_accuracy"].low or 0.0 for found in (same, less)]
    assert lows[1] <= lows[0] <= -0.036


@pytest.mark.parametrize("again", ["note {}", "NOTE  {} "])
def test_a_repeated_row_is_no_further_evidence(again: str) -> None:
    def doubled(times: int, said: str) -> Report:
        forms = ("note {}", again)[:times]
        rows = [{"note": form.format(n), "wanted": "yes"} for form in forms for n in range(30)]
        table = {form.format(n): "no" if n < 5 and said == "old" else "yes" for form in forms for n in range(30)}
        return evaluate(ScriptedModel(ECHO, table), Dataset.from_rows(rows, ECHO, target="wanted"), label=said)

    once, twice = (compare(doubled(times, "old"), doubled(times, "new")) for times in (1, 2))
    assert (once.verdict, twice.verdict) == ("inconclusive", "inconclusive")
    low, doubled_low = once["exact_match"].low, twice["exact_match"].low
    assert low is not None
    assert doubled_low == pytest.approx(low, abs=0.02)
    assert any("30 rows repeat a prompt" in note for note in twice.notes)


def test_groups_that_one_report_names_count_for_both(tmp_path: Path) -> None:
    said = ["urgent"] * 20 + ["soon"] * 20
    groups = [f"g{n // 8}" for n in range(40)]
    plain = reported(tmp_path, TRIAGE, ["urgent"] * 40, said)
    grouped = reported(tmp_path, TRIAGE, ["urgent"] * 40, ["urgent"] * 40, groups=groups)
    assert compare(plain, grouped)["accuracy"].method == "score-clustered"
    assert compare(grouped, plain)["accuracy"].method == "score-clustered"
    assert cluster_ids(plain.rows, grouped.rows).tolist() == [n // 8 for n in range(40)]


def test_precision_of_a_rare_choice_is_as_uncertain_as_its_rows(tmp_path: Path) -> None:
    wanted = ["later"] * 4 + ["soon"] * 296
    before = reported(tmp_path, TRIAGE, wanted, ["later"] * 3 + ["soon"] * 297)
    after = reported(tmp_path, TRIAGE, wanted, wanted)
    change = compare(before, after)["precision:later"]
    assert (change.before, change.after, change.difference) == (1.0, 1.0, 0.0)
    assert change.low is not None
    assert change.low < -0.3
    assert change.verdict == "inconclusive"


def test_samples_do_not_make_equal_ratios_differ(tmp_path: Path) -> None:
    from tests.evaluation.test_request_runner import Drawing

    data = dataset(tmp_path, TRIAGE, ["soon"] * 40)
    drawn = [evaluate(Drawing(TRIAGE, {}), data, samples=n, sampling=Sampling(temperature=1)) for n in (2, 5)]
    change = compare(*drawn)["precision:soon"]
    assert (change.before, change.after) == (1.0, 1.0)
    assert change.p_value == 1.0


def test_metrics_without_an_interval_say_why(tmp_path: Path) -> None:
    report = reported(tmp_path, TRIAGE, ["urgent"] * 30 + ["soon"] * 10, ["urgent"] * 40)
    macro = report["macro_f1"]
    assert (macro.method, macro.low) == ("none", None)
    assert macro.reason == "1 of 3 choices have fewer than 5 rows"
    assert "macro_f1 has no interval: 1 of 3 choices have fewer than 5 rows" in report.notes
    assert not any("precision:later" in note for note in report.notes)  # it has no value either


def test_a_model_that_stops_giving_json_is_not_better_at_types(tmp_path: Path) -> None:
    targets = [visit(n) for n in range(40)]
    before = reported(tmp_path, VISITS, targets, [{**each, "age": "old"} for each in targets[:10]] + targets[10:])
    after = reported(tmp_path, VISITS, targets, ["no idea"] * 30 + targets[30:])
    assert before["wrong_type_rate"].value == pytest.approx(0.25)
    change = compare(before, after)["wrong_type_rate"]
    assert change.n == 10
    assert change.verdict == "inconclusive"


@metric("right_if_readable", description="readable answers that are right")
def right_if_readable(row: RowResult) -> bool | None:
    return row.value == row.target if row.readable else None


def test_rows_that_a_metric_leaves_out_win_nothing(tmp_path: Path) -> None:
    """A model that gives no answer where it would be wrong is not better, and not as good, by what is left."""
    wanted = [visit(number) for number in range(60)]
    wrong = [visit(number, age=1) if number % 3 == 0 else visit(number) for number in range(60)]
    some: list[Any] = ["I do not know." if number % 3 else visit(number) for number in range(60)]
    metrics: Any = ["auto", right_if_readable]
    full, half, few = (reported(tmp_path, VISITS, wanted, said, metrics=metrics) for said in (wanted, wrong, some))
    for before, name in ((full, "right_if_readable"), (half, "right_if_readable"), (full, "wrong_type_rate")):
        found = compare(before, few, margin=0.2, primary=name)
        assert found.verdict == "inconclusive"
        assert f"The verdict depends on rows that {name} leaves out for one model and counts for the other" in (
            found.sentence
        )
        assert "(40 rows of scripted)" in found.sentence or "(40 rows of after)" in found.sentence
    assert compare(few, full, margin=0.2, primary="right_if_readable").verdict == "non-inferior"


def test_metrics_of_the_form_alone_may_show_equality(tmp_path: Path) -> None:
    """A metric that reads no target cannot depend on the row; the rates of the form are no less evidence for it."""
    wanted = [visit(number) for number in range(60)]
    report = reported(tmp_path, VISITS, wanted, wanted)
    for name in ("schema_valid_rate", "parse_rate", "wrong_type_rate", "record_exact"):
        assert compare(report, report, margin=0.1, primary=name).verdict == "non-inferior", name


def test_no_break_even_is_named_for_a_model_that_scores_lower(tmp_path: Path) -> None:
    wanted = [visit(number) for number in range(40)]

    def priced(wrong: int, usd: float, training: float | None = None) -> Report:
        said = [answered(json.dumps(visit(n, age=1) if n < wrong else visit(n)), cost=usd) for n in range(40)]
        return reported(tmp_path, VISITS, wanted, said, training_usd=training)

    cheap = compare(priced(0, 0.01), priced(5, 0.001, 5.0))
    assert cheap.verdict == "inconclusive"
    assert cheap.break_even is None
    assert "Break-even: not named, because" in str(cheap)
    equal = compare(priced(0, 0.01), priced(0, 0.001, 5.0))
    assert equal.break_even is not None
    assert "is as good, which is not shown" in " ".join(str(equal).split())


def test_rows_that_failed_do_not_make_a_model_cheap(tmp_path: Path) -> None:
    from tests.evaluation.scripted import answered

    full = reported(tmp_path, ECHO, ["a"] * 10, [answered("a", cost=0.01)] * 10)
    half = reported(tmp_path, ECHO, ["a"] * 10, [answered("a", cost=0.01)] * 5 + [failed("429")] * 5)
    assert full.cost.per_1000_usd == pytest.approx(10)
    assert half.cost.per_1000_usd == pytest.approx(10)
    assert half.cost.failed_share == 0.5


def test_equal_models_fail_a_suite_of_many_metrics_rarely() -> None:
    """Twenty choices: precision, recall and F1 of each, for two models of the same skill."""
    from ftkit.evaluation.metric_interval import PairedStatistics
    from ftkit.evaluation.metric_statistics import MetricStatistics
    from ftkit.evaluation.metrics.classification import ChoiceRate
    from ftkit.evaluation.metrics.metric import RowMetric
    from ftkit.evaluation.paired_difference import _with_verdicts, paired_change
    from ftkit.evaluation.statistics import cluster_sums

    generator, own, failures = np.random.default_rng(4), np.arange(150), 0
    accuracy = RowMetric(name="accuracy", description="", score=lambda row: None)
    for _ in range(60):
        wanted = generator.integers(0, 20, 150)
        sides = [np.where(generator.random(150) < 0.8, wanted, generator.integers(0, 20, 150)) for _ in range(2)]

        def paired(metric: Any, columns: Any, sides: Any = sides) -> PairedStatistics:
            tables = [np.stack(columns(side), axis=1).astype(float) for side in sides]
            first, second = (MetricStatistics(metric, table, cluster_sums(table, own)) for table in tables)
            return PairedStatistics(first, second, own)

        changes = [paired_change(accuracy, paired(accuracy, lambda got: [got == wanted, got == got]), 0.95, 0)]  # noqa: B023
        for choice in range(20):
            target = wanted == choice
            for kind in ("precision", "recall", "f1"):
                rate = ChoiceRate(name=f"{kind}:{choice}", description="", choice=str(choice), kind=kind)  # type: ignore[arg-type]

                def columns(got: Any, kind: str = kind, target: Any = target, choice: int = choice) -> list[Any]:
                    said = got == choice
                    return [said & target, {"precision": said, "recall": target, "f1": said | target}[kind]]

                changes.append(paired_change(rate, paired(rate, columns), 0.95, 0))
        failures += any(change.verdict == "worse" for change in _with_verdicts(changes, "accuracy", 0.95))
    assert failures / 60 <= 0.1


def test_a_baseline_that_fails_for_its_form_alone_is_said_so_and_asked_held_to_the_form(tmp_path: Path) -> None:
    class Held(ScriptedModel):
        def answer_many(self, requests: Any, sampling: Any = None, on_answer: Any = None) -> Any:
            if sampling is not None and sampling.constrained:
                return ScriptedModel(TRIAGE, answers(["soon"] * 40)).answer_many(requests, sampling, on_answer)
            return super().answer_many(requests, sampling, on_answer)

    data = dataset(tmp_path, TRIAGE, ["soon"] * 40)
    chatty = Held(TRIAGE, answers(["It is soon, I think."] * 40))
    reports = baselines(chatty, data, examples=data, shots=(0,), label="base")
    assert [report.label for report in reports] == ["base, no examples", "base, held to the form"]
    tuned = evaluate(ScriptedModel(TRIAGE, answers(["soon"] * 40)), data, label="tuned")
    alone = compare(reports[0], tuned)
    assert alone.verdict == "better"
    assert any("failed for the form of the answer alone" in note for note in alone.notes)
    fair = compare(reports, tuned)
    assert fair.before.label == "base, held to the form"
    assert fair.verdict == "inconclusive"


def test_the_sentence_says_what_decided(tmp_path: Path) -> None:
    def echo(right: int, label: str) -> Report:
        return reported(tmp_path, ECHO, ["yes"] * 60, ["yes"] * right + ["no"] * (60 - right), label=label)

    assert "Decided by Tango's score interval and McNemar's exact test with 20 changed rows, p <0.001." in (
        compare(echo(30, "old"), echo(50, "new")).sentence
    )
    split = compare(echo(40, "old"), echo(45, "new"))
    assert "The interval excludes 0, but the test does not reject no change" in split.sentence
    assert "5 changed rows, p = 0.062" in split.sentence or "5 changed rows, p = 0.063" in split.sentence
    assert json.loads(split.to_json())["verdict"] == "inconclusive"


@pytest.mark.parametrize(("said", "noted"), [("soon", True), ("right", False)])
def test_an_accuracy_that_a_constant_answer_has_is_named(tmp_path: Path, said: str, noted: bool) -> None:
    wanted = ["soon"] * 36 + ["urgent"] * 4
    report = reported(tmp_path, TRIAGE, wanted, wanted if said == "right" else ["soon"] * 40)
    note = "always answering 'soon' is right for 90.0 % of these rows; this model is no better"
    assert (note in report.notes) is noted


def failing(wanted: list[str], said: list[str], lost: set[int]) -> dict[str, Any]:
    """Answers of which some are lost to the host."""
    table: dict[str, Any] = answers(said)
    return {note: failed("429: slow down") if int(note.split()[1]) in lost else text for note, text in table.items()}


@pytest.mark.parametrize(
    ("lost_before", "lost_after", "right_before", "verdict"),
    [
        (range(0, 40, 2), range(0, 40, 2), 40, "inconclusive"),  # the same rows failed: that is no equality
        ((), range(0, 40, 2), 40, "inconclusive"),  # a failing host is no bad model
        (range(0, 40, 2), (), 40, "inconclusive"),  # nor does it make the other one better
        ((), (3,), 0, "better"),  # what holds whatever one answer had been
        ((3,), (), 0, "better"),
        ((), (3,), 40, "inconclusive"),
    ],
)
def test_a_failed_request_is_no_evidence(
    tmp_path: Path, lost_before: Any, lost_after: Any, right_before: int, verdict: str
) -> None:
    wanted = ["urgent", "soon"] * 20
    before_said = wanted[:right_before] + ["routine"] * (40 - right_before)
    data = dataset(tmp_path, TRIAGE, wanted)
    before = evaluate(ScriptedModel(TRIAGE, failing(wanted, before_said, set(lost_before))), data)
    after = evaluate(ScriptedModel(TRIAGE, failing(wanted, wanted, set(lost_after))), data)
    found = compare(before, after, margin=0.05)
    assert found.verdict == verdict
    if lost_before and verdict == "inconclusive":
        assert "The verdict depends on answers that are missing" in found.sentence or found.rows_needed
    assert all(change.verdict in (verdict, "inconclusive") for change in found.metrics)


def test_a_verdict_that_missing_answers_lower_says_so(tmp_path: Path) -> None:
    """Nothing is known of a model that never answered, but one without a fault cannot be worse than it."""
    wanted = ["urgent", "soon"] * 30
    data = dataset(tmp_path, TRIAGE, wanted)
    lost = evaluate(ScriptedModel(TRIAGE, failing(wanted, wanted, set(range(60))), "lost"), data)
    found = compare(lost, evaluate(ScriptedModel(TRIAGE, answers(wanted), "kept"), data), margin=0.1)
    assert found.verdict == "non-inferior"
    assert "Whether it is better depends on answers that are missing (60 rows of lost)" in found.sentence


@pytest.mark.parametrize(
    ("reason", "verdict"), [("model_grader_server_error", "inconclusive"), ("sample_parse_error", "better")]
)
def test_a_failed_judge_is_no_evidence_and_an_answer_that_cannot_be_graded_is(
    tmp_path: Path, reason: str, verdict: str
) -> None:
    wanted = ["urgent", "soon"] * 20
    good = reported(tmp_path, TRIAGE, wanted, wanted)
    bad = good.model_copy(
        update={
            "rows": tuple(
                row.model_copy(
                    update={"scores": {**row.scores, "accuracy": 0.0}, "failures": {"accuracy": f"{reason}: x"}}
                )
                for row in good.rows
            ),
            "metrics": tuple(metric.model_copy(update={"value": 0.0}) for metric in good.metrics),
        }
    )
    assert compare(bad, good).verdict == verdict


@pytest.mark.parametrize(("margin", "verdict"), [(None, "inconclusive"), (0.1, "non-inferior")])
def test_the_best_of_many_needs_more_evidence_than_one(tmp_path: Path, margin: float | None, verdict: str) -> None:
    """p = 0.031 shows a gain of the only candidate, and not of the best among five."""
    wanted = ["urgent", "soon"] * 20

    def right(count: int) -> Report:
        return reported(tmp_path, TRIAGE, wanted, [*wanted[:count], *["later"] * (40 - count)], label=str(count))

    first, lucky, clear = right(20), right(26), right(40)
    assert overview([first, lucky], margin=margin).standings[1].verdict == "better"
    found = overview([first, lucky, first, right(21), right(19), first], margin=margin)
    assert found.standings[1].verdict == verdict
    assert "1 report would be better alone, and not among 5" in str(found)
    kept = overview([first, clear, first, first], margin=margin)
    assert kept.standings[1].verdict == "better"
    assert kept.notes == ()
