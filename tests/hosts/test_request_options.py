"""Each field of RequestOptions is honoured for a hosted and for a local model, with and without concurrency."""

from __future__ import annotations

import threading
import time

import pytest

import ftkit as ft
from ftkit.backends.hosted.retry import RetryPolicy
from ftkit.backends.openai_jobs import OpenAIJobs
from ftkit.errors import ConfigError
from ftkit.evaluation import RequestOptions, judge

ONCE = RetryPolicy(budget_s=0.0)
"""The backend itself does not try again, so that every attempt is one of RequestOptions."""


@pytest.fixture
def hosted(openai_fake, notes):
    openai_fake.answers = lambda text: "red"
    where = OpenAIJobs("gpt-4.1-mini", base_url=f"{openai_fake.url}/v1", api_key=openai_fake.key, retry_policy=ONCE)
    return ft.Model(where, notes.task)


def evaluate(model, notes, **options):
    return ft.evaluate(model, notes, asking=RequestOptions(**options), probes=None, progress=False)


def fail_first(times):
    """The first calls of one question are turned away."""
    lock, left = threading.Lock(), [times]

    def fault(call):
        with lock:
            if b"case 5" not in call.body or not left[0]:
                return None
            left[0] -= 1
            return "500_before"

    return fault


@pytest.mark.parametrize("concurrency", [None, 3])
def test_attempts(openai_fake, hosted, notes, concurrency):
    openai_fake.fault = fail_first(2)
    report = evaluate(hosted, notes, attempts=3, concurrency=concurrency)
    assert {row.finish_reason for row in report.rows} == {"stop"}
    assert len(openai_fake.calls) == len(notes) + 2
    openai_fake.fault = fail_first(2)
    report = evaluate(hosted, notes, attempts=2, concurrency=concurrency, resume=False)
    assert [row.finish_reason for row in report.rows].count("error") == 1


@pytest.mark.parametrize("concurrency", [None, 12])
def test_pace(openai_fake, hosted, notes, concurrency):
    started = time.monotonic()
    evaluate(hosted, notes, requests_per_minute=1200, concurrency=concurrency)
    assert time.monotonic() - started >= (len(notes) - 1) * 0.05
    tokens = 110  # of one answer of the fake
    started = time.monotonic()
    evaluate(hosted, notes.take(3), tokens_per_minute=tokens * 600, concurrency=1)
    assert time.monotonic() - started >= 2 * 0.1


@pytest.mark.parametrize("options", [{"resume": True}, {"concurrency": 2}, {"requests_per_minute": 1e5}])
def test_resume(openai_fake, hosted, notes, options):
    def broken(row):
        return "much"

    with pytest.raises(ConfigError, match="no finite number"):
        ft.evaluate(hosted, notes, metrics=broken, asking=RequestOptions(**options), probes=None, progress=False)
    sent = len(openai_fake.calls)
    evaluate(hosted, notes, **options)
    assert len(openai_fake.calls) == sent
    evaluate(hosted, notes, **{**options, "resume": False})
    assert len(openai_fake.calls) == 2 * sent


def test_a_local_model(notes, tiny_model, monkeypatch):
    model = ft.Model(f"local:{tiny_model}", notes.task, sampling=ft.Sampling(max_output_tokens=2))
    answers = [row.text for row in evaluate(model, notes).rows]
    calls = []
    answer_many = model.answer_many

    def counted(requests, sampling=None, on_answer=None):
        calls.append((time.monotonic(), len(requests)))
        return answer_many(requests, sampling, on_answer)

    monkeypatch.setattr(model, "answer_many", counted)
    assert [row.text for row in evaluate(model, notes, concurrency=2).rows] == answers
    assert [size for _, size in calls] == [1] * len(notes)
    calls.clear()
    assert [row.text for row in evaluate(model, notes, requests_per_minute=600).rows] == answers
    starts = [at for at, _ in calls]
    assert len(starts) == len(notes)
    assert starts[-1] - starts[0] >= (len(notes) - 2) * 0.1
    evaluate(model, notes, attempts=3)
    assert calls[-1][1] == len(notes)  # nothing failed: one call with all


def test_a_judge_is_asked_by_batch_and_resumed(openai_fake, hosted, notes, home):
    rows = evaluate(hosted, notes).rows
    openai_fake.answers = lambda text: '{"reason": "short", "grade": 5}'
    direct = len(openai_fake.calls)
    assert judge(hosted, "Is it short?", asking=RequestOptions(batch=True)).scores(rows) == [1.0] * len(rows)
    assert len(openai_fake.batches.all) == 1
    assert not any("chat/completions" in call.path for call in openai_fake.calls[direct:])
    openai_fake.fault = lambda call: "not_json" if b"case 7" in call.body else None
    kept = judge(hosted, "Is it long?", asking=RequestOptions(resume=True, attempts=1))
    assert kept.scores(rows).count(None) == 1
    asked = len(openai_fake.calls)
    openai_fake.fault = lambda call: None
    again = judge(hosted, "Is it long?", asking=RequestOptions(resume=True, attempts=1))
    assert again.scores(rows).count(None) == 0
    assert len(openai_fake.calls) == asked + 1, "the grades that came are not paid for again"
    assert list((home / "evaluations").iterdir()) == []
