"""Results of other tools as reports, and back.

``logs/inspect.eval`` was written by inspect_ai 0.3.285. The other documents have the shapes that the tools document:
promptfoo's ``EvaluateSummaryV3``, OpenAI's ``eval.run.output_item``, and the samples of lm_eval's ``--log_samples``.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import ftkit as ft
from ftkit.cli.app import app
from ftkit.interchange import FORMS, answers_as_rows, export_report, import_reports

LOG = Path(__file__).parent / "logs" / "inspect.eval"
WORDS = ("red", "blue")


def promptfoo(count: int = 6) -> dict[str, Any]:
    """Results of two providers; the second is wrong on row 3."""
    results = []
    for provider in ("openai:gpt-4.1-mini", "openai:gpt-6-luna"):
        for number in range(count):
            said = WORDS[number % 2] if (provider, number) != ("openai:gpt-6-luna", 3) else "red"
            right = said == WORDS[number % 2]
            results.append(
                {
                    "cost": 0.001,
                    "gradingResult": {"pass": right, "score": float(right), "reason": "", "namedScores": {}},
                    "id": f"{provider}-{number}",
                    "latencyMs": 250,
                    "namedScores": {"tone": 0.5},
                    "prompt": {
                        "raw": json.dumps([{"role": "user", "content": f"case {number}"}]),
                        "label": "prompt.json",
                    },
                    "promptIdx": 0,
                    "provider": {"id": provider, "label": ""},
                    "response": {"output": said, "tokenUsage": {"total": 11, "prompt": 10, "completion": 1}},
                    "score": float(right),
                    "success": right,
                    "testCase": {
                        "vars": {"n": number},
                        "assert": [{"type": "equals", "value": WORDS[number % 2]}],
                    },
                    "testIdx": number,
                    "vars": {"n": number},
                }
            )
    return {
        "evalId": "eval-abc",
        "results": {"version": 3, "timestamp": "2026-11-20T10:00:00Z", "prompts": [], "results": results, "stats": {}},
        "config": {},
        "shareableUrl": None,
    }


def output_items(count: int = 6) -> list[dict[str, Any]]:
    return [
        {
            "id": f"outputitem_{number}",
            "object": "eval.run.output_item",
            "run_id": "evalrun_1",
            "eval_id": "eval_1",
            "status": "fail" if number == 3 else "pass",
            "datasource_item_id": number,
            "datasource_item": {"question": f"case {number}", "ground_truth": WORDS[number % 2]},
            "results": [{"name": "match", "passed": number != 3, "score": float(number != 3), "sample": None}],
            "sample": {
                "model": "gpt-4.1-mini-2025-04-14",
                "input": [{"role": "user", "content": f"case {number}"}],
                "output": [{"role": "assistant", "content": WORDS[number % 2] if number != 3 else "red"}],
                "finish_reason": "stop",
                "usage": {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11, "cached_tokens": 0},
                "error": None,
            },
        }
        for number in range(count)
    ]


def lm_eval(count: int = 6) -> list[dict[str, Any]]:
    return [
        {
            "doc_id": number,
            "doc": {"question": f"case {number}"},
            "target": WORDS[number % 2],
            "arguments": {"gen_args_0": {"arg_0": f"case {number}", "arg_1": {"until": ["\n"]}}},
            "resps": [[WORDS[number % 2] if number != 3 else "red"]],
            "filtered_resps": [WORDS[number % 2] if number != 3 else "red"],
            "filter": "none",
            "metrics": ["exact_match"],
            "exact_match": float(number != 3),
        }
        for number in range(count)
    ]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTKIT_HOME", str(tmp_path / "home"))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """One file of each form, all with the same six answers of which one is wrong."""
    found = {"inspect_ai": LOG, "promptfoo": tmp_path / "promptfoo.json"}
    content = promptfoo()
    content["results"]["results"] = content["results"]["results"][6:]
    found["promptfoo"].write_text(json.dumps(content), encoding="utf-8")
    for name, values in (("openai_evals", output_items()), ("lm_eval", lm_eval())):
        found[name] = tmp_path / f"{name}.jsonl"
        found[name].write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return found


@pytest.mark.parametrize("form", ["promptfoo", "openai_evals", "inspect_ai", "lm_eval"])
def test_results_of_other_tools_are_reports(files: dict[str, Path], form: str) -> None:
    (report,) = import_reports(files[form])
    assert report.about["imported_from"] == form
    assert len(report.rows) == 6
    assert report.headline.name == "accuracy"
    assert report.headline.value == pytest.approx(5 / 6)
    assert [row.text for row in report.rows] == ["red", "blue", "red", "red", "red", "blue"]
    assert report.rows[3].prompt[-1]["content"] == "case 3"
    own = [metric for metric in report.metrics if metric.name.startswith(f"{form}:")]
    assert own[0].value == pytest.approx(5 / 6)


def test_reports_of_different_tools_can_be_compared(files: dict[str, Path]) -> None:
    first, second = (import_reports(files[form])[0] for form in ("promptfoo", "openai_evals"))
    comparison = ft.compare(first, second, margin=0.4)
    assert comparison.counts.both_right == 5


@pytest.mark.parametrize("form", ["promptfoo", "inspect_ai", "lm_eval"])
def test_a_report_comes_back_as_it_was(files: dict[str, Path], tmp_path: Path, form: str) -> None:
    (report,) = import_reports(files["openai_evals"])
    path = export_report(report, tmp_path / f"out{FORMS.get(form).suffix}", form=form)
    (back,) = import_reports(path)
    assert back.about["imported_from"] == form
    assert [(row.prompt_hash, row.text, row.target) for row in back.rows] == [
        (row.prompt_hash, row.text, row.target) for row in report.rows
    ]
    assert back.headline.value == report.headline.value


def test_each_model_has_a_report_and_the_command_a_file(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(promptfoo()), encoding="utf-8")
    done = CliRunner().invoke(app, ["convert", str(path), "-o", str(tmp_path / "r.json")])
    assert done.exit_code == 0, done.output
    first, second = (ft.Report.load(tmp_path / f"r-{number}.json") for number in (1, 2))
    assert (first.label, second.label) == ("openai:gpt-4.1-mini", "openai:gpt-6-luna")
    assert first.cost.per_1000_usd == pytest.approx(1.0)
    again = CliRunner().invoke(app, ["convert", str(path), "-o", str(tmp_path / "r.json")])
    assert "exists; choose another file" in again.stderr
    out = CliRunner().invoke(
        app, ["convert", str(tmp_path / "r-2.json"), "--to", "inspect_ai", "-o", str(tmp_path / "log.json")]
    )
    assert out.exit_code == 0, out.output
    assert json.loads((tmp_path / "log.json").read_text(encoding="utf-8"))["eval"]["model"] == "openai/gpt-6-luna"


def test_frozen_answers_become_rows(files: dict[str, Path], tmp_path: Path) -> None:
    (report,) = import_reports(files["openai_evals"])
    rows = answers_as_rows(report)
    assert len(rows) == 5
    assert len(answers_as_rows(report, only_right=False)) == 6
    saved = report.save(tmp_path / "frozen.json")
    done = CliRunner().invoke(app, ["convert", str(saved), "--to", "rows", "-o", str(tmp_path / "rows.jsonl")])
    assert done.exit_code == 0, done.output
    assert "5 of 6 answers" in done.stderr
    loaded = ft.Dataset.load(tmp_path / "rows.jsonl")
    assert [row.target for row in loaded] == ["red", "blue", "red", "red", "blue"]


def bomb(path: Path) -> Path:
    """An archive whose member expands to 300 MB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps({"status": "success", "eval": {"model": "x"}}))
        archive.writestr("samples/1.json", b" " * (300 << 20))
    return path


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"PK\x03\x04 no archive", "a damaged archive"),
        (b"{}", "no results of promptfoo, openai_evals"),
        (b'{"results": {"results": [7]}}', "result 1: not an object"),
        (b'{"results": {"results": [{"prompt": {"raw": 5}}]}}', "neither a text nor a list"),
        (b'{"results": {"results": []}}', "has no answers"),
        (b'{"results": {}, "configs": {}, "n-shot": {}}', "--log_samples"),
        (b'{"doc_id": 1, "resps": [], "arguments": 4}', "arguments is missing"),
        (b'{"doc_id": 1, "resps": [], "arguments": [["a"]]}', "resps is no list"),
        (b'{"eval": {}, "status": "success"}', "has no samples"),
        (b'{"eval": {}, "status": "error", "samples": [{"id": 1}]}', "the status 'error', so its results"),
        (b'{"eval": {}, "status": "success", "samples": [{"input": [{"role": "robot"}]}]}', "has no role among"),
        (
            b'{"eval": {}, "status": "success", "samples": '
            b'[{"input": [{"role": "user", "content": [{"type": "image"}]}]}]}',
            "part of type 'image'",
        ),
        (b'{"object": "eval.run.output_item", "sample": {"input": "x", "output": 3}}', "sample.output is no list"),
        (b'{"object": "eval.run.output_item", "sample": {"input": "x"}}\n{"object": "x"}', ':2: "object" is not'),
    ],
)
def test_hostile_files_are_refused_by_place(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "hostile.json"
    path.write_bytes(content)
    done = CliRunner().invoke(app, ["convert", str(path), "-o", str(tmp_path / "r.json")])
    assert done.exit_code in (1, 2)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert says in done.stderr
    assert not (tmp_path / "r.json").exists()


def test_an_archive_that_expands_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ft.DataError, match="larger than 256 MiB when it is expanded"):
        import_reports(bomb(tmp_path / "bomb.eval"))


def test_what_a_form_cannot_say_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    (report,) = import_reports(files["promptfoo"])
    with pytest.raises(ft.ConfigError, match="ftkit only reads this form"):
        export_report(report, tmp_path / "x.json", form="openai_evals")
    calling = report.rows[0].model_copy(update={"tool_calls": ({"id": "1", "type": "function"},)})
    with pytest.raises(ft.ConfigError, match="calls tools"):
        export_report(report.model_copy(update={"rows": (calling,)}), tmp_path / "x.json", form="inspect_ai")


def saved(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("value", "variables", "output", "target"),
    [
        ("{{expected}}", {"expected": "red"}, "red", "red"),
        ("{{ a.b }}", {"a": {"b": "red"}}, "red", "red"),
        (42, {}, "42", "42"),
        (7.0, {}, "7", "7"),
        ({"a": 1}, {}, {"a": 1}, {"a": 1}),
        ("{{expected | lower}}", {"expected": "Red"}, "red", None),
        ("file://wanted.txt", {}, "red", None),
    ],
)
def test_the_answer_that_promptfoo_wants_is_filled_in(
    tmp_path: Path, value: Any, variables: dict[str, Any], output: Any, target: Any
) -> None:
    content = promptfoo(2)
    for result in content["results"]["results"]:
        result["vars"] = variables
        result["testCase"] = {"assert": [{"type": "equals", "value": value}]}
        result["response"]["output"] = output
    report = import_reports(saved(tmp_path, content))[0]
    assert [row.target for row in report.rows] == [target] * 2
    expected = "promptfoo:pass" if target is None else report.primary
    assert report.primary == expected
    if target is not None:
        assert report.headline.value == 1.0


def test_each_filter_of_lm_eval_has_a_report(tmp_path: Path) -> None:
    lines = [
        {
            "doc_id": number,
            "doc": {},
            "target": "5",
            "arguments": [[f"case {number}", {}]],
            "resps": [["so #### 5"]],
            "filtered_resps": [said],
            "filter": name,
            "metrics": ["exact_match"],
            "exact_match": float(said == "5"),
        }
        for name, said in (("strict-match", "[invalid]"), ("flexible-extract", "5"))
        for number in range(3)
    ]
    path = tmp_path / "samples.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    strict, flexible = import_reports(path)
    assert (len(strict.rows), strict.headline.value, flexible.headline.value) == (3, 0.0, 1.0)
    assert strict.label.endswith("filter strict-match")


def test_scores_of_several_values_and_words_are_read(tmp_path: Path) -> None:
    message = {"role": "assistant", "content": "5"}
    values = [{"exact": "C", "tone": 0.5}, {"exact": "no", "tone": "1.0"}]
    samples = [
        {
            "id": number,
            "input": f"case {number}",
            "target": "5",
            "output": {"choices": [{"message": message}]},
            "scores": {"judge": {"value": value}},
        }
        for number, value in enumerate(values)
    ]
    log = {"version": 2, "status": "success", "eval": {"model": "openai/x"}, "samples": samples}
    (report,) = import_reports(saved(tmp_path, log))
    assert report["inspect_ai:judge/exact"].value == 0.5
    assert report["inspect_ai:judge/tone"].value == 0.75
    message["tool_calls"] = [{"id": "1", "function": "f", "arguments": {}}]  # type: ignore[assignment]
    with pytest.raises(ft.FtkitError, match="sample 1: the answer calls tools"):
        import_reports(saved(tmp_path, log))


def test_degrees_of_graders_are_read_and_a_single_page_is_refused(tmp_path: Path) -> None:
    items = output_items(2)
    for item in items:
        item["results"] = [{"name": "degree", "passed": True, "score": 0.25}]
    (report,) = import_reports(saved(tmp_path, {"object": "list", "data": items, "has_more": False}))
    assert report["openai_evals:degree"].value == 0.25
    with pytest.raises(ft.FtkitError, match="one page of a longer list"):
        import_reports(saved(tmp_path, {"object": "list", "data": items, "has_more": True}))
    with pytest.raises(ft.FtkitError, match="row 1: results is no list"):
        import_reports(saved(tmp_path, [{**items[0], "results": 7}]))
