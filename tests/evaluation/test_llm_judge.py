"""Judges that are models."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ftkit.backends import Answer, OnAnswer, Request, Sampling
from ftkit.errors import ConfigError, ReportError
from ftkit.evaluation import Report, evaluate, judge, judge_pairs
from tests.evaluation.scripted import ECHO, ScriptedModel, answered, answers, dataset, failed


class Critic(ScriptedModel):
    """Decides by a function of what stands between the tags."""

    def __init__(self, decide: Callable[[dict[str, str]], str]) -> None:
        super().__init__(ECHO, {}, name="critic")
        self.decide = decide

    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling | None = None, on_answer: OnAnswer | None = None
    ) -> list[Answer]:
        self.asked += requests
        parts = [
            dict(re.findall(r"<(\w+)>\n(.*?)\n</\1>", request.messages[-1]["content"], re.DOTALL))
            for request in requests
        ]
        return [answered(self.decide(part)) for part in parts]


def grade(number: int) -> str:
    return json.dumps({"reason": "so", "grade": number})


def better(which: str) -> str:
    return json.dumps({"reason": "so", "better": which})


def test_grades_are_a_metric(tmp_path: Path) -> None:
    critic = Critic(lambda part: "hm" if "odd" in part["answer"] else grade(5 if "please" in part["answer"] else 2))
    data = dataset(tmp_path, ECHO, ["x"] * 4)
    model = ScriptedModel(ECHO, answers(["yes, please", "no", "odd", failed("gone")]))
    report = evaluate(model, data, metrics=[judge(critic, "Is it polite?", name="polite")])
    assert [row.scores["polite"] for row in report.rows] == [1, 0.25, None, 0]
    assert (report["polite"].n, report["polite"].value) == (3, pytest.approx(1.25 / 3))
    assert len(critic.asked) == 3
    assert "Is it polite?" in critic.asked[0].messages[0]["content"]


def reports(folder: Path, one: list[str], two: list[str]) -> tuple[Report, Report]:
    data = dataset(folder, ECHO, ["x"] * len(one))
    first, second = (
        evaluate(ScriptedModel(ECHO, answers(said)), data, label=label) for said, label in ((one, "old"), (two, "new"))
    )
    return first, second


def test_preferences_count_only_when_they_survive_the_swap(tmp_path: Path) -> None:
    def decide(part: dict[str, str]) -> str:
        if "bias" in part["first"] + part["second"]:
            return better("first")
        return better("first" if len(part["first"]) > len(part["second"]) else "second")

    one, two = ["a"] * 20 + ["bias 1", "same", "longer"], ["aaa"] * 20 + ["bias 2", "same", "a"]
    critic = Critic(decide)
    found = judge_pairs(critic, *reports(tmp_path, one, two), "Which says more?")
    assert [found.count(kind) for kind in ("after", "before", "swayed", "same")] == [20, 1, 1, 1]
    assert found.change.difference == pytest.approx(19 / 23)
    assert found.change.verdict == "better"
    assert len(critic.asked) == 2 * 22
    assert "new wins 20 rows, old 1" in str(found)


def test_a_judge_that_only_follows_the_order_decides_nothing(tmp_path: Path) -> None:
    found = judge_pairs(Critic(lambda part: better("first")), *reports(tmp_path, ["a"] * 30, ["b"] * 30), "?")
    assert found.count("swayed") == 30
    assert found.change.verdict == "inconclusive"


def test_a_judge_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="critic cannot judge: not one of its 6 decisions"):
        judge_pairs(Critic(lambda part: "the first!"), *reports(tmp_path, ["a"] * 3, ["b"] * 3), "?")


def test_a_row_without_an_answer_is_not_judged(tmp_path: Path) -> None:
    """A failed request is no bad answer, and the judge is not paid for it."""
    data = dataset(tmp_path, ECHO, ["x"] * 8)
    first = evaluate(ScriptedModel(ECHO, answers(["a"] * 8)), data, label="old")
    said = ["b", "b", "a", *[failed("gone")] * 5]
    second = evaluate(ScriptedModel(ECHO, answers(said)), data, label="new")
    critic = Critic(lambda part: better("first" if part["first"] == "b" else "second"))
    found = judge_pairs(critic, first, second, "?")
    assert [found.count(kind) for kind in ("after", "before", "same", "unread")] == [2, 0, 1, 5]
    assert len(critic.asked) == 4
    nothing = evaluate(ScriptedModel(ECHO, answers([failed("gone")] * 8)), data, label="new")
    with pytest.raises(ReportError, match="nothing to judge"):
        judge_pairs(critic, first, nothing, "?")
