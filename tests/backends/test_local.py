"""Answers from a model on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ftkit as ft
from ftkit.backends.local.answerer import LocalAnswerer
from ftkit.training.job import Job, train

TASK = ft.Task(f"Say it. {'Use as few words as you can, and do not explain them. ' * 3}", input="{q}")
SHORT = ft.Sampling(max_output_tokens=5)


def asked(*texts: str) -> list[ft.Request]:
    return [ft.Request(TASK.prompt({"q": text})) for text in texts]


@pytest.fixture
def tuned(tiny_model: str, tmp_path: Path) -> Path:
    """Folder of an adapter on the tiny model, trained for one step."""
    data = ft.Dataset.from_rows([{"q": f"{n}", "a": f"{n + 1}"} for n in range(4)], TASK, target="a")
    job = Job(ft.SFT(epochs=1, precision="fp32"), data, None, tiny_model, tmp_path / "tuned")
    train(job, lambda kind, data: None)
    return tmp_path / "tuned"


def test_answers_come_with_their_counts_in_the_order_of_the_questions(tiny_model: str) -> None:
    told: dict[int, ft.Answer] = {}
    questions = asked("one", "two and a half", "3")
    LocalAnswerer(tiny_model).close()  # what another test left in its prefix cache
    answers = LocalAnswerer(tiny_model).answer_many(questions, SHORT, lambda n, one: told.__setitem__(n, one))
    assert [told[number] for number in range(3)] == answers
    for one in answers:
        assert one.finish_reason in ("stop", "length")
        assert one.output_tokens == 5 or one.finish_reason == "stop"
        assert one.cost_usd is None
        assert one.latency_s > 0
    # What they share is computed for the first of them, and kept.
    assert sorted(one.cached_tokens > 0 for one in answers) == [False, True, True]
    again = LocalAnswerer(tiny_model).answer_many(questions[1:2], SHORT)[0]
    assert (again.text, again.input_tokens) == (answers[1].text, answers[1].input_tokens)
    assert again.cached_tokens == again.input_tokens - 1
    LocalAnswerer(tiny_model).close()
    alone = LocalAnswerer(tiny_model).answer_many(questions[1:2], SHORT)[0]
    assert (alone.text, alone.cached_tokens) == (answers[1].text, 0)


def test_what_answers_is_described(tuned: Path, tiny_model: str) -> None:
    about = LocalAnswerer(str(tuned)).about()
    assert json.loads(json.dumps(about)) == about
    assert about["base"] == Path(tiny_model).name
    assert about["adapter"] == str(tuned)
    assert about["precision"] == "fp32"
    assert about["template_hash"] == json.loads((tuned / "ftkit.json").read_text())["template_hash"]
    assert about["versions"]["torch"]
    assert about["parameters"] > 3_000_000


def test_a_question_longer_than_the_model_takes_is_named(tiny_model: str) -> None:
    with pytest.raises(ft.ModelError, match=r"request 2 has \d+ tokens; with max_output_tokens=5 .* model's 512"):
        LocalAnswerer(tiny_model).answer_many(asked("short", "long " * 600), SHORT)


def test_another_chat_template_beside_the_adapter_is_refused_each_time(tuned: Path) -> None:
    template = tuned / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    model = ft.Model(f"local:{tuned}", TASK, sampling=SHORT)
    for _ in range(2):
        with pytest.raises(ft.ModelError, match="is not the one the model was trained with"):
            model.predict(q="one")
