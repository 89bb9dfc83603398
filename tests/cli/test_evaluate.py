"""``ftkit evaluate``, ``compare`` and ``report``: the way from a model to a verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ftkit as ft


@pytest.fixture
def measured(ftkit, texts, task, trained):
    """Two reports: base.json, where everything is wrong, and tuned.json."""
    asked = ("--data", texts, "--target", "gold")
    base = ftkit("evaluate", "toy:base", "--task", task, *asked, "-o", "base.json", "--label", "base")
    tuned = ftkit("evaluate", f"toy:{trained}", *asked, "-o", "tuned.json", "-o", "pages/tuned.html")
    assert (base.exit_code, tuned.exit_code) == (0, 0), base.stderr + tuned.stderr
    return base, tuned


def test_a_report_is_shown_and_saved_in_every_form_asked_for(measured, trained):
    _, tuned = measured
    report = ft.Report.load("tuned.json")
    assert tuned.stdout == f"{report}\n"
    assert report.model == f"toy:{trained}"
    assert report["record_exact"].value == 0.8
    assert tuned.stderr == "wrote tuned.json\nwrote pages/tuned.html\n"
    assert Path("pages/tuned.html").read_text().lower().startswith("<!doctype html>")


def test_a_base_model_needs_a_task(ftkit, texts):
    failed = ftkit("evaluate", "toy:base", "--data", texts, "--target", "gold")
    assert failed.exit_code == 2
    assert "add --task FILE" in failed.stderr


def test_a_tuned_model_does_another_task_only_when_told_to(ftkit, texts, task, trained):
    ftkit("task", "--data", texts, "--input", "Read: {text}", "--target", "gold", "-o", "other.yaml")
    words = ("evaluate", f"toy:{trained}", "--data", texts, "--target", "gold", "--task")
    assert ftkit(*words, task).exit_code == 0
    failed = ftkit(*words, "other.yaml")
    assert failed.exit_code == 2
    assert "was fine-tuned for another task than other.yaml" in failed.stderr
    done = ftkit(*words, "other.yaml", "--other-task")
    assert done.exit_code == 0, done.stderr


def test_a_run_can_be_named_by_its_id_alone(ftkit, texts, trained):
    done = ftkit("evaluate", trained, "--data", texts, "--target", "gold")
    assert done.stdout.startswith(f"toy:{trained}: 5 rows")


def test_a_run_without_a_model_says_why(ftkit, texts, task):
    words = ("train", "--data", texts, "--task", task, "--target", "gold", "--detach", "--backend")
    for model, why in {"slow": "is still running", "weak": "failed: it is too weak"}.items():
        run_id = ftkit(*words, f"toy:{model}").stdout.strip()
        failed = ftkit("evaluate", f"toy:{run_id}", "--data", texts, "--target", "gold")
        assert failed.exit_code == 1
        assert why in failed.stderr
    failed = ftkit("evaluate", "toy:20200101-000000-abcd", "--data", texts, "--target", "gold")
    assert failed.exit_code == 1
    assert "no run '20200101-000000-abcd'" in failed.stderr


def test_options_reach_the_report(ftkit, texts, trained):
    done = ftkit(
        *("evaluate", f"toy:{trained}", "--data", texts, "--target", "gold", "-o", "r.json", "--limit", 3),
        *("--max-output-tokens", 40, "--temperature", 0.5, "--gpu-hour-usd", 2, "--label", "mine"),
        *("--primary", "schema_valid_rate", "--confidence", 0.9),
    )
    assert done.exit_code == 0, done.stderr
    report = ft.Report.load("r.json")
    assert (len(report.rows), report.label, report.primary, report.confidence) == (3, "mine", "schema_valid_rate", 0.9)
    assert (report.sampling.max_output_tokens, report.sampling.temperature) == (40, 0.5)
    assert report.cost.total_usd is not None


@pytest.mark.parametrize("path", ["report.pdf", "report", "there.json"])
def test_where_nothing_can_be_written_nothing_is_asked(ftkit, texts, task, path):
    Path("there.json").mkdir()
    failed = ftkit("evaluate", "toy:broken", "--task", task, "--data", texts, "--target", "gold", "-o", path)
    assert failed.exit_code == 2
    assert f"Invalid value for -o: {path}" in failed.stderr


def test_a_comparison_is_shown_and_saved(ftkit, measured):
    done = ftkit("compare", "base.json", "tuned.json", "-o", "c.html", "-o", "c.json")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"{ft.compare(ft.Report.load('base.json'), ft.Report.load('tuned.json'))}\n"
    assert json.loads(Path("c.json").read_text())["verdict"] == "inconclusive"
    assert Path("c.html").exists()


@pytest.fixture
def verdicts(ftkit, trained):
    """Reports on forty rows: wrong in all, right in all."""
    lines = [json.dumps({"text": f"row {n}", "gold": {"first": "row", "words": 2}}) for n in range(40)]
    Path("many.jsonl").write_text("\n".join(lines))
    for name, model in {"wrong": "toy:base", "right": f"toy:{trained}"}.items():
        words = ("evaluate", model, "--task", "task.yaml", "--data", "many.jsonl", "--target", "gold")
        assert ftkit(*words, "-o", f"{name}.json").exit_code == 0


@pytest.mark.parametrize(
    ("before", "after", "margin", "verdict", "meets"),
    [
        ("wrong", "right", None, "better", {"better", "non-inferior", "not-worse"}),
        ("right", "wrong", 0.1, "worse", set()),
        ("right", "right", 0.2, "non-inferior", {"non-inferior", "not-worse"}),
        ("right", "right", 0.001, "inconclusive", {"not-worse"}),
    ],
)
def test_a_demand_decides_the_status(ftkit, verdicts, before, after, margin, verdict, meets):
    words = ["compare", f"{before}.json", f"{after}.json"] + (["--margin", margin] if margin else [])
    shown = ftkit(*words)
    assert shown.exit_code == 0
    assert shown.stdout.startswith(f"{verdict.upper()}. ")
    for demand in ("better", "non-inferior", "not-worse"):
        if demand == "non-inferior" and margin is None:
            continue
        done = ftkit(*words, "--require", demand)
        assert done.exit_code == (0 if demand in meets else 1)
        complaint = "" if demand in meets else f"error: --require {demand} is not met: the verdict is {verdict}\n"
        assert done.stderr == complaint


def test_a_demand_that_cannot_be_met_without_a_margin_is_refused(ftkit, measured):
    failed = ftkit("compare", "base.json", "tuned.json", "--require", "non-inferior")
    assert failed.exit_code == 2
    assert "non-inferior needs --margin" in failed.stderr


def test_reports_that_cannot_be_compared_say_why(ftkit, texts, task, measured):
    ftkit("evaluate", "toy:base", "--task", task, "--data", texts, "--target", "gold", "-o", "few.json", "--limit", 2)
    failed = ftkit("compare", "few.json", "tuned.json")
    assert failed.exit_code == 1
    assert failed.stderr.startswith("error: ")


def test_a_report_is_shown_or_written_in_another_form(ftkit, measured):
    assert ftkit("report", "tuned.json").stdout == measured[1].stdout
    done = ftkit("report", "tuned.json", "-o", "tuned.md")
    assert (done.stdout, done.stderr) == ("", "wrote tuned.md\n")
    assert Path("tuned.md").read_text().startswith("## toy:")


def test_a_floor_decides_the_status(ftkit, verdicts):
    words = ("compare", "wrong.json", "right.json", "-o", "gate.xml")
    assert ftkit(*words, "--fail-below", 0.9, "--fail-below", "field:first=1").exit_code == 0
    assert Path("gate.xml").read_text().startswith("<?xml")
    failed = ftkit("compare", "right.json", "wrong.json", "--fail-below", "parse_rate=0.5")
    assert failed.exit_code == 1
    assert "--fail-below is not met: parse_rate of wrong.json is 0.0 %, below 50 %" in failed.stderr
    for no_value in ("much", "nan", "field:first="):
        assert ftkit("compare", "right.json", "wrong.json", "--fail-below", no_value).exit_code == 2
    assert ftkit("report", "right.json", "-o", "r.xml").exit_code == 2


def test_many_reports_are_put_side_by_side(ftkit, verdicts):
    done = ftkit("overview", "wrong.json", "right.json", "wrong.json", "-o", "o.html")
    assert done.exit_code == 0, done.stderr
    assert "better" in done.stdout
    assert Path("o.html").exists()


def test_how_to_ask_compare_and_price_is_said_by_options(ftkit, texts, trained):
    done = ftkit(
        *("evaluate", f"toy:{trained}", "--data", texts, "--target", "gold", "-o", "r.json"),
        *("--comparator", "words=numeric:1", "--comparator", "first=normalised", "--concurrency", 2),
        *("--input-usd", 1, "--output-usd", 2, "--price-source", "a page", "--price-date", "2026-11-24"),
        *("--train-data", texts, "--probe-general", 6, "--training-usd", 5, "--shots", 0),
    )
    assert done.exit_code == 0, done.stderr
    report = ft.Report.load("r.json")
    assert report.primary == "record_match"
    assert report.cost.source == "tokens at $1 in and $2 out per million (a page, 2026-11-24)"
    assert report.cost.training_usd == 5
    assert len(report.probes.general.rows) == 6
    assert report.probes.overfitting.train_rows == 5


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--comparator", "words"), "is not FIELD=KIND"),
        (("--comparator", "words=numeric:much"), "numeric takes a number or a percentage"),
        (("--comparator", "words=nearly"), "there is no comparator 'nearly'"),
        (("--price-source", "a page"), "--input-usd, --output-usd and --price-source must be given together"),
        (("--input-usd", 1), "--input-usd, --output-usd and --price-source must be given together"),
        (("--samples", 3), "--samples 3 at temperature 0"),
        (("--shots", 2), "--shots 2 needs --examples: the rows"),
    ],
)
def test_options_that_make_no_sense_together(ftkit, texts, trained, words, why):
    failed = ftkit("evaluate", f"toy:{trained}", "--data", texts, "--target", "gold", *words)
    assert failed.exit_code == 2
    assert why in failed.stderr


def test_graders_in_files_are_metrics(ftkit, texts, task):
    grader = {"type": "string_check", "name": "as wanted", "reference": "{{item.gold}}", "operation": "eq"}
    Path("grader.json").write_text(json.dumps(grader), encoding="utf-8")
    code = {"type": "python", "name": "long", "source": "def grade(sample, item):\n    return 2.0\n"}
    Path("code.yaml").write_text(json.dumps(code), encoding="utf-8")
    asked = ("evaluate", "toy:base", "--task", task, "--data", texts, "--target", "gold")
    done = ftkit(*asked, "--grader", "grader.json", "-o", "report.json")
    assert done.exit_code == 0, done.stderr
    assert ft.Report.load("report.json")["as wanted"].description == "grade by string_check"
    refused = ftkit(*asked, "--grader", "code.yaml")
    assert refused.exit_code == 2
    assert "--allow-python" in refused.stderr
    misspelt = ftkit(*asked, "--grader", "grader.json", "--python-isolation", "none")
    assert "is not kernel or process" in misspelt.stderr
    missing = ftkit(*asked, "--grader", "none.json")
    assert "none.json: cannot read the grader" in missing.stderr
