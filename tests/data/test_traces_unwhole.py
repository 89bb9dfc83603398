"""Traces whose values say less than they seem to: scales, categories, texts and spans that were cut off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ftkit.cli.app import app
from ftkit.data.trace_rows import TraceFilter, read_traces
from ftkit.errors import DataError


def log(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in records), encoding="utf-8")
    return path


def generation(number: int, *scores: dict[str, Any], output: Any = "yes") -> dict[str, Any]:
    question = [{"role": "user", "content": f"question {number}"}]
    call = {"id": f"o{number}", "traceId": f"t{number}", "type": "GENERATION", "scores": list(scores)}
    return call | {"input": question, "output": output}


def payload(number: int, finish: str = "stop", **more: Any) -> dict[str, Any]:
    choice = {"finish_reason": finish, "message": {"role": "assistant", "content": "yes"}}
    question = [{"role": "user", "content": f"question {number}"}]
    return {
        "id": str(number),
        "call_type": "completion",
        "messages": question,
        "response": {"choices": [choice]},
    } | more


def span(**attributes: str) -> dict[str, Any]:
    return {"name": "chat", "attributes": {"gen_ai.operation.name": "chat", **attributes}}


def rated(name: str, value: float) -> dict[str, Any]:
    return {"name": name, "value": value}


def test_one_star_of_five_is_not_good(tmp_path: Path) -> None:
    stars = [generation(number, rated("user_rating", number)) for number in range(1, 6)]
    thumb = generation(9, rated("thumb", 1))
    read = read_traces(log(tmp_path / "a.jsonl", *stars, thumb), labels=True)
    assert [row.prompt[-1]["content"] for row in read.rows] == ["question 9"]
    assert read.left_out["feedback in numbers of a scale that goes above 1"] == 1
    marks = [payload(number, metadata={"feedback": number}) for number in (1, 4)]
    with pytest.raises(DataError, match="a scale that goes above 1"):
        read_traces(log(tmp_path / "b.jsonl", *marks), where=TraceFilter(feedback=True))


def test_a_category_that_is_not_known_says_nothing(tmp_path: Path) -> None:
    terrible = {"name": "user_feedback", "value": 1, "stringValue": "Terrible"}
    good = {"name": "user_feedback", "value": 1, "stringValue": "True"}
    read = read_traces(log(tmp_path / "a.jsonl", generation(1, terrible), generation(2, good)), labels=True)
    assert [row.prompt[-1]["content"] for row in read.rows] == ["question 2"]


def test_of_scores_with_one_name_the_smallest_counts(tmp_path: Path) -> None:
    both = [rated("help", 0.1), rated("help", 0.9)]
    calls = [generation(1, *both), generation(2, *both[::-1]), generation(3, both[1])]
    assert len(read_traces(log(tmp_path / "a.jsonl", *calls), where=TraceFilter(scores={"help": 0.5})).rows) == 1


def test_numbers_and_times_beyond_all_limits_are_not_known(tmp_path: Path) -> None:
    calls = payload(1, metadata={"scores": {"help": 10**400}}), payload(2, startTime="0001-01-01T00:00:00+10:00")
    assert len(read_traces(log(tmp_path / "a.jsonl", *calls)).rows) == 2


@pytest.mark.parametrize("finish", ["content_filter", "SAFETY", "content-filter", "model_context_window_exceeded"])
def test_an_answer_that_a_filter_cut_off_is_no_row(tmp_path: Path, finish: str) -> None:
    read = read_traces(log(tmp_path / "a.jsonl", payload(1), payload(2, finish)))
    assert (len(read.rows), read.left_out) == (1, {"cut off": 1})


@pytest.mark.parametrize("status", ["error", "pending"])
def test_a_run_that_did_not_end_is_no_row(tmp_path: Path, status: str) -> None:
    run = {"run_type": "llm", "inputs": {"prompt": "question"}, "outputs": {"output": "half"}}
    read = read_traces(log(tmp_path / "a.jsonl", run, run | {"status": status, "outputs": {"output": "other"}}))
    assert (len(read.rows), read.left_out) == (1, {"failed": 1})


def test_messages_that_an_attribute_limit_cut_off_are_no_text(tmp_path: Path) -> None:
    asked = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "question"}]}])
    said = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "yes"}]}])
    names = "gen_ai.input.messages", "gen_ai.output.messages"
    spans = [
        span(**dict(zip(names, pair, strict=True))) for pair in ((asked, said), (asked[:-3], said), (asked, said[:-9]))
    ]
    dropped = spans[0] | {"droppedAttributesCount": 2}
    read = read_traces(log(tmp_path / "a.jsonl", {"resourceSpans": [{"scopeSpans": [{"spans": [*spans, dropped]}]}]}))
    assert (len(read.rows), read.left_out) == (1, {"cannot be read": 3})
    for number, problem in zip((2, 3, 4), read.problems, strict=True):
        assert f"a.jsonl:1: row {number}: " in str(problem)


def test_turns_that_are_missing_between_others_are_not_passed_over(tmp_path: Path) -> None:
    def turns(*numbers: int) -> dict[str, Any]:
        asked = {
            f"gen_ai.prompt.{n}.{key}": value for n in numbers for key, value in (("role", "user"), ("content", "q"))
        }
        return span(**asked, **{"gen_ai.completion.0.content": "yes"})

    read = read_traces(log(tmp_path / "a.jsonl", turns(0, 1), turns(1), turns(0, 2)))
    assert (len(read.rows), read.left_out) == (1, {"cannot be read": 2})


def test_an_answer_in_json_keeps_its_text(tmp_path: Path) -> None:
    texts = '{"name":"Joe",  "age":3}', "[1,2]"
    read = read_traces(log(tmp_path / "a.jsonl", *(generation(n, output=text) for n, text in enumerate(texts))))
    assert [row.completion["content"] for row in read.rows] == list(texts)


def test_no_score_is_held_to_nan(tmp_path: Path) -> None:
    given = log(tmp_path / "a.jsonl", payload(1, metadata={"scores": {"help": 0.1}}))
    asked = ["data", "traces", str(given), "-o", str(tmp_path / "rows.jsonl"), "--min-score", "help=nan"]
    ended = CliRunner().invoke(app, asked)
    assert (ended.exit_code, (tmp_path / "rows.jsonl").exists()) == (2, False)


def test_an_error_of_the_host_is_no_answer(tmp_path: Path) -> None:
    error = {"error": {"message": "rate limit reached", "type": "requests"}}
    read = read_traces(log(tmp_path / "a.jsonl", payload(1), payload(2, response=error)))
    assert (len(read.rows), read.left_out) == (1, {"cannot be read": 1})
