"""A call ends at its time limit, whatever the host does, and paid answers are kept."""

from __future__ import annotations

import asyncio
import pickle
import time

import pytest

import ftkit as ft
from ftkit.backends.hosted.redaction import redact
from ftkit.backends.hosted.retry import RetryPolicy
from ftkit.backends.openai_jobs import OpenAIJobs

from .conftest import QUICK
from .openai_host import OpenAIFake
from .serving import Call, Reply

REAL = RetryPolicy()


def _model(fake: OpenAIFake, notes: ft.Dataset, policy: RetryPolicy = REAL) -> ft.Model:
    return ft.Model(
        OpenAIJobs("gpt-4.1-mini", base_url=f"{fake.url}/v1", api_key=fake.key, retry_policy=policy), notes.task
    )


def test_a_host_that_only_fails_blocks_no_longer_than_the_limit(openai_fake: OpenAIFake, notes: ft.Dataset) -> None:
    openai_fake.answers = lambda text: "red"
    model = _model(openai_fake, notes)
    assert model.predict(text="x", timeout=60) == asyncio.run(model.apredict(text="x", timeout=60)) == "red"
    openai_fake.fault = lambda call: "500_before"
    started = time.monotonic()
    said = []
    for ask in (
        lambda: model.predict(text="x", timeout=0.6),
        lambda: asyncio.run(model.apredict(text="x", timeout=0.6)),
    ):
        with pytest.raises(ft.AnswerTimeoutError, match=r"openai:gpt-4\.1-mini: no answer within 0\.6 s") as caught:
            ask()
        assert isinstance(caught.value, TimeoutError)
        said.append(str(caught.value))
    found = model.predict_many([{"text": "x"}] * 3, timeout=0.6, on_error="return")
    assert [type(one) for one in found] == [ft.AnswerTimeoutError] * 3
    last = "the last try: openai: asking the model was refused with 500"
    assert any(last in one for one in [*said, *map(str, found)])
    assert time.monotonic() - started < 30


def test_a_host_that_never_answers_is_given_up(openai_fake: OpenAIFake, notes: ft.Dataset) -> None:
    def slow(call: Call) -> Reply | None:
        time.sleep(1.5)
        return None

    openai_fake.override = slow
    model = _model(openai_fake, notes)
    for ask in (
        lambda: model.predict(text="x", timeout=0.2),
        lambda: asyncio.run(model.apredict(text="x", timeout=0.2)),
    ):
        with pytest.raises(TimeoutError):
            ask()
    report = ft.evaluate(model, notes.take(2), asking=ft.Asking(timeout_s=0.2, attempts=1), probes=False)
    assert [row.finish_reason for row in report.rows] == ["error", "error"]
    assert "no answer within 0.2 s" in str(report.rows[0].error)


def test_paid_answers_are_kept_when_one_row_fails(openai_fake: OpenAIFake, notes: ft.Dataset) -> None:
    def refuse(call: Call) -> Reply | None:
        if b"case 1" in call.body:
            return 400, {"error": {"message": "content filter", "code": "content_filter"}}, {}
        if b"case 4" in call.body:
            return 404, {"error": {"message": "no such model"}}, {}
        return None

    openai_fake.override = refuse
    openai_fake.answers = lambda text: "green" if "case 2" in text else "red"
    model = _model(openai_fake, notes, QUICK)
    rows = [{"text": f"case {number}"} for number in range(5)] + [{"note": "x"}]
    for found in (
        model.predict_many(rows, on_error="return"),
        asyncio.run(model.apredict_many(rows, on_error="return")),
    ):
        assert [type(one).__name__ for one in found] == [
            *("str", "ModelError", "OutputError", "str", "ModelError", "ConfigError")
        ]
        assert "content filter" in str(found[1])


def test_what_no_row_can_be_asked_for_is_raised(openai_fake: OpenAIFake, notes: ft.Dataset) -> None:
    openai_fake.override = lambda call: (401, {"error": {"message": "wrong key"}}, {})
    model = _model(openai_fake, notes, QUICK)
    rows = [{"text": "a"}, {"text": "b"}]
    with pytest.raises(ft.ModelError, match="401"):
        model.predict_many(rows, on_error="return")
    with pytest.raises(ft.ModelError, match="401"):
        asyncio.run(model.apredict_many(rows, on_error="return"))


def test_a_model_of_a_backend_object_is_not_pickled(openai_fake: OpenAIFake, notes: ft.Dataset) -> None:
    model = _model(openai_fake, notes, QUICK)
    with pytest.raises(
        ft.ConfigError, match=r"made from a backend object.*ft\.Model\('openai:gpt-4\.1-mini', …\)"
    ) as no:
        pickle.dumps(model)
    assert openai_fake.key not in str(no.value)
    named = ft.Model("openai:gpt-4.1-mini", notes.task)
    raw = pickle.dumps(named)
    assert pickle.loads(raw).name == named.name
    openai_fake.answers = lambda text: "red"
    model.close()
    assert model.predict(text="x") == "red"


@pytest.mark.parametrize("key", ["k", "ask", "sk-1234"])
def test_a_key_that_cannot_be_redacted_is_refused(
    key: str, openai_fake: OpenAIFake, notes: ft.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = OpenAIJobs("gpt-4.1-mini", base_url=openai_fake.url, api_key=key)
    with pytest.raises(ft.ConfigError, match=r"the key of api_key= has \d characters?, and messages cannot") as caught:
        ft.Model(backend, notes.task).predict(text="x")
    assert key not in str(caught.value).replace("ask", "") or key == "k"
    with pytest.raises(ft.ConfigError, match=r"api_key= must be a text, not of type int"):
        ft.Model(OpenAIJobs("gpt-4.1-mini", api_key=7), notes.task).predict(text="x")  # type: ignore[arg-type]
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ft.ConfigError, match="the key of OPENAI_API_KEY has"):
        ft.Model(OpenAIJobs("gpt-4.1-mini", base_url=openai_fake.url), notes.task).predict(text="x")
    assert openai_fake.calls == []


def test_keys_are_redacted_as_whole_values() -> None:
    assert redact("asking the model, k", "k") == "asking the model, [key]"
    assert redact("trainings and training", "training") == "trainings and [key]"
    assert redact("none of it", "none") == "none of it"
    assert redact("\\nab12-cd34ef\\n", "ab12-cd34ef") == "\\n[key]\\n"
    plain = "the bearer token is missing; key-value-pairs and sk-learn-contrib are words"
    assert redact(plain) == plain
    assert redact("Bearer abc123 and sk-proj-abcdef123 and sk-******wxyz") == "[key] and [key] and [key]"
    assert redact("number 12345678, 123456789", "12345678") == "number [key], 123456789"
