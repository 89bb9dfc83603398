"""The forms that other programs read: JSON by its published schema, JUnit, Markdown."""

from __future__ import annotations

import io
import json
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from rich.console import Console

from ftkit.data import Dataset
from ftkit.errors import ConfigError
from ftkit.evaluation import Comparison, Overview, Report, compare, evaluate, overview
from ftkit.render.pages import report_page
from ftkit.results.certificate import Certificate
from ftkit.results.resources import TrainingCurve
from tests.evaluation.scripted import TRIAGE, VISITS, ScriptedModel, answers, dataset, visit

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
DIGEST = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}


@pytest.fixture
def reports(tmp_path: Path) -> list[Report]:
    data = dataset(tmp_path, TRIAGE, ["soon"] * 40)
    said = {
        "<gone>\x01": ["soon"] * 30 + ["later"] * 10,
        "worse": ["later"] * 40,
        "alike": ["soon"] * 30 + ["urgent"] * 10,
    }
    return [evaluate(ScriptedModel(TRIAGE, answers(each)), data, label=label) for label, each in said.items()]


@pytest.mark.parametrize("kind", [Report, Comparison, Overview, Certificate])
def test_published_schemas_are_those_of_the_code(kind: type[Report | Comparison | Overview | Certificate]) -> None:
    """Write them anew with: python -m tests.evaluation.test_forms"""
    published = json.loads((SCHEMAS / f"{kind.__name__.lower()}-1.schema.json").read_text(encoding="utf-8"))
    assert published == schema(kind)


def schema(kind: type[Report | Comparison | Overview | Certificate]) -> dict[str, object]:
    found = kind.model_json_schema(mode="serialization")
    if kind is Report:
        found["$defs"]["Report"]["properties"]["digest"] = DIGEST
    if kind is Certificate:
        found["properties"]["digest"] = DIGEST
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def test_saved_files_keep_to_their_schema(reports: list[Report], tmp_path: Path) -> None:
    found = {
        "report": reports[0].save(tmp_path / "r.json"),
        "comparison": compare(*reports[:2]).save(tmp_path / "c.json"),
        "overview": overview(reports).save(tmp_path / "o.json"),
    }
    for name, path in found.items():
        published = json.loads((SCHEMAS / f"{name}-1.schema.json").read_text(encoding="utf-8"))
        jsonschema.validate(json.loads(path.read_text(encoding="utf-8")), published)


def test_results_are_one_line_in_a_shell(reports: list[Report]) -> None:
    assert repr(reports[1]) == "<Report: worse (scripted): 40 rows of rows.jsonl>"
    assert repr(compare(*reports[:2])).startswith("<Comparison: WORSE. worse is worse than <gone>")
    assert "\n" not in repr(overview(reports))
    assert all("<table" in shown._repr_html_() for shown in (reports[0], compare(*reports[:2]), overview(reports)))


def test_a_report_on_rows_from_memory_calls_them_by_their_name() -> None:
    data = Dataset.from_rows(
        [{"note": f"note {at}", "label": "soon"} for at in range(20)], TRIAGE, target="label", name="mine"
    )
    assert "20 rows of mine" in str(evaluate(ScriptedModel(TRIAGE, answers(["soon"] * 20)), data))


def test_what_is_known_of_neither_model_has_no_row(tmp_path: Path) -> None:
    data = dataset(tmp_path, TRIAGE, ["soon"] * 20)
    model = ScriptedModel(TRIAGE, answers(["soon"] * 20))
    free, priced = evaluate(model, data, label="a"), evaluate(model, data, label="b", gpu_hour_usd=2.0)

    def forms(found: Comparison) -> list[str]:
        pages = [found.save(tmp_path / f"c{suffix}").read_text(encoding="utf-8") for suffix in (".md", ".html")]
        with_console = Console(file=io.StringIO(), width=120)
        with_console.print(found)
        assert isinstance(with_console.file, io.StringIO)
        return [str(found), found._repr_html_(), with_console.file.getvalue(), *pages]

    for form in forms(compare(free, free)):
        assert "cost per 1,000 rows" not in form
        assert "latency p95" in form
    for form in forms(compare(free, priced)):
        assert "cost per 1,000 rows" in form


def test_junit_fails_what_got_worse(reports: list[Report], tmp_path: Path) -> None:
    first, worse, alike = reports
    suite = ElementTree.parse(compare(first, worse).save(tmp_path / "worse.xml")).getroot()
    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    assert suite.get("name") == "<gone>\ufffd → worse"
    assert "verdict" in failed
    messages = {case.get("name"): failure.get("message") for case in suite for failure in case.iter("failure")}
    assert messages["recall:soon"] == "recall:soon: 75.0 % before, 0.0 % after"
    assert suite.get("failures") == str(len(failed))
    suite = ElementTree.parse(compare(first, alike).save(tmp_path / "alike.xml")).getroot()
    assert suite.get("failures") == "0"
    suite = ElementTree.parse(compare(first, alike, margin=0.01).save(tmp_path / "short.xml")).getroot()
    failure = suite[0].find("failure")
    assert failure is not None
    assert "These rows cannot show" in str(failure.get("message"))


def test_what_evaluations_in_training_measured_is_on_the_page(reports: list[Report]) -> None:
    curve = TrainingCurve(
        run="r",
        losses=((1, 2.0), (4, 1.0)),
        validation=((0, 2.0), (4, 1.5)),
        metric="record_exact",
        metric_values=((0, 0.0), (4, 0.5)),
        divergence=((0, 0.0), (4, 0.03)),
    )
    page = report_page(reports[0].model_copy(update={"training": curve}))
    assert "record_exact on validation rows" in page
    assert "KL(before ‖ now) on held-out rehearsal rows" in page
    assert "on validation rows" not in report_page(reports[0])


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (((0, 0.0), (5, 0.2), (9, 0.33)), "went from 0 to 0.33 and was best at the end of training"),
        (((0, 0.0), (5, 0.4), (9, 0.2)), "was best at step 5 (0.4) and 0.2 at the end: fewer steps would help"),
        ((), "whether held-out rows suffered is not known"),
    ],
)
def test_a_gap_to_training_rows_is_explained_by_the_curve_of_held_out_rows(
    values: tuple[tuple[int, float], ...], says: str
) -> None:
    curve = TrainingCurve(
        run="r", losses=(), validation=(), metric="record_exact" if values else None, metric_values=values
    )
    assert says in curve.held_out_trend("record_exact", higher_is_better=True)


def test_an_overview_compares_all_with_the_first(reports: list[Report], tmp_path: Path) -> None:
    found = overview([*reports, reports[2]])
    assert [one.verdict for one in found.standings] == [None, "worse", "inconclusive", "inconclusive"]
    assert [one.label for one in found.standings][2:] == ["alike", "alike #2"]
    assert "worse" in str(found)
    assert "| alike |" in found.save(tmp_path / "o.md").read_text(encoding="utf-8")
    assert Overview.model_validate(json.loads(found.save(tmp_path / "o.json").read_text())) == found
    assert [one.on_front for one in found.standings] == [True, False, True, True]  # none has a price, all are as fast
    with pytest.raises(ConfigError, match="at least two reports"):
        overview(reports[:1])


def test_the_front_is_that_of_the_shared_metric_and_of_its_good_side(tmp_path: Path) -> None:
    data = dataset(tmp_path, VISITS, [visit(n) for n in range(40)])
    tidy, untidy = [visit(n) for n in range(40)], [{"patient_name": "?"} for _ in range(40)]
    reports = [
        evaluate(ScriptedModel(VISITS, answers(said)), data, label=label, primary=primary)
        for label, said, primary in (
            ("untidy", untidy, "missing_field_rate"),
            ("tidy", tidy, "record_exact"),
        )
    ]
    assert reports[0].headline.value == 1
    found = overview(reports)
    assert [one.verdict for one in found.standings] == [None, "better"]
    assert [one.on_front for one in found.standings] == [False, True]


if __name__ == "__main__":
    SCHEMAS.mkdir(exist_ok=True)
    for each in (Report, Comparison, Overview, Certificate):
        text = json.dumps(schema(each), indent=1, ensure_ascii=False) + "\n"
        (SCHEMAS / f"{each.__name__.lower()}-1.schema.json").write_text(text, encoding="utf-8")
