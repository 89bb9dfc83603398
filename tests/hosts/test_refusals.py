"""Each refusal of a host says what to do, is not tried again when that is no use, and leaves nothing behind."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

import ftkit as ft
from ftkit.backends.hosted.host_errors import refusal_error
from ftkit.cli.app import app
from ftkit.errors import HostError, ModelError, RunFailedError


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("ftkit.runs.run._POLL_S", 0.0)


REFUSALS = [
    (401, "invalid_api_key", "wrong or was withdrawn; make a new one"),
    (401, None, "set one that is valid in the environment"),
    (402, None, "no credit left; add some"),
    (403, "training_not_available", r"`ftkit catalog` says where else the recipe can run\. Nothing was charged"),
    (403, None, "give it the right at the host"),
    (429, "insufficient_quota", "no credit left; add some"),
    (429, "billing_hard_limit_reached", "spending limit is reached; raise it"),
    (400, "invalid_file", "has expired; start again, and the rows are sent again"),
    (400, "file_not_found", "has expired; start again, and the rows are sent again"),
    (404, "model_not_found", "has been switched off"),
    (413, None, "has the limits"),
]


@pytest.mark.parametrize(("status", "code", "advice"), REFUSALS)
def test_a_refusal_says_what_to_do(openai_fake, openai_jobs, notes, status, code, advice):
    said = {
        "error": {"message": f"no, {openai_fake.key}", "type": "invalid_request_error", "param": None, "code": code}
    }
    openai_fake.override = lambda call: (status, said, {}) if _creates(call) else None
    with pytest.raises(HostError, match=advice) as caught:
        ft.train(ft.SFT(), notes, backend=openai_jobs)
    assert (caught.value.status, caught.value.code) == (status, code or "invalid_request_error")
    assert len([call for call in openai_fake.calls if _creates(call)]) == 1  # asking again is no use
    assert openai_fake.files == {}
    (run,) = ft.runs.all()
    assert run.state == "failed"
    assert openai_fake.key not in str(caught.value) + str(run.record)


def test_an_upload_that_is_refused_says_so(openai_fake, openai_jobs, notes):
    said = {
        "error": {"message": "Your account is not active", "type": "billing_not_active", "code": "billing_not_active"}
    }
    openai_fake.override = lambda call: (403, said, {}) if call.method == "POST" else None
    with pytest.raises(HostError, match=r"uploading the rows was refused with 403 \(billing_not_active\)"):
        ft.train(ft.SFT(), notes, backend=openai_jobs)


def test_a_file_that_expired_at_the_host_is_sent_again(openai_fake, openai_jobs, notes):
    ft.train(ft.SFT(), notes, backend=openai_jobs).wait(progress=False)
    (old,) = [file for file in openai_fake.files.values() if file["purpose"] == "fine-tune"]
    del openai_fake.files[old["id"]]
    ft.train(ft.SFT(), notes, backend=openai_jobs).wait(progress=False)
    assert len(openai_fake.jobs) == 2


def test_a_file_the_host_finds_at_fault_says_why(openai_fake, notes):
    from ftkit.backends.openai_jobs import OpenAIJobs

    from .conftest import QUICK

    openai_fake.file_status = ["pending", "error"]
    where = OpenAIJobs(
        "m", profile="azure", base_url=f"{openai_fake.url}/v1", api_key=openai_fake.key, retry_policy=QUICK
    )
    with pytest.raises(HostError, match=r"refused the training file: error\. Fix the rows"):
        ft.train(ft.SFT(), notes, backend=where)
    assert openai_fake.files == {}


def test_importing_a_job_whose_file_is_gone_says_so(openai_fake, openai_jobs, notes, monkeypatch, tmp_path):
    ft.train(ft.SFT(), notes, backend=openai_jobs).wait(progress=False)
    (job_id,) = openai_fake.jobs
    monkeypatch.setenv("OPENAI_BASE_URL", f"{openai_fake.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", openai_fake.key)
    gone = {"error": {"message": "No such File object", "type": "invalid_request_error", "code": None}}
    openai_fake.override = lambda call: (404, gone, {}) if call.path.endswith("/content") else None
    done = CliRunner().invoke(app, ["import", "openai", job_id, "-o", str(tmp_path / "made")])
    assert done.exit_code == 1
    assert "expired or been deleted" in done.stderr


@pytest.mark.parametrize("reason", ["The job failed due to a moderation block", "blocked by our usage policies."])
def test_a_moderation_block_says_where_to_look(openai_fake, openai_jobs, notes, reason):
    openai_fake.fails = reason
    with pytest.raises(RunFailedError, match=r"safety checks stopped it: `ftkit runs events` .* train on this machine"):
        ft.train(ft.SFT(), notes, backend=openai_jobs).wait(progress=False)


def test_a_question_that_is_filtered_is_its_own_answer_and_a_missing_model_ends_all(openai_fake, openai_jobs, notes):
    def said(code):
        return {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": code}}

    model = ft.Model(openai_jobs, notes.task)
    asked = [ft.Request([{"role": "user", "content": "x"}])]
    openai_fake.override = lambda call: (400, said("content_policy_violation"), {})
    (answer,) = model.answer_many(asked)
    assert answer.finish_reason == "error"
    assert "usage policy stopped it; change the rows" in answer.error
    openai_fake.override = lambda call: (404, said("model_not_found"), {})
    with pytest.raises(ModelError, match="has been switched off"):
        model.answer_many(asked)
    openai_fake.override = lambda call: (429, said("insufficient_quota"), {})
    (answer,) = model.answer_many(asked)
    assert "add some at the host" in answer.error
    assert answer.retry_after_s is None


@pytest.mark.parametrize("body", [b"<html>no</html>", "no", None, ["no"], {"error": "no"}, {"detail": "no"}, 3])
def test_a_refusal_in_any_form_is_an_error_with_its_status(body):
    error = refusal_error("asking", 503, body, {}, host="h", secret="no-key")
    assert "503" in str(error)
    assert error.passing


def _creates(call):
    return call.method == "POST" and call.path == "/v1/fine_tuning/jobs"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"retry-after": "1e9"}, 3600.0), ({"retry-after": "inf"}, 3600.0), ({"retry-after": "nan"}, 0.0),
     ({"retry-after-ms": "2500"}, 2.5), ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, 3600.0),
     ({"retry-after": "soon"}, None)],
)  # fmt: skip
def test_a_wait_that_a_host_asks_for_is_bounded(headers, seconds):
    assert refusal_error("asking", 429, {}, headers, host="h", secret=None).retry_after_s == seconds
