"""Reports as frozen baselines: scored again, priced, compared when the model is gone."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from ftkit.errors import ConfigError
from ftkit.evaluation import Prices, Report, compare, evaluate
from ftkit.results.report_row import RowResult
from tests.evaluation.scripted import TRIAGE, VISITS, ScriptedModel, answered, answers, dataset, visit

FROZEN = Path(__file__).parent / "frozen" / "report-1.json"


def test_a_report_of_the_first_form_is_still_read_scored_and_compared(tmp_path: Path) -> None:
    old = Report.load(FROZEN)
    assert (old.primary, len(old.rows)) == ("record_exact", 12)
    again = old.rescore()
    assert [metric.value for metric in again.metrics] == [metric.value for metric in old.metrics]
    data = dataset(tmp_path, VISITS, [visit(n) for n in range(12)])
    new = evaluate(ScriptedModel(VISITS, answers([visit(n) for n in range(12)])), data)
    assert compare(old, new).counts.fixed == 6
    for form in ("html", "md", "txt"):
        assert old.label in old.save(tmp_path / f"old.{form}").read_text(encoding="utf-8")
        assert old.label in compare(old, new).save(tmp_path / f"both.{form}").read_text(encoding="utf-8")


def test_answers_can_be_held_to_another_standard_later(tmp_path: Path) -> None:
    data = dataset(tmp_path, VISITS, [visit(n) for n in range(20)])
    report = evaluate(ScriptedModel(VISITS, answers([visit(n, age=n + 21) for n in range(20)])), data, gpu_hour_usd=3)
    loaded = Report.load(report.save(tmp_path / "old.json"))

    def named(row: RowResult) -> bool:
        return row.value["name"] == row.target["name"]

    looser = loaded.rescore(["auto", named], comparators={"age": "numeric"})
    assert looser["named"].value == 1
    assert looser["record_match"].value == 0
    from ftkit.evaluation import Numeric

    looser = loaded.rescore(comparators={"age": Numeric(absolute=1)})
    assert (looser.primary, looser.headline.value) == ("record_match", 1)
    assert looser.cost.per_success_usd == pytest.approx((looser.cost.total_usd or 0) / 20)
    assert [row.text for row in looser.rows] == [row.text for row in report.rows]
    assert Report.load(looser.save(tmp_path / "new.json")) == looser
    assert looser.rescore(comparators={}).metrics == report.metrics
    with pytest.raises(ConfigError, match="no metric"):
        loaded.rescore("nothing")
    for confidence in (0.0, 1.5):
        with pytest.raises(ConfigError, match="confidence must lie between 0 and 1"):
            loaded.rescore(confidence=confidence)


def test_tokens_are_priced_with_source_and_date(tmp_path: Path) -> None:
    data = dataset(tmp_path, TRIAGE, ["soon"] * 10)
    prices = Prices(input_usd=3, output_usd=12, source="https://example.org/prices", as_of=date(2026, 11, 1))
    model = ScriptedModel(TRIAGE, answers([answered("soon" if n < 4 else "later", cost=9) for n in range(10)]))
    cost = evaluate(model, data, prices=prices).cost
    assert cost.total_usd == pytest.approx(10 * (10 * 3 + 4 * 12) / 1e6)
    assert cost.per_success_usd == pytest.approx((cost.total_usd or 0) / 4)
    assert cost.source == "tokens at $3 in and $12 out per million (https://example.org/prices, 2026-11-01)"
    assert cost.as_of == date(2026, 11, 1)
    for wrong in ({"input_usd": 1}, {"gpu_hour_usd": 1, "input_usd": 1, "output_usd": 1}, {}):
        with pytest.raises(ConfigError, match="give input_usd and output_usd, or gpu_hour_usd"):
            Prices(**wrong, source="x", as_of=date(2026, 1, 1))


def test_break_even(tmp_path: Path) -> None:
    data = dataset(tmp_path, TRIAGE, ["soon"] * 10)

    def report(cost: float, training: float | None = None) -> Report:
        model = ScriptedModel(TRIAGE, answers([answered("soon", cost=cost)] * 10))
        return evaluate(model, data, training_usd=training)

    found = compare(report(0.01), report(0.002, training=20)).break_even
    assert found is not None
    assert found.saved_per_1000_usd == pytest.approx(8)
    assert found.predictions == 2500
    never = compare(report(0.01), report(0.02, training=20)).break_even
    assert never is not None
    assert never.predictions is None
    assert compare(report(0.01), report(0.002)).break_even is None
