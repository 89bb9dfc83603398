"""The fakes driven by the hosts' official clients, and what this package sends held beside what they send."""

from __future__ import annotations

import io
import json

import openai
import pytest

import ftkit as ft
from ftkit.backends.fireworks import Fireworks
from ftkit.backends.together import Together

from .conftest import QUICK
from .fireworks_host import FireworksFake
from .serving import form, serving
from .together_host import TogetherFake


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("ftkit.runs.run._POLL_S", 0.0)


def test_openai_files_jobs_events_checkpoints_and_results(openai_fake):
    client = openai.OpenAI(base_url=f"{openai_fake.url}/v1", api_key=openai_fake.key)
    file = client.files.create(file=("a.jsonl", io.BytesIO(b"{}\n")), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(model="gpt-4.1-mini", training_file=file.id, metadata={"a": "b"})
    assert [one.id for one in client.fine_tuning.jobs.list(metadata={"a": "b"})] == [job.id]
    assert [one.id for one in client.fine_tuning.jobs.list(metadata={"a": "c"})] == []
    while client.fine_tuning.jobs.retrieve(job.id).status != "succeeded":
        pass
    assert client.fine_tuning.jobs.list_events(job.id, limit=2).has_more
    assert len(list(client.fine_tuning.jobs.list_events(job.id, limit=2))) == len(openai_fake.events[job.id])
    assert [one.step_number for one in client.fine_tuning.jobs.checkpoints.list(job.id, limit=1)] == [2, 1]
    (result,) = client.fine_tuning.jobs.retrieve(job.id).result_files
    assert client.files.content(result).read().startswith(b"c3RlcCx0")  # "step,t" in base64
    big = client.uploads.upload_file_chunked(
        file=b"x" * 1000, filename="b.jsonl", bytes=1000, mime_type="text/jsonl", purpose="fine-tune"
    )
    assert client.files.retrieve(big.file.id).bytes == 1000
    for one in list(client.files.list()):
        client.files.delete(one.id)
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


def test_openai_batches(openai_fake):
    client = openai.OpenAI(base_url=f"{openai_fake.url}/v1", api_key=openai_fake.key)
    body = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "hi"}]}
    line = {"custom_id": "0", "method": "POST", "url": "/v1/chat/completions", "body": body}
    file = client.files.create(file=("q.jsonl", io.BytesIO(json.dumps(line).encode() + b"\n")), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"k": "v"}
    )
    while batch.status != "completed":
        batch = client.batches.retrieve(batch.id)
    assert [one.metadata for one in client.batches.list()] == [{"k": "v"}]
    answered = json.loads(client.files.content(batch.output_file_id).text)
    assert answered["response"]["body"]["choices"][0]["message"]["content"] == "hi"


def test_together_takes_what_its_own_client_sends_and_we_send_the_same(home, notes, tmp_path):
    together = pytest.importorskip("together")
    notes.write_openai(tmp_path / "rows.jsonl")
    with serving(TogetherFake()) as fake:
        client = together.Together(api_key=fake.key, base_url=fake.url, max_retries=0)
        file = client.files.upload(tmp_path / "rows.jsonl", check=False)
        while client.files.retrieve(file.id).processing_status != "COMPLETED":
            pass
        assert client.files.upload(tmp_path / "rows.jsonl", check=False).id == file.id  # by its contents
        job = client.fine_tuning.create(
            training_file=file.id, model="Qwen/Qwen3.5-9B", suffix="x", lora=True, lora_r=8, random_seed=1, n_epochs=2,
            lr_scheduler_type="cosine", train_on_inputs=False, max_seq_length=512,
        )  # fmt: skip
        while client.fine_tuning.retrieve(job.id).status != "completed":
            pass
        assert [one.type for one in client.fine_tuning.list_events(job.id).data][-1] == "job_complete"
        assert [one["train/loss"] for one in client.fine_tuning.list_metrics(job.id).metrics] == [1.0, 0.5]
        assert [one.id for one in client.fine_tuning.list().data] == [job.id]
        theirs = _sent(fake, "/v1/fine-tunes"), _forms(fake, "/v1/files")
        fake.calls.clear()
        where = Together("Qwen/Qwen3.5-9B", base_url=fake.url, api_key=fake.key, retry_policy=QUICK)
        recipe = ft.SFT(epochs=2, lr_scheduler_type="cosine", max_length=512, adapter=ft.LoRA(rank=8))
        ft.train(recipe, notes.filter(lambda row: True), backend=where)
        ours = _sent(fake, "/v1/fine-tunes"), _forms(fake, "/v1/files")
    assert _shape(ours[0][0]) <= _shape(theirs[0][0])
    assert not ours[1] or ours[1][0].keys() == theirs[1][0].keys()


def test_fireworks_takes_what_its_own_client_sends_and_we_send_the_same(home, notes, tmp_path):
    client_of = pytest.importorskip("fireworks").Fireworks
    notes.write_openai(tmp_path / "rows.jsonl")
    with serving(FireworksFake()) as fake:
        client = client_of(api_key=fake.key, account_id="acme", base_url=fake.url, max_retries=0)
        client.datasets.create(dataset_id="d", dataset={"user_uploaded": {}, "example_count": "12", "format": "CHAT"})
        assert client.datasets.get("d").state == "UPLOADING"
        client.datasets.upload("d", file=tmp_path / "rows.jsonl")
        assert client.datasets.get("d").state == "READY"
        client.supervised_fine_tuning_jobs.create(
            dataset="accounts/acme/datasets/d", supervised_fine_tuning_job_id="j", display_name="x", epochs=2,
            base_model="accounts/fireworks/models/qwen3-8b", batch_size_samples=4, learning_rate=1e-4, lora_rank=8,
            learning_rate_warmup_steps=1, optimizer_weight_decay=0.0, max_context_length=512,
        )  # fmt: skip
        while (job := client.supervised_fine_tuning_jobs.get("j")).state != "JOB_STATE_COMPLETED":
            pass
        assert job.estimated_cost.units == "3"
        model = job.output_model.rpartition("/")[2]
        urls = client.models.get_download_endpoint(model).filename_to_signed_urls
        assert set(urls) == {"adapter_config.json", "adapter_model.safetensors"}
        theirs = {path: _sent(fake, f"/v1/accounts/acme/{path}") for path in ("datasets", "supervisedFineTuningJobs")}
        fake.calls.clear()
        where = Fireworks("qwen3-8b", account="acme", base_url=fake.url, api_key=fake.key, retry_policy=QUICK)
        recipe = ft.SFT(epochs=2, lr_scheduler_type="cosine", max_length=512, adapter=ft.LoRA(rank=8))
        ft.train(recipe, notes, backend=where)
        for path, sent in theirs.items():
            (ours,) = _sent(fake, f"/v1/accounts/acme/{path}")
            # This field is newer than the client.
            assert _shape(ours) - {("lrScheduler",)} <= _shape(sent[0])


def _sent(fake, path):
    return [call.json() for call in fake.calls if (call.method, call.path) == ("POST", path)]


def _forms(fake, path):
    return [form(call) for call in fake.calls if (call.method, call.path) == ("POST", path)]


def _shape(body, path=()):
    """The names in a body, with those above them."""
    found = {path} if path else set()
    for name, inner in body.items() if isinstance(body, dict) else ():
        found |= _shape(inner, (*path, name))
    return found
