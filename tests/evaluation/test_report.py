"""Making, keeping and reading reports."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from scipy import stats

from ftkit.backends import Answer, Sampling
from ftkit.catalog import load_catalog
from ftkit.data import Dataset
from ftkit.errors import ConfigError, ReportError
from ftkit.evaluation import Prices, Report, compare, evaluate, fit_curve
from ftkit.evaluation.metrics.metric import row_metric
from ftkit.results.metric_result import MetricResult
from ftkit.results.probe_results import Gap
from ftkit.store import RunRecord, Store
from tests.evaluation.scripted import (
    ECHO,
    TRIAGE,
    VISITS,
    ScriptedModel,
    answered,
    answers,
    dataset,
    failed,
    visit,
)


@pytest.fixture
def report(tmp_path: Path) -> Report:
    targets = [visit(index) for index in range(12)]
    said: list[Any] = list(targets)
    said[2] = "Mära \ud800 <script>alert(1)</script> | `x`"
    said[3] = {**targets[3], "age": 10**30, "more": [1.5, None]}
    said[4] = failed("429 too many requests")
    return evaluate(ScriptedModel(VISITS, answers(said)), dataset(tmp_path, VISITS, targets), label="first")


def test_a_saved_report_is_read_back_equal(report: Report, tmp_path: Path) -> None:
    path = report.save(tmp_path / "report.json")
    loaded = Report.load(path)
    assert loaded == report
    assert loaded.digest == report.digest
    assert loaded.about == {"device": "paper", "versions": {"script": "1"}, "shape": [1, 2]}
    assert "Mära" in path.read_text(encoding="utf-8")


def test_the_same_answers_make_the_same_metrics(tmp_path: Path) -> None:
    data = dataset(tmp_path, VISITS, [visit(n) for n in range(9)], groups=list("aabbccdde"))
    said = [visit(n, age=n % 2 + 20) for n in range(9)]
    first, second = (evaluate(ScriptedModel(VISITS, answers(said)), data, seed=4) for _ in range(2))
    assert first.metrics == second.metrics


def test_altered_reports_are_refused(report: Report, tmp_path: Path) -> None:
    path = report.save(tmp_path / "report.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    content["rows"][0]["text"] = "something else"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ReportError, match=r"report.json: the report was altered after it was saved"):
        Report.load(path)
    del content["digest"]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ReportError, match="digest is missing"):
        Report.load(path)


def test_a_reordered_or_reindented_report_is_the_same(report: Report, tmp_path: Path) -> None:
    path = report.save(tmp_path / "report.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(dict(reversed(content.items())), indent=4), encoding="utf-8")
    assert Report.load(path).digest == report.digest


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "not a report"),
        (b'{"kind": "other"}', "not a report"),
        (b'{"kind": "ftkit.report", "schema_version": 99, "ftkit_version": "9.1"}', "Upgrade ftkit"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_report_is_refused_with_its_name(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_bytes(content)
    with pytest.raises(ReportError, match=message) as caught:
        Report.load(path)
    assert "odd.json" in str(caught.value)


def test_missing_files_and_unknown_suffixes(report: Report, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="cannot be read: No such file"):
        Report.load(tmp_path / "none.json")
    with pytest.raises(ReportError, match=r'the suffix ".pdf" names no form; use .json, .html, .md'):
        report.save(tmp_path / "report.pdf")
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="cannot be written"):
        report.save(tmp_path / "file" / "report.json")


def test_garbage_on_every_row_still_gives_a_report(tmp_path: Path) -> None:
    data = dataset(tmp_path, VISITS, [visit(index) for index in range(40)])
    report = evaluate(ScriptedModel(VISITS, answers(["Sure! {{{" for _ in range(40)])), data)
    expected = stats.binomtest(0, 40).proportion_ci(method="exact")
    for name in ("parse_rate", "schema_valid_rate", "record_exact", "field:name", "mean_field_accuracy"):
        found = report[name]
        assert (found.value, found.method, found.n) == (0.0, "wilson", 40)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert "record_exact *" in str(report)


def test_groups_widen_the_interval(tmp_path: Path) -> None:
    wanted, said = ["urgent"] * 40, ["urgent"] * 20 + ["soon"] * 20
    alone = evaluate(ScriptedModel(TRIAGE, answers(said)), dataset(tmp_path, TRIAGE, wanted, name="a.jsonl"))
    grouped = evaluate(
        ScriptedModel(TRIAGE, answers(said)),
        dataset(tmp_path, TRIAGE, wanted, [f"g{n // 5}" for n in range(40)], name="b.jsonl"),
    )
    one, two = alone["accuracy"], grouped["accuracy"]
    assert one.value == two.value
    assert (one.method, two.method) == ("wilson", "score-clustered")
    assert one.low is not None
    assert two.low is not None
    assert two.low < one.low - 0.1
    assert any("8 groups" in note for note in grouped.notes)


def test_tokens_time_and_cost(tmp_path: Path) -> None:
    data = dataset(tmp_path, ECHO, ["a", "b", "c", "d"])
    priced = answers([answered("a", 0.02, 1.0), answered("b", 0.02, 2.0), answered("x", 0.04, 3.0), failed("gone")])
    report = evaluate(ScriptedModel(ECHO, priced), data)
    assert report.usage.input_tokens == 30
    assert report.timing.latency_p50_s == 2.0
    assert report.timing.latency_p95_s == pytest.approx(2.9)
    assert report.cost.total_usd == pytest.approx(0.08)
    assert report.cost.per_1000_usd == pytest.approx(80 / 3)  # three rows were answered
    assert report.cost.failed_share == 0.25
    assert "25.0 % of the answers failed" in str(report)
    assert report.cost.per_success_usd == pytest.approx(0.04)
    for text in (str(report), report.save(tmp_path / "report.md").read_text()):
        assert "Not probed for forgetting or overfitting" in text
    by_hour = evaluate(ScriptedModel(ECHO, priced), data, gpu_hour_usd=3.6)
    assert by_hour.cost.total_usd == pytest.approx(by_hour.timing.wall_s / 1000)
    unpriced = evaluate(ScriptedModel(ECHO, answers(["a", "b", "c", "d"])), data)
    assert unpriced.cost.total_usd is None
    assert "gpu_hour_usd" in unpriced.cost.source


def test_a_gpu_by_name_has_the_catalogues_price(tmp_path: Path) -> None:
    data = dataset(tmp_path, ECHO, ["a"])
    row = load_catalog().gpu("l4-24gb")
    assert row is not None
    cost = evaluate(ScriptedModel(ECHO, answers([answered("a", 9.0)])), data, gpu="l4-24gb")
    assert cost.cost.total_usd == pytest.approx(cost.timing.wall_s / 3600 * row.per_hour)
    assert row.source in cost.cost.source
    assert cost.cost.as_of == row.as_of
    with pytest.raises(ConfigError, match=r'no GPU "l5" in the catalogue; it has .*l4-24gb'):
        evaluate(ScriptedModel(ECHO, answers(["a"])), data, gpu="l5")
    with pytest.raises(ConfigError, match="give one of"):
        evaluate(ScriptedModel(ECHO, answers(["a"])), data, gpu="l4-24gb", gpu_hour_usd=1)
    prices = Prices(input_usd=1, output_usd=1, source="x", as_of=date(2026, 1, 1))
    with pytest.raises(ConfigError, match="give one of gpu, gpu_hour_usd and prices"):
        evaluate(ScriptedModel(ECHO, answers(["a"])), data, prices=prices, gpu_hour_usd=1)


def test_training_here_costs_its_seconds_at_the_price_of_the_hour(tmp_path: Path) -> None:
    data = dataset(tmp_path, ECHO, ["a"])
    record = RunRecord(
        id="20261124-120000-abcd",
        backend="local",
        model="small",
        state="succeeded",
        created_at=0,
        recipe={},
        task={},
        rows=1,
        data_fingerprint="",
        summary={"training_seconds": 1800.0},
    )
    Store().create(record)
    model = ScriptedModel(ECHO, answers(["a"]), name=f"local:{record.id}")
    cost = evaluate(model, data, gpu_hour_usd=3.0).cost
    assert cost.training_usd == pytest.approx(1.5)
    assert cost.training_source == "1,800.0 s of training at $3 an hour (given by the caller)"
    assert evaluate(model, data).cost.training_usd is None
    assert evaluate(model, data, gpu_hour_usd=3.0, training_usd=7).cost.training_usd == 7


def test_notes_say_what_the_numbers_hide(tmp_path: Path) -> None:
    cut = Answer(text="a", finish_reason="length", input_tokens=1, output_tokens=16, latency_s=0.1)
    model = ScriptedModel(ECHO, answers([cut, failed("no network"), "b"]))
    report = evaluate(model, dataset(tmp_path, ECHO, ["a", "b", "c"]), sampling=Sampling(max_output_tokens=16))
    assert report.notes == (
        "1 of 3 rows got no answer and counts as wrong; first error: no network",
        "1 of 3 rows cut off at max_output_tokens=16",
        "only 3 rows: the intervals are wide",
    )


def test_answers_are_drawn_the_models_way_unless_told(tmp_path: Path) -> None:
    model = ScriptedModel(ECHO, answers(["a"]))
    model.sampling = Sampling(temperature=0.7)
    data = dataset(tmp_path, ECHO, ["a"])
    assert evaluate(model, data).sampling.temperature == 0.7
    assert evaluate(model, data, sampling=Sampling()).sampling.temperature == 0


def test_rows_without_a_wanted_answer_count_only_where_none_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text("".join(json.dumps({"note": f"note {index}"}) + "\n" for index in range(4)))
    model = ScriptedModel(VISITS, answers([visit(0), visit(1), "no", visit(3)]))
    report = evaluate(model, Dataset.load(path, VISITS))
    assert report["schema_valid_rate"].value == 0.75
    exact = report["record_exact"]
    assert (exact.value, exact.low, exact.n, exact.method) == (None, None, 0, "none")
    assert "4 of 4 rows have no target; accuracies leave them out" in report.notes
    for form in ("json", "html", "md"):
        report.save(tmp_path / f"report.{form}")
    with pytest.raises(ReportError, match='"record_exact" has no interval'):
        compare(report, report)
    assert compare(report, report, primary="schema_valid_rate").verdict == "inconclusive"


def test_the_data_must_be_of_the_models_task(tmp_path: Path) -> None:
    other = VISITS.model_copy(update={"instructions": "Something else."})
    data = dataset(tmp_path, other, [visit(0)])
    model = ScriptedModel(VISITS, answers([visit(0)]))
    with pytest.raises(ConfigError, match=r"another task .* data.with_task\(model.task\)"):
        evaluate(model, data)
    assert evaluate(model, data.with_task(VISITS)).headline.value == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 95}, "confidence must lie between 0 and 1"),
        ({"limit": 0}, "limit must be at least 1"),
        ({"gpu_hour_usd": -1}, "amount in US dollars"),
        ({"primary": "f2"}, 'primary: no metric "f2" among exact_match'),
    ],
)
def test_arguments_that_make_no_sense(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    data = dataset(tmp_path, ECHO, ["a"])
    with pytest.raises(ConfigError, match=message):
        evaluate(ScriptedModel(ECHO, answers(["a"])), data, **options)


def test_limit_asks_only_the_first_rows(tmp_path: Path) -> None:
    model = ScriptedModel(ECHO, answers(["a", "b", "c"]))
    data = dataset(tmp_path, ECHO, ["a", "b", "c"])
    report = evaluate(model, data, limit=2)
    assert [row.id for row in report.rows] == ["r0", "r1"]
    assert len(model.asked) == 2
    assert report.dataset_fingerprint == data.take(2).fingerprint


def test_html_shows_answers_as_text(report: Report, tmp_path: Path) -> None:
    page = report.save(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    own = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)  # without ftkit's script
    assert "<script>" not in own
    assert "http://" not in own
    assert "https://" not in own
    assert page.count("<article") == 12
    assert "<script>alert" not in report._repr_html_()


def test_markdown_shows_answers_as_text(report: Report, tmp_path: Path) -> None:
    text = report.save(tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| record\\_exact \\* | 75.0 % |" in text


def test_a_narrow_console_keeps_numbers_whole(report: Report) -> None:
    console = Console(width=60, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(report)
    assert "schema_valid_rate" in console.export_text()


def test_of_a_rate_of_errors_the_low_scores_are_right(tmp_path: Path) -> None:
    wrong = row_metric(lambda row: float(row.text != "yes"), "wrong", higher_is_better=False)
    said = ["yes"] * 3 + ["no"]
    model = ScriptedModel(ECHO, answers([answered(text, cost=1.0) for text in said]))
    data = dataset(tmp_path, ECHO, ["yes"] * 4)
    report = evaluate(model, data, metrics=[wrong], primary="wrong")
    assert [row.text for row in report.failures] == ["no"]
    assert report.cost.per_success_usd == pytest.approx(4 / 3)
    with pytest.raises(ConfigError, match="better when it is lower"):
        fit_curve([(size, report) for size in (10, 20, 40)])


def test_overfitting_of_a_rate_of_errors_is_a_lower_one_on_training_rows() -> None:
    def errors(value: float) -> MetricResult:
        return MetricResult(
            name="wrong", description="", value=value, low=value, high=value, n=99, method="wilson", unit="rate",
            higher_is_better=False,
        )  # fmt: skip

    assert Gap(train=errors(0.1), held_out=errors(0.6), difference=-0.5, low=-0.6, high=-0.4).flagged
    assert not Gap(train=errors(0.6), held_out=errors(0.1), difference=0.5, low=0.4, high=0.6).flagged
