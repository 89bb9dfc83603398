"""A job's life at a host of OpenAI's kind: the same words as a run here, read leniently, and no key anywhere."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import ftkit as ft
from ftkit.backends import Backend, registry
from ftkit.backends.hosted.host_profile import HostProfile
from ftkit.backends.hosted.quote import quote
from ftkit.backends.openai_jobs import OpenAIJobs
from ftkit.backends.openai_jobs.azure_deployment import deploy
from ftkit.backends.openai_jobs.events import parse_result_file
from ftkit.catalog import load_catalog
from ftkit.cli.app import app
from ftkit.errors import (
    ConfigError,
    DataError,
    HostError,
    ModelError,
    RefusedError,
    RunCancelledError,
    RunError,
    RunFailedError,
)
from ftkit.evaluation import Asking
from ftkit.store import Store

from .conftest import QUICK
from .openai_host import rows
from .serving import Fake, serving


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("ftkit.runs.run._POLL_S", 0.0)


def test_a_run_there_has_the_life_of_a_run_here(openai_fake, openai_jobs, notes):
    run = ft.train(ft.SFT(epochs=2), notes, backend=openai_jobs).wait(progress=False)
    assert run.state == "succeeded"
    assert run.record.summary["tuned_model"].startswith("ft:gpt-4.1-mini-2025-04-14:acme")
    assert run.record.summary["cost_usd"] == pytest.approx(0.05)
    assert [(step["loss"], step["token_accuracy"]) for step in run.metrics] == [(1.0, 0.25), (0.5, 0.5)]
    kinds = [event.kind for event in run.events()]
    looks = [event.data for event in run.events() if event.kind == "validation"]
    assert looks == [{"step": 2, "loss": 0.75, "token_accuracy": 0.625}]
    assert kinds[0] == "state"
    assert kinds[-1] == "state"
    (job,) = openai_fake.jobs.values()
    assert job["method"] == {
        "type": "supervised",
        "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": "auto"}},
    }
    uploaded = rows(openai_fake.contents[job["training_file"]])
    assert uploaded[1]["messages"][-1] == {"role": "assistant", "content": "blue"}
    assert len(uploaded) == 12


def test_result_files_tell_the_steps_where_events_do_not(openai_fake, openai_jobs, notes):
    where = OpenAIJobs(
        "m", profile="litellm", base_url=f"{openai_fake.url}/v1", api_key=openai_fake.key, retry_policy=QUICK
    )
    run = ft.train(ft.SFT(), notes, backend=where).wait(progress=False)
    steps = [(step["step"], step["loss"], step["token_accuracy"]) for step in run.metrics]
    assert steps == [(1, 1.0, 0.25), (2, 0.5, 0.5)]
    looks = [event.data for event in run.events() if event.kind == "validation"]
    assert looks == [{"step": 2, "loss": 0.7, "token_accuracy": 0.6}]
    run = ft.train(ft.SFT(), notes, backend=openai_jobs).wait(progress=False)
    steps = [event.data["step"] for event in run.events() if event.kind == "step"]
    assert steps == [1, 2]  # told once, though the file has them too
    tuned = run.record.summary["tuned_model"]
    assert run.record.summary["checkpoints"] == [
        {"step": step, "model": f"{tuned}:ckpt-step-{step}"} for step in (1, 2)
    ]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"step,train_loss\n", b"step,train_loss\nx,y\n", b"\xff" * 9])
def test_a_result_file_that_says_nothing_has_no_steps(content):
    assert list(parse_result_file(content)) == []


@pytest.mark.parametrize(
    ("columns", "accuracy"),
    [
        ("valid_loss,valid_mean_token_accuracy", 0.5),
        ("valid_loss,validation_mean_token_accuracy", 0.5),  # Azure's
        ("full_valid_loss,valid_mean_token_accuracy", None),  # of other rows than the loss
        ("full_valid_loss,full_valid_mean_token_accuracy", 0.5),
    ],
)
def test_the_token_accuracy_of_a_look_is_that_beside_its_loss(columns, accuracy):
    _, look = parse_result_file(f"step,train_loss,{columns}\n3,1.0,2.0,0.5\n".encode())
    assert look.data == {"step": 3, "loss": 2.0} | ({} if accuracy is None else {"token_accuracy": accuracy})


@pytest.mark.parametrize(("header", "files"), [(None, 4), ("Idempotency-Key", 2)])
def test_runs_share_files_only_where_a_job_cannot_be_lost(openai_fake, notes, header, files):
    """Without idempotency keys the ids of its files are what finds a job whose metadata and suffix were dropped."""
    profile = HostProfile("shared", "", "SHARED_URL", ("SHARED_KEY",), idempotency_header=header)
    where = OpenAIJobs(
        "gpt-4.1-mini", base_url=f"{openai_fake.url}/v1", api_key=openai_fake.key, retry_policy=QUICK, profile=profile
    )
    for _ in range(2):
        ft.train(ft.SFT(), notes, backend=where, validation=notes.take(10)).wait(progress=False)
    sent = [file for file in openai_fake.files.values() if file["purpose"] == "fine-tune"]
    assert len(sent) == files
    assert len(openai_fake.jobs) == 2


def test_a_run_is_found_again_by_another_process(openai_fake, notes, monkeypatch, home):
    monkeypatch.setenv("OPENAI_BASE_URL", f"{openai_fake.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", openai_fake.key)
    run = ft.train(ft.SFT(), notes, backend=OpenAIJobs("gpt-4.1-mini", retry_policy=QUICK))
    again = ft.runs.get(run.id)
    again._backend = OpenAIJobs("gpt-4.1-mini", retry_policy=QUICK)
    assert again.wait(progress=False).state == "succeeded"
    assert again.model.name == f"openai:{again.record.summary['tuned_model']}"
    assert again.model.task.fingerprint == notes.task.fingerprint


def test_two_runs_of_one_second_have_two_names(openai_jobs, notes, monkeypatch):
    drawn = iter(["aaaa", "aaaa", "bbbb"])
    monkeypatch.setattr("ftkit.runs.train_run.secrets", SimpleNamespace(token_hex=lambda length: next(drawn)))
    first, second = (ft.train(ft.SFT(), notes, backend=openai_jobs) for _ in range(2))
    assert first.id != second.id


def test_cancelling_pausing_and_failing(openai_fake, openai_jobs, notes):
    run = ft.train(ft.SFT(), notes, backend=openai_jobs)
    (job_id,) = openai_fake.jobs
    openai_fake.jobs[job_id]["status"] = "paused"  # at the host's own site
    assert run.state == "running"
    assert run.cancel().state == "cancelled"
    assert openai_fake.jobs[job_id]["status"] == "cancelled"
    with pytest.raises(RunCancelledError):
        run.wait(progress=False)
    openai_fake.fails = "The job failed due to a moderation block"
    with pytest.raises(RunFailedError, match="moderation block"):
        ft.train(ft.SFT(), notes, backend=openai_jobs).wait(progress=False)


def test_a_run_rests_and_goes_on(openai_fake, openai_jobs, notes, monkeypatch):
    run = ft.train(ft.SFT(), notes, backend=openai_jobs).pause()
    (job,) = openai_fake.jobs.values()
    assert job["status"] == "paused"
    assert run.state == "running"
    openai_jobs.poll_schedule.reset()
    assert run.state == "running"
    assert job["status"] == "paused"
    assert run.resume().wait(progress=False).state == "succeeded"
    with pytest.raises(RunError, match="cannot be paused: it is succeeded"):
        run.pause()
    monkeypatch.setenv("OPENAI_BASE_URL", f"{openai_fake.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", openai_fake.key)
    other = ft.train(ft.SFT(), notes, backend=openai_jobs)
    assert CliRunner().invoke(app, ["runs", "pause", other.id]).exit_code == 0
    done = CliRunner().invoke(app, ["runs", "resume", other.id])
    assert done.exit_code == 0, done.output
    assert ft.runs.get(other.id).state == "succeeded"


def test_an_organisation_that_may_not_train_is_told_so_and_leaves_no_file(openai_fake, openai_jobs, notes):
    openai_fake.closed = True
    with pytest.raises(HostError, match="no longer takes training jobs") as caught:
        ft.train(ft.SFT(), notes, backend=openai_jobs)
    assert caught.value.code == "training_not_available"
    assert openai_fake.files == {}
    assert ft.runs.all()[0].state == "failed"


def test_what_it_cannot_honour_is_refused_by_name_before_any_call(openai_fake, openai_jobs, notes):
    recipe = ft.SFT(learning_rate=1e-4, warmup_ratio=0.2, adapter=ft.LoRA(rank=8))
    with pytest.raises(RefusedError) as caught:
        ft.train(recipe, notes, backend=openai_jobs)
    assert set(caught.value.fields) == {"learning_rate", "warmup_ratio", "adapter.rank"}
    with pytest.raises(RefusedError, match="epochs=51"):
        ft.train(ft.SFT(epochs=51), notes, backend=openai_jobs)
    with pytest.raises(RefusedError, match="not reward"):
        ft.train(ft.RewardModel(), notes, backend=openai_jobs)
    for lint in (True, False):
        with pytest.raises(DataError, match=r"H001 .* takes 10 rows or more, there are 3 "):
            ft.train(ft.SFT(), notes.take(3), backend=openai_jobs, lint=lint)
    (planned,) = ft.plan(ft.SFT(), notes.take(3), openai_jobs).entries
    assert "H001 openai:gpt-4.1-mini takes 10 rows or more, there are 3" in planned.problem
    gone = OpenAIJobs("gpt-4.1-nano", base_url=openai_fake.url, api_key="x" * 12)
    with pytest.raises(RefusedError, match="2026-10-23"):
        ft.train(ft.SFT(), notes, backend=gone)
    assert openai_fake.calls == []
    assert ft.runs.all() == []


def test_a_wait_survives_an_outage(openai_fake, openai_jobs, notes):
    run = ft.train(ft.SFT(), notes, backend=openai_jobs)
    down = iter(range(25))
    openai_fake.fault = lambda call: "503_text" if next(down, None) is not None else None
    assert run.wait(progress=False).state == "succeeded"
    warnings = [event for event in run.events() if event.kind == "warning"]
    assert len(warnings) == 1
    assert "503" in warnings[0].data["message"]


def test_azure_gets_a_byte_order_mark_and_waits_for_the_file(openai_fake, notes):
    openai_fake.file_status = ["pending", "running", "processed"]
    where = OpenAIJobs(
        "gpt-4.1-mini", profile="azure", base_url=f"{openai_fake.url}/v1", api_key=openai_fake.key,
        extra={"trainingType": "GlobalStandard"}, retry_policy=QUICK,
    )  # fmt: skip
    assert ft.train(ft.SFT(), notes, backend=where).wait(progress=False).state == "succeeded"
    (job,) = openai_fake.jobs.values()
    assert job["trainingType"] == "GlobalStandard"
    assert openai_fake.contents[job["training_file"]].startswith(b"\xef\xbb\xbf{")


def test_azure_deploys_with_a_token_of_the_users(home):
    class Control(Fake):
        def answer(self, call):
            assert call.headers["authorization"] == f"Bearer {self.key}"
            return 201, {"properties": {"provisioningState": "Creating"}}, {}

    with serving(Control()) as fake:
        deploy(
            "gpt-4.1-mini-2025-04-14.ft-0abc", "triage", subscription="s", resource_group="g", account="a",
            token=fake.key, url=fake.url,
        )  # fmt: skip
        (call,) = fake.calls
    assert (call.method, call.query) == ("PUT", {"api-version": "2024-10-21"})
    assert call.path.endswith("/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/a/deployments/triage")
    assert call.json()["properties"]["model"]["name"] == "gpt-4.1-mini-2025-04-14.ft-0abc"


def test_hosts_without_metadata_carry_the_key_in_the_suffix(openai_fake, notes):
    openai_fake.filters = False
    where = OpenAIJobs(
        "meta-llama/Llama-3.1-8B-Instruct", profile="nebius", base_url=f"{openai_fake.url}/v1",
        api_key=openai_fake.key, retry_policy=QUICK,
    )  # fmt: skip
    lost = iter(["drop_after"])
    openai_fake.fault = lambda call: next(lost, None) if _creates(call) else None
    ft.train(ft.SFT(adapter=ft.QLoRA(rank=8), learning_rate=2e-4), notes, backend=where).wait(progress=False)
    (job,) = openai_fake.jobs.values()
    assert job["hyperparameters"]["lora_r"] == 8
    assert job["hyperparameters"]["learning_rate"] == 2e-4


def test_large_files_go_up_in_parts(openai_fake, openai_jobs, notes, home):
    home.mkdir(exist_ok=True)
    (home / "catalog.toml").write_text(
        '[[limits]]\nprovider = "openai"\nmax_file_bytes = 500\nmax_part_bytes = 300\n'
        'source = "https://example.com"\nas_of = 2026-11-01\n'
    )
    ft.train(ft.SFT(), notes, backend=openai_jobs).wait(progress=False)
    (upload,) = openai_fake.uploads.values()
    assert upload["status"] == "completed"
    assert len(upload["parts"]) > 2
    (job,) = openai_fake.jobs.values()
    assert len(rows(openai_fake.contents[job["training_file"]])) == 12


def test_answers_are_typed_priced_and_held_to_the_schema(openai_fake, home):
    task = ft.Task("Read.", input="{text}", output=ft.JsonOutput(name="visit", json_schema=_VISIT))
    openai_fake.answers = lambda text: '{"age": 39}'
    where = OpenAIJobs(
        "ft:gpt-4.1-mini-2025-04-14:acme::abc",
        base_url=f"{openai_fake.url}/v1",
        api_key=openai_fake.key,
        retry_policy=QUICK,
    )
    model = ft.Model(where, task)
    busy = iter(["429", "drop_before", "500_before"])
    openai_fake.fault = lambda call: next(busy, None)
    openai_fake.rejects = {"seed": "is not supported"}
    assert model.predict_many([{"text": "a"}, {"text": "b"}]) == [{"age": 39}, {"age": 39}]
    asked = openai_fake.calls[-1].json()
    assert asked["response_format"]["json_schema"]["strict"] is True
    assert "seed" not in asked
    (answer,) = model.answer_many([ft.Request(task.prompt({"text": "a"}))])
    assert answer.cost_usd == pytest.approx((60 * 0.8 + 40 * 0.2 + 10 * 3.2) / 1e6)
    assert model.about()["observed"]["parameters_not_taken"] == ["seed"]


def test_what_shows_only_while_it_answers_does_not_make_it_another_model(openai_fake, openai_jobs, notes):
    openai_fake.answers = lambda text: "red"
    openai_fake.rejects = {"seed": "is not supported"}
    model = ft.Model(openai_jobs, notes.task)

    def broken(row):
        return "much"

    with pytest.raises(ConfigError, match="no finite number"):
        ft.evaluate(model, notes, metrics=broken, asking=Asking(resume=True), probes=None, progress=False)
    asked = len(openai_fake.calls)
    report = ft.evaluate(model, notes, asking=Asking(resume=True), probes=None, progress=False)
    assert len(openai_fake.calls) == asked
    assert report["accuracy"].value == pytest.approx(0.5)
    assert report.about["observed"] == {"served_as": ["gpt-4.1-mini"], "parameters_not_taken": ["seed"]}


def test_a_report_names_the_catalogues_price_and_what_the_run_cost(openai_fake, openai_jobs, notes):
    run = ft.train(ft.SFT(epochs=2), notes, backend=openai_jobs).wait(progress=False)
    tuned = OpenAIJobs(run.record.summary["tuned_model"], base_url=f"{openai_fake.url}/v1", api_key=openai_fake.key)
    report = ft.evaluate(ft.Model(tuned, notes.task), notes, progress=False)
    answers = [row.cost_usd for row in report.rows]
    assert None not in answers
    assert report.cost.total_usd == pytest.approx(sum(answers))
    assert report.cost.source.startswith("tokens at $0.8 in ($0.2 cached) and $3.2 out per million (https://")
    price = load_catalog().inference_price("openai", run.record.summary["tuned_model"], tuned=True)
    assert report.cost.as_of == price.as_of
    assert report.cost.training_usd == pytest.approx(0.05)
    assert run.id in report.cost.training_source
    assert "Training cost: $0.05" in str(report)


def test_answers_come_on_the_event_loop_without_a_thread_a_call(openai_fake, openai_jobs, notes, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a thread was wanted")

    monkeypatch.setattr("ftkit.backends.hosted.concurrency.ThreadPoolExecutor", refuse)
    at_once, most = [0], [0]

    def answer(text):
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        openai_fake.lock.release()
        time.sleep(0.02)
        openai_fake.lock.acquire()
        at_once[0] -= 1
        return "red"

    openai_fake.answers = answer
    openai_fake.rejects = {"seed": "is not supported"}
    busy = iter(["429", "drop_before", "500_before", "truncate"])
    openai_fake.fault = lambda call: next(busy, None)
    model = ft.Model(openai_jobs, notes.task)
    for _ in range(2):  # each loop has connections of its own
        rows = [{"text": str(number)} for number in range(20)]
        assert asyncio.run(model.apredict_many(rows)) == ["red"] * 20
    assert 1 < most[0] <= 8

    async def singly():
        return await asyncio.gather(*(model.apredict(text=str(number)) for number in range(20)))

    assert asyncio.run(singly()) == ["red"] * 20
    assert most[0] <= 8


def test_one_wrong_key_ends_all_on_the_event_loop_and_is_told_to_nobody(openai_fake, notes):
    wrong = "wrong-key-1234567890"
    where = OpenAIJobs("gpt-4.1-mini", base_url=f"{openai_fake.url}/v1", api_key=wrong, retry_policy=QUICK)
    model = ft.Model(where, notes.task)
    with pytest.raises(ModelError, match="401") as caught:
        asyncio.run(model.apredict_many([{"text": str(number)} for number in range(20)]))
    told = (caught.value, caught.value.__cause__, caught.value.__context__)
    assert wrong not in "".join(map(repr, told))
    openai_fake.fault = lambda call: "500_before"  # whose body repeats the key
    where = OpenAIJobs("gpt-4.1-mini", base_url=f"{openai_fake.url}/v1", api_key=openai_fake.key, retry_policy=QUICK)
    with pytest.raises(ModelError, match="500") as caught:
        asyncio.run(ft.Model(where, notes.task).apredict(text="x"))
    told = (caught.value, caught.value.__cause__, caught.value.__context__)
    assert openai_fake.key not in "".join(map(repr, told))


def test_what_fails_for_one_request_is_its_answer_and_a_wrong_key_stops_all(openai_fake, openai_jobs, notes):
    openai_fake.rejects = {"messages": "too long"}
    (answer,) = ft.Model(openai_jobs, notes.task).answer_many([ft.Request([{"role": "user", "content": "x"}])])
    assert answer.finish_reason == "error"
    assert answer.retry_after_s is None
    wrong = OpenAIJobs("gpt-4.1-mini", base_url=f"{openai_fake.url}/v1", api_key="wrong-key-1234567890")
    with pytest.raises(ModelError, match="401"):
        ft.Model(wrong, notes.task).predict(text="x")


@pytest.mark.parametrize("fault", ["drop_before", "500_before", "429", "not_json", "truncate", "503_text", None])
def test_keys_are_nowhere(openai_fake, openai_jobs, notes, home, caplog, fault):
    caplog.set_level(logging.DEBUG, logger="ftkit")
    told = [repr(openai_jobs)]
    openai_fake.fault = lambda call: fault
    openai_fake.closed = True
    try:
        ft.train(ft.SFT(), notes, backend=openai_jobs).wait(progress=False, timeout_s=0.2)
    except Exception as error:
        told += [str(error), repr(error), repr(error.__cause__), repr(error.__context__)]
    (answer,) = _asked(openai_jobs, notes)
    told += [repr(answer), caplog.text, repr([event for run in ft.runs.all() for event in Store().events(run.id)])]
    assert openai_fake.key not in " ".join(told)
    for file in home.rglob("*"):
        if file.is_file():
            assert openai_fake.key.encode() not in file.read_bytes(), file


def test_a_missing_key_is_named(monkeypatch, notes):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        ft.train(ft.SFT(), notes, backend="openai:gpt-4.1-mini")


def test_max_cost_refuses_before_anything_is_sent(openai_fake, openai_jobs, notes):
    with pytest.raises(RefusedError, match="max_cost"):
        ft.train(ft.SFT(), notes, backend=openai_jobs, max_cost=0.0001)
    assert [(call.method, call.path) for call in openai_fake.calls] == [("GET", "/v1/models")]
    assert ft.train(ft.SFT(), notes, backend=openai_jobs, max_cost=1.0).wait(progress=False).state == "succeeded"


def test_a_quote_prices_a_known_file_to_the_cent_and_knows_the_days_left(openai_jobs, notes, monkeypatch):
    found = openai_jobs.quote(ft.SFT(epochs=3), notes)
    assert found.training_usd == pytest.approx(found.tokens_per_epoch * 3 * 5.0 / 1e6)
    assert str(found.training_closes) == "2027-01-06"
    assert str(found.stops_answering) == "2027-01-14"
    assert found.replacement == "gpt-6-luna"
    per_million = found.usd_per_1000_predictions * len(notes) / 1000 / found.tokens_per_epoch * 1e6
    assert 0.8 < per_million < (0.8 + 3.2) / 2  # the tuned model's prices, and most tokens are input
    assert not [note for note in found.notes if "longest row" in note]


def test_the_plan_of_a_known_file_is_right_to_the_cent_and_the_day():
    task = ft.Task("Sort the customer's message into one queue.", input="{message}")
    file = Path(__file__).parents[2] / "examples" / "triage" / "messages.jsonl"
    data = ft.Dataset.load(file, task.model_copy(update={"output": ft.ChoiceOutput(choices=_QUEUES)}), target="label")
    found = quote("openai:gpt-4.1-mini", ("openai", "gpt-4.1-mini"), ft.SFT(epochs=3), data, today=date(2026, 11, 24))
    assert (found.tokens_per_epoch, found.tokenizer, found.exact) == (21_152, "o200k_base", True)
    assert f"{found.training_usd:.2f}" == f"{21_152 * 3 * 5 / 1e6:.2f}" == "0.32"
    assert (str(found.training_closes), found.training_days_left) == ("2027-01-06", 43)
    assert (str(found.stops_answering), found.answering_days_left) == ("2027-01-14", 51)
    assert found.replacement == "gpt-6-luna"


def test_the_hosts_own_word_on_the_last_day_goes_before_the_catalogues(openai_fake, openai_jobs, notes):
    def quoted(day):
        openai_fake.models = [
            {"id": "gpt-4.1-mini-2025-04-14", "object": "model", "created": 1, "owned_by": "openai"}
            | ({} if day == "" else {"shutdown_date": day})
        ]
        return openai_jobs.quote(ft.SFT(), notes)

    for nothing in ("", None):
        assert (str(quoted(nothing).stops_answering), quoted(nothing).notes) == (
            "2027-01-14",
            quoted("2027-01-14").notes,
        )
    assert quoted("").stops_source.startswith("https://")
    later = quoted("2027-02-20")
    assert (str(later.stops_answering), str(later.training_closes)) == ("2027-02-20", "2027-01-06")
    assert later.stops_source == "GET /models of openai"
    assert "2027-02-20 by the host's own word, not on 2027-01-14" in "".join(later.notes)
    assert "2027-02-20 (" in str(ft.plan(ft.SFT(), notes, openai_jobs))
    assert str(quoted("2026-12-24").training_closes) == "2026-12-24"
    openai_fake.fault = lambda call: "500_before"
    assert str(quoted("2026-12-24").stops_answering) == "2027-01-14"


def test_a_quote_says_when_a_row_is_longer_than_is_trained_on(openai_jobs, notes, home):
    home.mkdir(exist_ok=True)
    (home / "catalog.toml").write_text(
        '[[model]]\nprovider = "openai"\nid = "gpt-4.1-mini-2025-04-14"\ntraining_context = 5\n'
        'source = "ours"\nas_of = 2026-11-01\n'
    )
    found = openai_jobs.quote(ft.SFT(), notes)
    assert [note.rpartition(", ")[2] for note in found.notes if "longest row" in note] == ["and 5 are trained on"]


def test_quotes_refuse_what_training_would(openai_jobs, notes):
    for recipe, said in [(ft.SFT(epochs=51), "epochs=51"), (ft.RewardModel(), "not reward"), (ft.DPO(), "learns from")]:
        (planned,) = ft.plan(recipe, notes, openai_jobs, lint=False).entries
        assert planned.quote is None
        assert said in planned.problem
    assert isinstance(openai_jobs, Backend)
    with pytest.raises(RefusedError, match="makes no estimates"):
        openai_jobs.estimate(ft.SFT(), notes, None)


def test_an_accounts_jobs_come_home(openai_fake, openai_jobs, notes, tmp_path, monkeypatch):
    ft.train(ft.SFT(epochs=2, batch_size=4), notes, backend=openai_jobs, validation=notes.take(10)).wait(progress=False)
    (job_id,) = openai_fake.jobs
    monkeypatch.setenv("OPENAI_BASE_URL", f"{openai_fake.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", openai_fake.key)
    listed = CliRunner().invoke(app, ["import", "openai"]).stdout
    assert job_id in listed
    assert "2027-01-14" in listed
    name = openai_fake.jobs[job_id]["fine_tuned_model"]
    openai_fake.models = [
        {"id": name, "object": "model", "created": 1, "owned_by": "acme", "shutdown_date": "2027-02-03"}
    ]
    assert "2027-02-03" in CliRunner().invoke(app, ["import", "openai"]).stdout
    done = CliRunner().invoke(app, ["import", "openai", job_id, "-o", str(tmp_path / "home-made")])
    assert done.exit_code == 0, done.output
    task_file = tmp_path / "home-made" / "task.yaml"
    task_file.write_text(task_file.read_text() + "# mine\n")
    command = ["import", "openai", job_id, "-o", str(tmp_path / "home-made")]
    assert CliRunner().invoke(app, command).exit_code == 2  # what was changed there is kept
    assert task_file.read_text().endswith("# mine\n")
    assert CliRunner().invoke(app, [*command, "--force"]).exit_code == 0
    recipe = ft.load_recipe(tmp_path / "home-made" / "recipe.yaml")
    assert (recipe.kind, recipe.epochs, recipe.batch_size) == ("sft", 2, 4)
    task = ft.Task.from_yaml(tmp_path / "home-made" / "task.yaml")
    assert len(ft.Dataset.load(tmp_path / "home-made" / "training.jsonl", task)) == 12


def test_runs_are_listed_without_the_key_too(openai_fake, openai_jobs, notes, monkeypatch):
    run = ft.train(ft.SFT(), notes, backend=openai_jobs)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    registry._created.cache_clear()
    listed = CliRunner().invoke(app, ["runs"])
    assert listed.exit_code == 0
    assert run.id in listed.stdout
    assert "OPENAI_API_KEY" in listed.stderr


def test_plans_show_hosts_beside_each_other(openai_jobs, notes):
    made = ft.plan(ft.SFT(epochs=3), notes, [openai_jobs, "together:Qwen/Qwen3.5-9B", "openai:gpt-4.1-nano"])
    text = str(made)
    assert "2027-01-06 (" in text
    assert "$4.00" in text  # Together's least charge
    assert "openai:gpt-4.1-nano: no estimate: openai:gpt-4.1-nano takes no training jobs since 2026-10-23" in text
    assert [entry.quote is not None and entry.quote.exact for entry in made.entries] == [True, False, False]


def test_the_catalogue_is_shown_with_whom_a_deadline_is_for_and_what_is_taken(home):
    shown = CliRunner().invoke(app, ["catalog", "openai", "gpt-4.1-mini"]).stdout
    assert "applies_to organisations that never ran fine-tuning" in shown
    assert "max_image_bytes 10000000" in shown
    assert "suffix_length 64" in shown


@pytest.mark.parametrize("provider", ["nebius", "crusoe", "together"])
def test_the_key_fits_into_the_suffix_of_hosts_that_carry_it_there(openai_fake, openai_jobs, notes, provider):
    key = ft.train(ft.SFT(), notes, backend=openai_jobs).record.handle["key"]
    assert len(key) <= load_catalog().limits(provider, "sft").suffix_length


def _asked(where, notes):
    try:
        return ft.Model(where, notes.task).answer_many([ft.Request([{"role": "user", "content": "x"}])])
    except ModelError as error:
        return [error]


def _creates(call):
    return call.method == "POST" and call.path == "/v1/fine_tuning/jobs"


_QUEUES = ("billing", "bug", "how_to", "cancellation", "lost_property", "praise")
_VISIT = {
    "type": "object",
    "properties": {"age": {"type": "integer", "default": 1}},
    "required": ["age"],
    "additionalProperties": False,
}
