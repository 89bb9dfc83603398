"""Kept answers: taken by the evaluation that was killed and by no other, and gone when they are in a report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ftkit.backends import Answer, Request, Sampling
from ftkit.evaluation import Asking, baselines, evaluate
from ftkit.evaluation.answer_journal import Journal, answers_kept
from ftkit.files import home
from ftkit.results.report import Report
from ftkit.schema import ChoiceOutput
from tests.evaluation.scripted import TRIAGE, ScriptedModel, answers, dataset

KILLED_WRITER = """
import sys, time
from pathlib import Path
from ftkit.backends import Answer, Request, Sampling
from ftkit.evaluation.answer_journal import Journal
requests = [Request([{"role": "user", "content": f"case {n}"}]) for n in range(4)]
with Journal("m", {}, requests, Sampling()) as journal:
    journal.known()
    for index in range(int(sys.argv[1])):
        journal.add(index, Answer("ä" * 9_000, "stop", 1, 1, 0.1))
    print("ready", flush=True)
    time.sleep(60)
"""


def requests(count: int = 4, output: Any = None) -> list[Request]:
    return [Request([{"role": "user", "content": f"case {number}"}], output=output) for number in range(count)]


def said(text: str = "yes") -> Answer:
    return Answer(text, "stop", 1, 1, 0.1)


def interrupted(given: list[Request], text: str = "yes") -> None:
    """An evaluation that ends with an error after its first answer."""

    def evaluated() -> None:
        with Journal("m", {}, given, Sampling()) as journal:
            journal.add(0, said(text))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        evaluated()


def files() -> list[str]:
    return sorted(path.name for path in (home() / "evaluations").iterdir())


def killed_writer(answered: int, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """A process that keeps answers and waits."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED_WRITER, str(answered)],
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    assert process.stdout is not None
    process.stdout.close()


def test_another_evaluation_at_the_same_time_takes_no_answers_and_loses_none() -> None:
    other = killed_writer(2)
    try:
        with Journal("m", {}, requests(), Sampling()) as own:
            assert own.known() == {}, "the answers of an evaluation that is still running are not ours"
            own.add(3, said())
            assert len(files()) == 2
        assert len(files()) == 1, "its end deletes its own file alone"
    finally:
        kill(other)
    with Journal("m", {}, requests(), Sampling()) as again:
        assert sorted(again.known()) == [0, 1]
        assert again.reused is not None
        assert again.reused.count == 2
        assert again.reused.first_at is not None
    assert files() == []


def test_a_second_file_is_found_when_the_first_is_gone() -> None:
    with Journal("m", {}, requests(), Sampling()) as first:
        first.add(0, said())
        second = killed_writer(3)
    kill(second)
    with Journal("m", {}, requests(), Sampling()) as again:
        assert sorted(again.known()) == [0, 1, 2]
    assert files() == []


def test_a_line_that_was_cut_within_a_character_loses_only_itself() -> None:
    interrupted(requests())
    (file,) = (home() / "evaluations").iterdir()
    with file.open("ab") as handle:
        handle.write(json.dumps([1, {"text": "ä"}], ensure_ascii=False).encode()[:-5])
    with Journal("m", {}, requests(), Sampling()) as again:
        assert list(again.known()) == [0]


def test_another_output_is_another_question() -> None:
    """Where answers are held to a schema, they depend on it, though the prompts are the same."""
    one, two = (ChoiceOutput(choices=choices) for choices in (("red", "blue"), ("yes", "no")))
    interrupted(requests(output=one), "red")
    with Journal("m", {}, requests(output=two), Sampling()) as other:
        assert other.known() == {}
    with Journal("m", {}, requests(output=one), Sampling()) as same:
        assert list(same.known()) == [0]


def test_answers_are_kept_until_the_block_ends(tmp_path: Path) -> None:
    data = dataset(tmp_path, TRIAGE, ["soon"] * 4)
    model = ScriptedModel(TRIAGE, answers(["soon"] * 4))
    with answers_kept():
        evaluate(model, data, asking=Asking(resume=True))
        (left,) = files()
        with answers_kept():
            pass
        assert files() == [left], "the outer block keeps them"
    assert files() == []
    with pytest.raises(TypeError), answers_kept():
        _unsaved(evaluate(model, data, asking=Asking(resume=True)))
    asked = len(model.asked)
    report = evaluate(model, data, asking=Asking(resume=True))
    assert len(model.asked) == asked
    assert "4 of 4 are answers to an interrupted evaluation" in " ".join(report.notes)
    assert type(report).load(report.save(tmp_path / "report.json")).reused == report.reused


def _unsaved(report: Report) -> None:
    raise TypeError


class _Dies(ScriptedModel):
    """Cannot answer after some calls."""

    left = 5

    def answer_many(self, requests: Sequence[Request], sampling: Any = None, on_answer: Any = None) -> list[Answer]:
        self.left -= len(requests)
        if self.left < 0:
            raise KeyboardInterrupt
        return super().answer_many(requests, sampling, on_answer)


def test_several_evaluations_of_one_call_lose_none_of_their_answers(tmp_path: Path) -> None:
    data = dataset(tmp_path, TRIAGE, ["soon"] * 4)
    dying, again = (kind(TRIAGE, answers(["soon"] * 4)) for kind in (_Dies, ScriptedModel))
    options: dict[str, Any] = {"shots": (0,), "examples": data, "asking": Asking(resume=True, concurrency=1)}
    with pytest.raises(KeyboardInterrupt):
        baselines(dying, data, **options)
    baselines(again, data, **options)
    assert len(dying.asked) == 5
    assert len(dying.asked) + len(again.asked) == 8
    assert files() == []


@pytest.mark.parametrize("answered", [0, 1, 4])
def test_a_killed_evaluation_leaves_what_it_was_given(answered: int) -> None:
    kill(killed_writer(answered))
    started = time.monotonic()
    with Journal("m", {}, requests(), Sampling()) as again:
        assert sorted(again.known()) == list(range(answered))
    assert time.monotonic() - started < 5
    assert files() == []


def test_kept_answers_outlive_a_new_price_and_a_new_client() -> None:
    def of(**changes: Any) -> str:
        about = {"model": "m", "host": "https://host", "price": {"input": 1}, "versions": {"openai": "3.0"}}
        with Journal("m", about | changes, requests(), Sampling()) as journal:
            return journal.batch.name

    assert of() == of(price={"input": 2}, batch_price={"input": 1}, versions={"openai": "3.1"}, observed={"a": 1})
    assert of() != of(host="https://another")
    # The libraries of a local model compute its answers.
    assert of(host=None) != of(host=None, versions={"torch": "2.13"})
