"""Shapes of public files of other tools: what their writers write, where it is not what one would expect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.interchange import answers_as_rows, import_reports

from .test_interchange import promptfoo


def multiple_choice(number: int, target: Any, accuracy: float, **arguments: Any) -> dict[str, Any]:
    """A sample whose first choice is the likeliest, as lm_eval writes it."""
    first = {"arg_0": f"{number}: the sky is", "arg_1": " green"} | arguments.get("first", {})
    second = {"arg_0": f"{number}: the sky is", "arg_1": " blue"} | arguments.get("second", {})
    responses = [["-1.5", "True"], ["-3.0", "False"]]
    return {
        "doc_id": number, "doc": {"q": f"sky {number}"}, "target": target, "filter": "none", "metrics": ["acc"],
        "acc": accuracy, "arguments": {"gen_args_0": first, "gen_args_1": second},
        "resps": [[one] for one in responses], "filtered_resps": responses,
    }  # fmt: skip


def lm_eval_report(tmp_path: Path, samples: list[dict[str, Any]]) -> ft.Report:
    path = tmp_path / "samples_sky.jsonl"
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples), encoding="utf-8")
    (report,) = import_reports(path)
    return report


@pytest.mark.parametrize("forms", [("0", "1"), (0, 1), ("green", "blue"), (" green", " blue")])
def test_a_multiple_choice_sample_is_the_likeliest_choice(tmp_path: Path, forms: tuple[Any, Any]) -> None:
    """lm_eval writes the right choice as the text of its index, or of the choice itself."""
    samples = [multiple_choice(number, forms[number % 2], float(number % 2 == 0)) for number in range(4)]
    report = lm_eval_report(tmp_path, samples)
    assert [(row.text, row.target) for row in report.rows] == [("green", "green"), ("green", "blue")] * 2
    assert report.headline.value == 0.5
    assert report["lm_eval:acc"].value == 0.5


def test_its_own_accuracy_says_whether_a_number_is_an_index_or_a_choice(tmp_path: Path) -> None:
    texts = {"first": {"arg_1": " 1"}, "second": {"arg_1": " 2"}}
    samples = [multiple_choice(0, "1", 0.0, **texts), multiple_choice(1, "1", 1.0, **texts)]
    report = lm_eval_report(tmp_path, samples)
    assert [row.target for row in report.rows] == ["2", "1"]
    assert report.headline.value == 0.5


def test_choices_that_differ_in_the_prompt_alone_are_told_apart(tmp_path: Path) -> None:
    """As in Winogrande: each choice is put into the question, and what follows is the same."""
    texts = {
        "first": {"arg_0": "She thinks Ann", "arg_1": " is late."},
        "second": {"arg_0": "She thinks Eve", "arg_1": " is late."},
    }
    report = lm_eval_report(
        tmp_path, [multiple_choice(number, " is late.", float(number % 2), **texts) for number in range(4)]
    )
    assert {row.text for row in report.rows} == {"She thinks Ann is late."}
    assert (report.primary, report.headline.value) == ("lm_eval:acc", 0.5)


def test_several_right_answers_are_no_wanted_answer(tmp_path: Path) -> None:
    def sample(number: int, target: str, said: str) -> dict[str, Any]:
        return {
            "doc_id": number, "doc": {}, "target": target, "filter": "none", "metrics": ["exact_match", "f1"],
            "exact_match": 1.0, "f1": ["pairs", ["of a corpus"]], "resps": [[said]], "filtered_resps": [[said]],
            "arguments": {"gen_args_0": {"arg_0": f"question {number}", "arg_1": {}}},
        }  # fmt: skip

    report = lm_eval_report(tmp_path, [sample(0, "['Paris', 'paris']", "paris"), sample(1, "['Rome']", "Rome")])
    assert [row.target for row in report.rows] == [None, "Rome"]
    assert (report.primary, report.headline.value) == ("lm_eval:exact_match", 1.0)
    assert report["lm_eval:f1"].value is None
    assert lm_eval_report(tmp_path, [sample(0, "['a']", "['a']")]).headline.value == 1.0


def test_a_log_of_the_open_source_evals(tmp_path: Path) -> None:
    spec = {"completion_fns": ["gpt-3.5-turbo"], "eval_name": "test-match.s1", "created_at": "2023-05-11 10:11:12"}
    chat = [{"role": "user", "content": "Once upon a "}]
    asked = [("s.0", chat, "time."), ("s.1", "The first president was ", "Abe")]
    matched = [("s.0", True, "time"), ("s.1", False, ["George", "GW"])]
    events: list[dict[str, Any]] = [
        {"spec": spec},
        *({"sample_id": n, "type": "sampling", "data": {"prompt": p, "sampled": [said]}} for n, p, said in asked),
        *({"sample_id": n, "type": "match", "data": {"correct": right, "expected": e}} for n, right, e in matched),
        {"final_report": {"accuracy": 0.5}},
    ]
    path = tmp_path / "log.jsonl"

    def write(events: list[dict[str, Any]]) -> None:
        path.write_text(
            "".join(json.dumps({"run_id": "r", "event_id": n, **one}) + "\n" for n, one in enumerate(events))
        )

    write(events)
    (report,) = import_reports(path)
    assert (report.model, report.headline.value) == ("openai:gpt-3.5-turbo", 0.5)
    assert report.primary == "openai_evals_log:correct"
    assert [row.target for row in report.rows] == ["time", None]
    write([*events, events[1]])
    with pytest.raises(ft.DataError, match=r"sample s\.0 has several answers"):
        import_reports(path)
    write([events[0]])
    with pytest.raises(ft.DataError, match="has no answers"):
        import_reports(path)


def test_results_of_promptfoo_as_lines_and_of_older_versions(tmp_path: Path) -> None:
    summary = promptfoo()["results"]
    for result in summary["results"]:
        checks = result.pop("testCase", {}).get("assert", [])
        result["gradingResult"] = {
            **result["gradingResult"],
            "componentResults": [{"assertion": one} for one in checks],
        }
    path, lines = tmp_path / "results.json", tmp_path / "results.jsonl"
    path.write_text(json.dumps({"results": {**summary, "version": 2}}), encoding="utf-8")
    lines.write_text("".join(json.dumps(one) + "\n" for one in summary["results"]), encoding="utf-8")
    whole = import_reports(path)
    assert [row.target for report in whole for row in report.rows] == [
        row.target for report in import_reports(lines) for row in report.rows
    ]
    assert any(row.target for report in whole for row in report.rows)


def test_a_sample_of_inspect_ai_has_the_prompt_that_was_sent(tmp_path: Path) -> None:
    """inspect_ai 0.3.285: solvers add system messages and choices to ``messages``, and tools answer between them."""

    def turn(role: str, content: str, source: str = "input", **more: Any) -> dict[str, Any]:
        return {"id": "x", "role": role, "content": content, "source": source, **more}

    call = {"id": "c1", "function": "get_weather", "arguments": {"city": "Tokyo"}, "type": "function"}
    answer = turn("assistant", "B", "generate")
    samples = [
        {"id": "mc", "epoch": 1, "input": "2+2?", "choices": ["3", "4"], "target": "B",
         "messages": [turn("system", "Choose."), turn("system", "One."), turn("user", "2+2?\n\nA) 3\nB) 4"), answer]},
        {"id": "tools", "epoch": 1, "input": "Weather?", "target": "B",
         "messages": [turn("user", "Weather?"), turn("assistant", "", "generate", tool_calls=[call]),
                      turn("tool", "sunny", "input", tool_call_id="c1"), answer]},
        {"id": "none", "epoch": 1, "input": "Anything?", "target": "B", "messages": []},
    ]  # fmt: skip
    for sample in samples:
        sample |= {"output": {"choices": [{"message": answer, "stop_reason": "stop"}]}, "scores": {}, "metadata": {}}
    log = {"version": 2, "status": "success", "eval": {"model": "m", "task": "t"}, "samples": samples}
    path = tmp_path / "log.json"
    path.write_text(json.dumps(log), encoding="utf-8")
    (report,) = import_reports(path)
    asked = {row.id: [(turn["role"], turn["content"]) for turn in row.prompt] for row in report.rows}
    assert asked == {
        "mc": [("system", "Choose."), ("system", "One."), ("user", "2+2?\n\nA) 3\nB) 4")],
        "tools": [("user", "Weather?")],
        "none": [("user", "Anything?")],
    }
    made = {row.id: row for row in answers_as_rows(report)}
    assert set(made) == {"mc", "none"}
    assert made["mc"].messages[0] == {"role": "system", "content": "Choose.\n\nOne."}
