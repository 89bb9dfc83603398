"""Evaluation through the batch API: its price, its end in all forms, and one batch whatever fails."""

from __future__ import annotations

import random
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

import ftkit as ft
from ftkit.backends.openai_jobs import OpenAIJobs
from ftkit.catalog import load_catalog
from ftkit.cli.app import app
from ftkit.errors import ConfigError, FtkitError, HostError, ModelError, RefusedError, RunError
from ftkit.evaluation import Asking

from .conftest import QUICK
from .openai_host import OpenAIFake
from .serving import Call, Fault, Reply

TUNED = "ft:gpt-4.1-mini-2025-04-14:acme::abc"


@pytest.fixture
def model(openai_fake, notes):
    openai_fake.answers = lambda text: "red" if text.endswith(("0", "2", "4")) else "blue"
    where = OpenAIJobs(TUNED, base_url=f"{openai_fake.url}/v1", api_key=openai_fake.key, retry_policy=QUICK)
    return ft.Model(where, notes.task)


def test_a_batch_gives_the_same_answers_at_its_price(openai_fake, model, notes, home):
    asked_directly = ft.evaluate(model, notes, progress=False)
    report = ft.evaluate(model, notes, batch=True, progress=False)
    assert [row.text for row in report.rows] == [row.text for row in asked_directly.rows]
    price = load_catalog().inference_price("openai", TUNED, tuned=True, batch=True)
    assert report.cost.total_usd == pytest.approx(len(notes) * price.cost(100, 10, 40))
    assert report.cost.total_usd < asked_directly.cost.total_usd
    assert ", through the batch API (https://" in report.cost.source
    assert report.timing.latency_p50_s == 60
    assert openai_fake.files == {}
    assert list((home / "evaluations").iterdir()) == []


def test_who_has_no_batch_api_refuses_it_by_name(notes, tiny_model):
    for name in ("together:m", "azure:m", "nebius:m"):
        with pytest.raises(RefusedError, match=f"{name[:-2]} has no batch API") as caught:
            ft.evaluate(ft.Model(_with_key(name), notes.task), notes, batch=True, progress=False)
        assert caught.value.fields == ("batch",)
    with pytest.raises(RefusedError, match="local has no batch API"):
        ft.evaluate(ft.Model(f"local:{tiny_model}", notes.task), notes, batch=True, progress=False)
    with pytest.raises(ConfigError, match="no concurrency"):
        ft.evaluate(ft.Model(_with_key("openai:m"), notes.task), notes, batch=True, asking=Asking(concurrency=2))


def test_what_expired_is_asked_again_and_what_is_wrong_is_not(openai_fake, model, notes):
    openai_fake.batches.ends = "expired"
    openai_fake.batches.unanswered = {"3", "7"}

    def later(call):
        if call.method == "POST" and len(openai_fake.batches.all) == 1:
            openai_fake.batches.unanswered = {"7"}

    openai_fake.fault = later
    report = ft.evaluate(model, notes, asking=Asking(batch=True, attempts=3), progress=False)
    assert [row.finish_reason for row in report.rows].count("error") == 1
    assert "batch_expired" in report.rows[7].error
    sizes = [one["request_counts"]["total"] for one in openai_fake.batches.all.values()]
    assert sizes == [12, 2, 1]


def test_a_parameter_that_is_refused_is_left_out_of_the_next_batch(openai_fake, model, notes):
    openai_fake.rejects = {"seed": "is not supported"}
    report = ft.evaluate(model, notes, batch=True, progress=False)
    assert {row.finish_reason for row in report.rows} == {"stop"}
    assert len(openai_fake.batches.all) == 2
    openai_fake.rejects = {"messages": "too long"}
    report = ft.evaluate(model, notes, batch=True, progress=False)
    assert {row.finish_reason for row in report.rows} == {"error"}
    assert len(openai_fake.batches.all) == 3


@pytest.mark.parametrize("batch", [False, True])
def test_an_option_that_was_left_out_before_is_refused_when_it_is_written(openai_fake, model, notes, batch):
    openai_fake.rejects = {"seed": "is not supported"}
    ft.evaluate(model, notes, progress=False)
    before = len(openai_fake.calls)
    with pytest.raises(RefusedError, match="does not take seed") as caught:
        ft.evaluate(model, notes, sampling=ft.Sampling(seed=3), batch=batch, progress=False)
    assert caught.value.fields == ("seed",)
    assert len(openai_fake.calls) == before


def test_batches_hold_no_more_than_the_host_takes(openai_fake, model, notes, home):
    home.mkdir(exist_ok=True)
    (home / "catalog.toml").write_text(
        '[[limits]]\nprovider = "openai"\nmax_batch_rows = 5\nsource = "ours"\nas_of = 2026-11-01\n'
    )
    report = ft.evaluate(model, notes, batch=True, progress=False)
    assert {row.finish_reason for row in report.rows} == {"stop"}
    assert [one["request_counts"]["total"] for one in openai_fake.batches.all.values()] == [5, 5, 2]


def test_a_failed_batch_says_why_and_a_cancelled_one_keeps_what_came(openai_fake, model, notes, home):
    openai_fake.batches.ends = "failed"
    with pytest.raises(ModelError, match=r"refused the batch .* line 2: This line is not parseable"):
        ft.evaluate(model, notes, batch=True, progress=False)
    assert openai_fake.files == {}
    openai_fake.batches.ends = "cancelled"
    openai_fake.batches.unanswered = {"0", "1"}
    with pytest.raises(ModelError, match="was cancelled at openai"):
        ft.evaluate(model, notes, batch=True, progress=False)
    openai_fake.batches.ends, openai_fake.batches.unanswered = "completed", set()
    assert ft.evaluate(model, notes, batch=True, progress=False).rows[0].finish_reason == "stop"
    assert [one["request_counts"]["total"] for one in openai_fake.batches.all.values()] == [12, 12, 2]


def test_a_batch_that_is_gone_is_not_waited_for(openai_fake, model, notes):
    def gone(call):
        if call.method == "GET" and "/batches/" in call.path:
            openai_fake.batches.all.clear()

    openai_fake.fault = gone
    with pytest.raises(ModelError, match=r"404.*another batch is sent"):
        ft.evaluate(model, notes, batch=True, progress=False)
    openai_fake.fault = lambda call: None
    assert ft.evaluate(model, notes, batch=True, progress=False).rows[0].finish_reason == "stop"


@pytest.mark.parametrize("fault", get_args(Fault))
def test_one_batch_whatever_fails_at_every_call(openai_fake, model, notes, fault):
    seen: set[tuple[str, str]] = set()

    def once(call):
        new = (call.method, call.path) not in seen
        seen.add((call.method, call.path))
        return fault if new else None

    openai_fake.fault = once
    ft.evaluate(model, notes, batch=True, progress=False)
    assert len(openai_fake.batches.all) == 1
    assert openai_fake.files == {}


class Crash(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("seed", range(12))
def test_a_crash_at_any_call_pays_for_nothing_twice(openai_fake, model, notes, seed):
    chance = random.Random(seed)
    real = type(openai_fake).reply

    def reply(call):
        crash = chance.random() < 0.25
        if crash and chance.random() < 0.5:
            dying.append("before")
            return "drop_before", (500, {}, {})
        found = real(openai_fake, call)
        if crash:
            dying.append("after")
            return "drop_after", found[1]
        return found

    openai_fake.reply = reply
    dying: list[str] = []
    sent = model._backend.answerer()._batch_host.sdk
    call = sent.call

    def crashing(doing, made):
        try:
            return call(doing, made)
        except HostError:
            if dying:
                dying.clear()
                raise Crash from None
            raise

    sent.call = crashing
    for _ in range(60):
        try:
            report = ft.evaluate(model, notes, batch=True, progress=False)
            break
        except Crash:
            continue
    assert {row.finish_reason for row in report.rows} == {"stop"}
    assert len(openai_fake.batches.all) == 1
    assert len({one["metadata"]["ftkit_batch"] for one in openai_fake.batches.all.values()}) == 1


def test_two_processes_do_not_send_the_same_batch(openai_fake, model, notes):
    told = []

    def meanwhile(call):
        if call.path.endswith("/batches") and call.method == "POST" and not told:
            told.append("")
            with pytest.raises(RunError, match="another process waits"):
                ft.evaluate(model, notes, batch=True, progress=False)

    openai_fake.fault = meanwhile
    openai_fake.lock = _NoLock()
    ft.evaluate(model, notes, batch=True, progress=False)
    assert told
    assert len(openai_fake.batches.all) == 1


def test_the_command_line_asks_by_batch(openai_fake, notes, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_BASE_URL", f"{openai_fake.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", openai_fake.key)
    monkeypatch.setattr("ftkit.backends.hosted.backend.RetryPolicy", lambda: QUICK)
    monkeypatch.setattr("ftkit.backends.hosted.backend.RetryPolicy", lambda: QUICK)
    openai_fake.answers = lambda text: "red"
    notes.task.to_yaml(tmp_path / "task.yaml")
    notes.write_openai(tmp_path / "rows.jsonl")
    (tmp_path / "rows.jsonl").write_text('{"text": "a", "team": "red"}\n')
    arguments = ["evaluate", f"openai:{TUNED}", "--data", str(tmp_path / "rows.jsonl"), "--target", "team",
                 "--task", str(tmp_path / "task.yaml"), "-o", str(tmp_path / "r.json")]  # fmt: skip
    done = CliRunner().invoke(app, [*arguments, "--batch"])
    assert done.exit_code == 0, done.output
    assert len(openai_fake.batches.all) == 1
    assert "through the batch API" in ft.Report.load(tmp_path / "r.json").cost.source
    assert "--batch cannot be combined" in CliRunner().invoke(app, [*arguments, "--batch", "--concurrency", "2"]).output


@pytest.mark.parametrize("fault", [*get_args(Fault), None])
def test_keys_are_nowhere(openai_fake, model, notes, home, fault):
    told = []
    openai_fake.fault = lambda call: fault
    openai_fake.batches.ends = "failed"
    try:
        ft.evaluate(model, notes, batch=True, progress=False)
    except FtkitError as error:
        told += [str(error), repr(error), repr(error.__cause__), repr(error.__context__)]
    assert told
    assert openai_fake.key not in " ".join(told)
    for file in home.rglob("*"):
        if file.is_file():
            assert openai_fake.key.encode() not in file.read_bytes(), file


class _NoLock:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


def _with_key(name):
    from ftkit.backends.together import Together

    kind, _, model = name.partition(":")
    if kind == "together":
        return Together(model, api_key="k" * 12)
    return OpenAIJobs(model, profile=kind, base_url="http://127.0.0.1:1", api_key="k" * 12)


@pytest.mark.parametrize(
    "damage",
    [
        b"{oops",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"custom_id": "x"}',
        b'{"custom_id": "0", "response": "no"}',
        b'{"custom_id": "0", "response": {"status_code": [1]}}',
        b'{"custom_id": "0", "response": {"status_code": 200, "body": [1]}}',
        b'{"custom_id": "0", "error": "no"}',
    ],
)
def test_a_damaged_line_of_the_output_loses_no_other_answer(
    openai_fake: OpenAIFake, openai_jobs: OpenAIJobs, tmp_path: Path, damage: bytes
) -> None:
    openai_fake.spec = None
    openai_fake.answers = lambda text: "red"
    real = openai_fake.answer

    def answer(call: Call) -> Reply:
        status, body, headers = real(call)
        if isinstance(body, bytes) and b'"custom_id": "0"' in body:
            lines = [damage if b'"custom_id": "0"' in line else line for line in body.split(b"\n")]
            return status, b"\n".join(lines), headers
        return status, body, headers

    openai_fake.answer = answer  # type: ignore[method-assign]
    requests = {number: ft.Request([{"role": "user", "content": f"case {number}"}]) for number in range(3)}
    answers = openai_jobs.answerer().answer_batch(
        requests, ft.Sampling(), lambda number, given: None, folder=tmp_path / "batch", on_count=lambda count: None
    )
    assert [answers[number].text for number in (1, 2)] == ["red", "red"]
    assert answers[0].error
