"""Lists, texts and files of a host that have no end, or are made to be expensive."""

from __future__ import annotations

import itertools
import time
from types import SimpleNamespace
from typing import Any

import pytest

import ftkit as ft
from ftkit.backends.hosted import bounded_body
from ftkit.backends.hosted.answer_reading import cleaned
from ftkit.backends.hosted.http import Http
from ftkit.backends.openai_jobs import OpenAIJobs
from ftkit.backends.openai_jobs.events import parse_result_file
from ftkit.errors import HostError

from .openai_host import OpenAIFake
from .test_unreadable_answers import sending


def test_a_list_without_end_ends(openai_jobs: OpenAIJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = itertools.count()

    def page(**options: Any) -> SimpleNamespace:
        return SimpleNamespace(data=[{"id": f"job-{next(numbers)}"}], has_more=True)

    monkeypatch.setattr("ftkit.backends.openai_jobs.pages._MAX_PAGES", 20)
    with pytest.raises(HostError, match="listing jobs: the list has no end; 20 pages were read"):
        list(openai_jobs.host().pages("listing jobs", page))
    monkeypatch.setattr("ftkit.backends.openai_jobs.pages._MAX_SECONDS", -1.0)
    with pytest.raises(HostError, match="no end; 0 pages"):
        list(openai_jobs.host().pages("listing jobs", page))


def test_a_body_of_too_many_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_body, "_MAX_VALUES", 1_000)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"
    with (
        sending(head, lambda: iter([b'{"data": [' + b"[]," * 1_000 + b"[]]}"])) as url,
        pytest.raises(HostError, match="more than 1,000 values"),
    ):
        Http("together", url, "k" * 20).json("reading", "GET", "/x")


def test_a_text_that_nobody_reads_is_cut() -> None:
    sent = {"message": "a" * 1_000_000, "short": "b"}
    assert cleaned(sent) == sent, "an answer of a model is kept as it is"
    found = cleaned(sent, longest=100_000)
    assert found["message"].endswith("a… (900,000 more characters)")
    assert len(found["message"]) < 101_000
    assert found["short"] == "b"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"step,train_loss\n1,0.5\n" + b"2," + b"9" * 200_000 + b"\n3,0.25\n", "damaged"),
        (b"step," + b",".join(b"c%d" % n for n in range(5_000)) + b"\n" + b"1\n" * 100_000, "5,001 columns"),
        (b"step,train_loss\n" + b"1,0.5\n" * 50, "more than 20 rows"),
    ],
)
def test_a_result_file_cannot_cost_more_than_its_size(
    content: bytes, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftkit.backends.openai_jobs.events._MAX_ROWS", 20)
    began = time.thread_time()
    events = list(parse_result_file(content))
    assert time.thread_time() - began < 2
    assert events[-1].kind == "warning"
    assert said in events[-1].data["message"]
    assert len(events) <= 21


def test_a_job_without_an_end_of_events(
    openai_fake: OpenAIFake, openai_jobs: OpenAIJobs, notes: ft.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftkit.runs.run._POLL_S", 0.0)
    monkeypatch.setattr("ftkit.backends.hosted.job_state._MAX_EVENTS", 0)
    run = ft.train(ft.SFT(), notes, backend=openai_jobs).wait(progress=False)
    assert run.state == "succeeded"
    said = [event.data["message"] for event in run.events() if event.kind == "warning"]
    assert len([text for text in said if "further ones are not stored" in text]) == 1


def test_an_answer_that_no_model_writes_is_an_error(
    openai_fake: OpenAIFake, openai_jobs: OpenAIJobs, notes: ft.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "a" * 150_000
    openai_fake.answers = lambda text: long
    asked = [ft.Request([{"role": "user", "content": "x"}])]
    assert openai_jobs.answerer().answer_many(asked, ft.Sampling())[0].text == long
    monkeypatch.setattr("ftkit.backends.openai_jobs.request_fields._LONGEST", 100_000)
    [found] = openai_jobs.answerer().answer_many(asked, ft.Sampling())
    assert found.error == "the host's answer has more than 100,000 characters, and no model writes so many"
    assert len(found.text) == 1_000
