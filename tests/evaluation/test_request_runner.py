"""Asking many questions: at once, at a pace, again after a failure, and not twice after a crash."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ftkit.backends import Answer, OnAnswer, Request, Sampling
from ftkit.errors import ConfigError, ModelError
from ftkit.evaluation import Asking, Probes, compare, evaluate, make_canaries
from ftkit.files import home
from tests.evaluation.scripted import ECHO, TRIAGE, ScriptedModel, answered, answers, dataset, failed


class Distant(ScriptedModel):
    """Takes ``seconds`` over each question, counts those under way, and fails where it is told to."""

    def __init__(
        self, count: int, seconds: float = 0.0, faults: dict[str, list[Answer | Exception]] | None = None
    ) -> None:
        super().__init__(ECHO, {f"note {index}": "yes" for index in range(count)})
        self.seconds, self.faults = seconds, faults or {}
        self.now = self.most = 0
        self._lock = threading.Lock()

    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling | None = None, on_answer: OnAnswer | None = None
    ) -> list[Answer]:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
            waiting = self.faults.get(str(requests[0].messages[-1]["content"]))
            fault = waiting.pop(0) if waiting else None
        time.sleep(self.seconds)
        with self._lock:
            self.now -= 1
        if isinstance(fault, Exception):
            raise fault
        if fault is not None:
            self.asked += requests
            return [fault]
        return super().answer_many(requests, sampling, on_answer)


def busy(after: float = 0.0) -> Answer:
    return Answer("", "error", 0, 0, 0.0, error="429 slow down", retry_after_s=after)


def test_as_many_questions_are_open_as_was_asked_for(tmp_path: Path) -> None:
    model = Distant(40, seconds=0.02)
    report = evaluate(model, dataset(tmp_path, ECHO, ["yes"] * 40), asking=Asking(concurrency=8))
    assert model.most == 8
    assert len(model.asked) == 40
    assert [row.id for row in report.rows] == [f"r{index}" for index in range(40)]
    assert report["exact_match"].value == 1


def test_what_may_pass_is_asked_again_and_what_will_not_is_not(tmp_path: Path) -> None:
    model = Distant(6, faults={"note 2": [busy(0.05), busy()], "note 4": [failed("400 no such model")] * 9})
    report = evaluate(model, dataset(tmp_path, ECHO, ["yes"] * 6), asking=Asking(concurrency=2))
    assert [row.finish_reason for row in report.rows] == ["stop"] * 4 + ["error", "stop"]
    assert len(model.asked) == 6 + 2
    assert "400 no such model" in report.notes[0]


def test_attempts_end(tmp_path: Path) -> None:
    model = Distant(2, faults={"note 1": [busy()] * 9})
    report = evaluate(model, dataset(tmp_path, ECHO, ["yes"] * 2), asking=Asking(concurrency=2, attempts=2))
    assert report.rows[1].error == "429 slow down"
    assert len(model.asked) == 3


def test_calls_keep_to_the_pace(tmp_path: Path) -> None:
    started = time.monotonic()
    evaluate(Distant(7), dataset(tmp_path, ECHO, ["yes"] * 7), asking=Asking(concurrency=7, requests_per_minute=1200))
    assert time.monotonic() - started >= 6 * 0.05
    started = time.monotonic()  # 14 tokens an answer
    evaluate(Distant(4), dataset(tmp_path, ECHO, ["yes"] * 4), asking=Asking(concurrency=1, tokens_per_minute=14 * 600))
    assert time.monotonic() - started >= 3 * 0.1


def test_an_evaluation_that_was_cut_off_asks_only_what_is_left(tmp_path: Path) -> None:
    data = dataset(tmp_path, ECHO, ["yes"] * 20)
    first = Distant(20, seconds=0.01, faults={"note 12": [ModelError("the line is dead")]})
    with pytest.raises(ModelError, match="the line is dead"):
        evaluate(first, data, asking=Asking(concurrency=3))
    (kept,) = (home() / "evaluations").iterdir()
    with kept.open("a") as file:  # killed while writing
        file.write('[19, {"text": "ye')
    second = Distant(20)
    report = evaluate(second, data, asking=Asking(concurrency=3))
    assert len(first.asked) >= 10
    assert len(first.asked) + len(second.asked) == 20
    assert report["exact_match"].value == 1
    assert not kept.exists()


def test_a_mistake_in_a_metric_loses_no_answer(tmp_path: Path) -> None:
    data = dataset(tmp_path, ECHO, ["yes"] * 5)

    def broken(row: Any) -> str:
        return "much"

    with pytest.raises(ConfigError, match="no finite number"):
        evaluate(Distant(5), data, metrics=broken, asking=Asking(resume=True))
    again = Distant(5)
    evaluate(again, data, asking=Asking(resume=True))
    assert again.asked == []


def test_answers_outlive_a_failure_in_the_probes(tmp_path: Path) -> None:
    data = dataset(tmp_path, ECHO, ["yes"] * 5)
    secrets = make_canaries(2, seed=1)
    failing = Distant(5, faults={secrets[0].prompt: [ModelError("the line is dead")]})
    probes = Probes(general=False, canaries=secrets)
    with pytest.raises(ModelError, match="the line is dead"):
        evaluate(failing, data, probes=probes, asking=Asking(concurrency=1))
    again = Distant(5)
    assert evaluate(again, data, asking=Asking(concurrency=1))["exact_match"].value == 1
    assert again.asked == []


def test_other_sampling_is_another_question(tmp_path: Path) -> None:
    data = dataset(tmp_path, ECHO, ["yes"] * 5)
    with pytest.raises(ConfigError):
        evaluate(Distant(5), data, metrics="none such", asking=Asking(resume=True))
    again = Distant(5)
    evaluate(again, data, sampling=Sampling(temperature=1), asking=Asking(resume=True))
    assert len(again.asked) == 5


class Drawing(ScriptedModel):
    """Right as often as its seed is even."""

    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling | None = None, on_answer: OnAnswer | None = None
    ) -> list[Answer]:
        assert sampling is not None
        return [answered("soon" if sampling.seed % 2 == 0 else "later", cost=0.01) for _ in requests]


def test_several_answers_a_row_are_averaged(tmp_path: Path) -> None:
    data = dataset(tmp_path, TRIAGE, ["soon"] * 30 + ["later"] * 10)
    report = evaluate(Drawing(TRIAGE, {}), data, samples=3, sampling=Sampling(temperature=1))
    assert (len(report.rows), report.samples) == (40, 3)
    assert report.rows[0].scores["accuracy"] == pytest.approx(2 / 3)
    assert [answer.text for answer in report.rows[0].answers] == ["soon", "later", "soon"]
    accuracy = report["accuracy"]
    assert (accuracy.value, accuracy.n) == (pytest.approx((30 * 2 / 3 + 10 / 3) / 40), 40)
    assert report["recall:soon"].value == pytest.approx(2 / 3)
    assert report.usage.output_tokens == 120 * 4
    assert report.cost.per_1000_usd == pytest.approx(30)  # three answers a row
    assert report.cost.per_success_usd == pytest.approx(1.2 / (60 + 10))
    once = evaluate(ScriptedModel(TRIAGE, answers(["soon"] * 40)), data)
    change = compare(once, report)["accuracy"]
    assert change.difference == pytest.approx((30 * -1 / 3 + 10 * 1 / 3) / 40)
    with pytest.raises(ConfigError, match="samples=2 at temperature 0"):
        evaluate(Drawing(TRIAGE, {}), data, samples=2)


def test_examples_stand_before_each_question_and_pair_with_none(tmp_path: Path) -> None:
    labels = ["urgent", "soon", "later", "soon", "soon", "soon", "soon", "soon"]
    examples = dataset(tmp_path, TRIAGE, labels, name="train.jsonl")
    path = tmp_path / "test.jsonl"
    path.write_text(
        '{"id": "t", "note": "note x", "wanted": "soon"}\n{"id": "u", "note": "note 1", "wanted": "soon"}\n'
    )
    from ftkit.data import Dataset

    data = Dataset.load(path, TRIAGE, target="wanted", id="id")
    model = ScriptedModel(TRIAGE, {"note x": "soon", "note 1": "soon"})
    few = evaluate(model, data, shots=3, examples=examples, seed=1, label="few")
    sent = model.asked[0].messages
    assert [message["role"] for message in sent] == ["system", *["user", "assistant"] * 3, "user"]
    assert {message["content"] for message in sent if message["role"] == "assistant"} == {"urgent", "soon", "later"}
    assert all(message["content"] != "note 1" for message in sent[1:-1])  # asked itself, so no example
    assert "each prompt has 3 few-shot examples" in few.notes
    assert len(few.shots) == 6
    assert compare(evaluate(model, data, label="none"), few).counts.both_right == 2
    with pytest.raises(ConfigError, match="shots=2 needs examples="):
        evaluate(model, data, shots=2)
    with pytest.raises(ConfigError, match="only 7 of the examples"):
        evaluate(model, data, shots=9, examples=examples)


def test_without_concurrency_errors_that_may_pass_are_sent_again(tmp_path: Path) -> None:
    faults: dict[str, list[Answer | Exception]] = {"note 1": [busy(0.01)], "note 3": [busy()] * 9}

    class Together(ScriptedModel):
        calls: ClassVar[list[int]] = []

        def answer_many(
            self, requests: Sequence[Request], sampling: Sampling | None = None, on_answer: OnAnswer | None = None
        ) -> list[Answer]:
            self.calls.append(len(requests))
            found = super().answer_many(requests, sampling)
            for index, request in enumerate(requests):
                waiting = faults.get(str(request.messages[-1]["content"]))
                if waiting:
                    found[index] = waiting.pop(0)  # type: ignore[assignment]
            return found

    model = Together(ECHO, answers(["yes"] * 5))
    report = evaluate(model, dataset(tmp_path, ECHO, ["yes"] * 5), asking=Asking(attempts=3), probes=None)
    assert model.calls == [5, 2, 1]
    assert [row.finish_reason for row in report.rows] == ["stop", "stop", "stop", "error", "stop"]
    model.calls.clear()
    evaluate(model, dataset(tmp_path, ECHO, ["yes"] * 5), asking=Asking(attempts=1), probes=None)
    assert model.calls == [5]


@pytest.mark.parametrize("pace", [{"requests_per_minute": 1200}, {"tokens_per_minute": 14 * 1200}])
def test_without_concurrency_a_pace_and_attempts_are_kept(tmp_path: Path, pace: dict[str, float]) -> None:
    model = Distant(5, faults={"note 2": [busy()]})
    started = time.monotonic()
    report = evaluate(model, dataset(tmp_path, ECHO, ["yes"] * 5), asking=Asking(attempts=6, **pace), probes=None)
    assert len(model.asked) == 6
    assert report["exact_match"].value == 1
    if "requests_per_minute" in pace:
        assert time.monotonic() - started >= 5 * 0.05


def test_a_paced_evaluation_that_was_cut_off_is_resumed(tmp_path: Path) -> None:
    data = dataset(tmp_path, ECHO, ["yes"] * 12)
    first = Distant(12, seconds=0.01, faults={"note 9": [ModelError("the line is dead")]})
    with pytest.raises(ModelError, match="the line is dead"):
        evaluate(first, data, asking=Asking(requests_per_minute=60_000))
    second = Distant(12)
    evaluate(second, data, asking=Asking(requests_per_minute=60_000))
    assert 0 < len(second.asked) < 12


def test_a_batch_refuses_a_pace_by_name() -> None:
    for other in ({"concurrency": 2}, {"requests_per_minute": 60}, {"tokens_per_minute": 60}, {"resume": False}):
        with pytest.raises(ConfigError, match="a batch takes no concurrency"):
            Asking(batch=True, **other)


def test_what_came_too_late_is_asked_again_twice_at_most(tmp_path: Path) -> None:
    """A host may have charged for each of the answers that nobody waited for."""
    late = Answer("", "error", 0, 0, 1.0, error="no answer within 1 s", retry_after_s=0.0, timed_out=True)
    model = ScriptedModel(ECHO, answers([late]))
    data = dataset(tmp_path, ECHO, ["x"])
    report = evaluate(model, data, asking=Asking(timeout_s=1, attempts=6), progress=False)
    assert report.rows[0].finish_reason == "error"
    assert len(model.asked) == 3
