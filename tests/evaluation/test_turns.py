"""Every assistant turn of a conversation can be evaluated, and tool calls are answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from typer.testing import CliRunner

import ftkit as ft
from ftkit.cli.app import app
from ftkit.evaluation.cost_estimate import estimate_cost
from ftkit.results.report_row import RowResult
from ftkit.results.row_failure import failure_kind
from ftkit.testing import FakeModel


def call(function: str, **arguments: Any) -> dict[str, Any]:
    return {"id": "c1", "type": "function", "function": {"name": function, "arguments": json.dumps(arguments)}}


TOOLS = [{"type": "function", "function": {"name": "book", "parameters": {"type": "object"}}}]
BOOKING = [
    {"role": "user", "content": "A bed for Ana."},
    {"role": "assistant", "content": None, "tool_calls": [call("book", name="Ana")]},
    {"role": "tool", "tool_call_id": "c1", "content": "bed 3"},
    {"role": "assistant", "content": "Ana has bed 3."},
    {"role": "user", "content": "Thanks."},
    {"role": "assistant", "content": "You are welcome."},
]


def model(answers: dict[str, Any], task: ft.Task[Any] | None = None) -> FakeModel:
    return FakeModel(ft.Task() if task is None else task, answers)


SAID = {
    "A bed for Ana.": [ft.ToolCall("book", {"name": "Ana"}, "other")],
    "bed 3": "Ana has bed 3.",
    "Thanks.": "Bye.",
}


@pytest.fixture
def data() -> ft.Dataset:
    rows = [{"id": f"chat{number}", "messages": BOOKING, "tools": TOOLS} for number in range(2)]
    return ft.Dataset.from_rows(rows)


def test_every_assistant_turn_is_asked_after_the_turns_of_the_data(data: ft.Dataset) -> None:
    report = ft.evaluate(model(SAID), data, turns="all", probes=False)
    assert [row.id for row in report.rows] == [f"chat{at}#{turn}" for at in range(2) for turn in (1, 2, 3)]
    assert [len(row.prompt) for row in report.rows[:3]] == [1, 3, 5]
    assert {row.group for row in report.rows[:3]} == {"chat0"}
    assert report.turns == "all"
    first, second, third = report.rows[:3]
    assert first.scores == {"exact_match": None, "normalised_match": None, "tool_calls_match": 1}
    assert (second.scores["exact_match"], third.scores["exact_match"]) == (1, 0)
    assert report["tool_calls_match"].n == 2
    last = ft.evaluate(model(SAID), data, probes=False)
    assert [row.id for row in last.rows] == ["chat0", "chat1"]
    with pytest.raises(ft.ConfigError, match=r"turns='every' is not known"):
        ft.evaluate(model(SAID), data, turns="every", probes=False)  # type: ignore[arg-type]


def test_a_correct_call_is_no_empty_answer_and_is_shown_as_a_call(data: ft.Dataset, tmp_path: Path) -> None:
    good = ft.evaluate(model(SAID), data, turns="all", probes=False, label="good")
    first = good.rows[0]
    assert first.problems == ()
    assert first.answered
    assert first.said == 'book(name="Ana")' == first.wanted
    bad = model(
        SAID
        | {"A bed for Ana.": [ft.ToolCall("book", {"name": "Bo"})], "bed 3": [ft.ToolCall("book", {"name": "Ana"})]}
    )
    other = ft.evaluate(bad, data, turns="all", probes=False, label="bad")
    assert [failure_kind(row, "tool_calls_match") for row in other.rows[:1]] == ["wrong call"]
    assert failure_kind(other.rows[1], "exact_match") == "wrong call"
    page = tmp_path / "page.html"
    good.save(page)
    html = page.read_text()
    assert "book(name=&#34;Ana&#34;)" in html or 'book(name="Ana")' in html
    assert "(empty)" not in html
    comparison = ft.compare(good, other, primary="tool_calls_match")
    comparison.save(tmp_path / "comparison.md")
    markdown = (tmp_path / "comparison.md").read_text()
    assert "book(name=" in markdown
    assert "Bo" in markdown


def test_calls_that_are_no_json_are_a_problem(data: ft.Dataset) -> None:
    torn = {"id": "c", "type": "function", "function": {"name": "book", "arguments": '{"name"'}}
    answer = ft.Answer("", "tool_calls", 1, 1, 0.1, tool_calls=[torn])
    row = RowResult.of(data[0], answer, data.task)
    (problem,) = row.problems
    assert (problem.problem, problem.path) == ("not_json", "$.tool_calls[0].arguments")
    assert row.said == 'book({"name")'


def test_the_estimated_cost_counts_every_turn(data: ft.Dataset) -> None:
    last, every = (estimate_cost(model(SAID), data, turns=turns) for turns in ("last", "all"))
    assert (last.rows, every.rows) == (2, 6)
    assert every.input_tokens > last.input_tokens


@pytest.mark.parametrize("output", [Literal["yes", "no"], {"type": "object"}])
def test_calls_are_scored_by_calls_whatever_the_output(output: Any) -> None:
    final = "yes" if output != {"type": "object"} else "{}"
    turns = [*BOOKING[:3], {"role": "assistant", "content": final}]
    task = ft.Task(output=output)
    rows = ft.Dataset.from_rows([{"messages": turns, "tools": TOOLS}], task)
    asked = model({"A bed for Ana.": [ft.ToolCall("book", {"name": "Ana"})], "bed 3": final}, task)
    report = ft.evaluate(asked, rows, turns="all", probes=False)
    assert report["tool_calls_match"].value == 1
    values = {metric.name: metric for metric in report.metrics if metric.name in ("accuracy", "record_exact")}
    assert [(metric.value, metric.n) for metric in values.values()] == [(1, 1)]
    assert report.metrics[0].value == 1
    assert all(not row.problems for row in report.rows)


def test_turns_of_weight_0_are_not_asked_and_invalid_ones_are_named() -> None:
    turns = [dict(turn) for turn in BOOKING]
    turns[3]["weight"] = 0
    report = ft.evaluate(model(SAID), ft.Dataset.from_rows([{"messages": turns}]), turns="all", probes=False)
    assert [row.id.partition("#")[2] for row in report.rows] == ["1", "3"]
    chat = [*BOOKING[:4], {"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "yes"}]
    task = ft.Task(output=Literal["yes", "no"])
    with pytest.raises(ft.DataError, match=r"messages\[3\]: not a valid answer .*give the turn weight 0"):
        ft.evaluate(model(SAID, task), ft.Dataset.from_rows([{"messages": chat}], task), turns="all", probes=False)


def test_the_command_asks_for_all_turns(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTKIT_HOME", str(tmp_path / "home"))
    file = tmp_path / "chats.jsonl"
    file.write_text(json.dumps({"messages": BOOKING[4:] * 2}))
    report = tmp_path / "report.json"
    ft.Task().to_yaml(tmp_path / "task.yaml")
    line = ["evaluate", f"local:{tiny_model}", "--data", str(file), "--task", str(tmp_path / "task.yaml")]
    line += ["--turns", "all", "--no-probes"]
    done = CliRunner().invoke(app, [*line, "--max-output-tokens", "4", "--output", str(report)])
    assert done.exit_code == 0, done.output
    assert len(ft.Report.load(report).rows) == 2
