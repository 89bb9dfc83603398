"""Answers that may have been paid for are asked for again seldom, and it is said."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.backends.answer import Request
from ftkit.backends.hosted.retry import MAX_PAID_REPEATS
from ftkit.backends.hosted.retry_notice import RetryNotice
from ftkit.backends.openai_jobs import OpenAIJobs
from ftkit.backends.openai_jobs.embeddings import OpenAIEmbedder
from ftkit.backends.openai_jobs.sdk import Sdk
from ftkit.errors import HostError
from ftkit.results.answer import Sampling

from .conftest import QUICK
from .openai_host import OpenAIFake
from .serving import Call

ASKED = [Request([{"role": "user", "content": "case 1"}], output=ft.ChoiceOutput(choices=("red", "blue")))]


def broken(fake: OpenAIFake, fault: Any, times: int = 10**6) -> Counter[str]:
    """Lets calls that cost money fail; returns their number by path."""
    calls: Counter[str] = Counter()

    def trouble(call: Call) -> Any:
        if not call.path.endswith(("/completions", "/embeddings")):
            return None
        calls[call.path.rsplit("/", 1)[-1]] += 1
        return fault if calls.total() <= times else None

    fake.fault = trouble
    return calls


@pytest.mark.parametrize("asynchronous", [False, True], ids=["threads", "event loop"])
def test_an_answer_that_got_lost_is_asked_for_again_twice_at_most(openai_fake: OpenAIFake, asynchronous: bool) -> None:
    calls = broken(openai_fake, "drop_after")
    notices: list[RetryNotice] = []
    policy = dataclasses.replace(QUICK, on_retry=notices.append)
    where = OpenAIJobs("gpt-4.1-mini", base_url=f"{openai_fake.url}/v1", api_key=openai_fake.key, retry_policy=policy)
    answerer = where.answerer()
    if asynchronous:
        (answer,) = asyncio.run(answerer.answer_many_async(ASKED, Sampling()))
    else:
        (answer,) = answerer.answer_many(ASKED, Sampling())
    assert calls["completions"] == 1 + MAX_PAID_REPEATS
    assert answer.finish_reason == "error"
    assert answer.retry_after_s is None, "an evaluation does not ask for it once more"
    assert answerer.about()["observed"]["perhaps_charged_twice"] == MAX_PAID_REPEATS
    assert "the host may have answered and charged all the same" in str(notices[0])


def test_what_surely_cost_nothing_is_repeated_for_as_long_as_before(
    openai_fake: OpenAIFake, openai_jobs: OpenAIJobs
) -> None:
    calls = broken(openai_fake, "429", times=6)
    answerer = openai_jobs.answerer()
    (answer,) = answerer.answer_many(ASKED, Sampling())
    assert (answer.finish_reason, calls["completions"]) == ("stop", 7)
    assert "perhaps_charged_twice" not in answerer.about()["observed"]


def test_a_report_says_what_may_have_been_charged_twice(
    openai_fake: OpenAIFake, notes: ft.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{openai_fake.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", openai_fake.key)
    broken(openai_fake, "drop_after", times=1)
    report = ft.evaluate(ft.Model("openai:gpt-4.1-mini", notes.task), notes, probes=False)
    (said,) = [note for note in report.notes if "sent again" in note]
    assert said.startswith("1 request got no complete answer and was sent again")


def test_embeddings_too(openai_fake: OpenAIFake) -> None:
    calls = broken(openai_fake, "drop_after")
    embed = OpenAIEmbedder(Sdk("openai", f"{openai_fake.url}/v1", openai_fake.key), "text-embedding-3-small", QUICK)
    with pytest.raises(HostError):
        embed(["one"])
    assert calls["embeddings"] == 1 + MAX_PAID_REPEATS


@pytest.mark.parametrize(
    ("status", "unsure", "charged"),
    [
        (None, True, True),
        (504, True, True),
        (408, True, True),
        (500, True, False),
        (503, True, False),
        (429, False, False),
    ],
)
def test_which_failures_may_have_been_charged(status: int | None, unsure: bool, charged: bool) -> None:
    assert HostError("x", status=status, passing=True, unsure=unsure).may_have_answered is charged


def test_a_host_that_is_not_there_is_charged_by_nobody(home: Path) -> None:
    naps: list[float] = []
    policy = dataclasses.replace(QUICK, sleep=naps.append, budget_s=30.0)
    where = OpenAIJobs(
        "gpt-4.1-mini", base_url="http://127.0.0.1:9/v1", api_key="sk-nobody-is-there", retry_policy=policy
    )
    (answer,) = where.answerer().answer_many(ASKED, Sampling())
    assert answer.finish_reason == "error"
    assert len(naps) > MAX_PAID_REPEATS
