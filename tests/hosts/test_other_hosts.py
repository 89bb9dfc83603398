"""Together and Fireworks: the same life of a run, their own words on the wire."""

from __future__ import annotations

import re
from typing import get_args

import pytest

import ftkit as ft
from ftkit.backends.fireworks import Fireworks
from ftkit.backends.together import Together
from ftkit.errors import HostError, RefusedError, RunError

from .conftest import QUICK
from .fireworks_host import FireworksFake
from .serving import Fault, serving
from .together_host import TogetherFake


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("ftkit.runs.run._POLL_S", 0.0)


@pytest.fixture
def together(home):
    with serving(TogetherFake()) as fake:
        yield fake, Together("Qwen/Qwen3.5-9B", base_url=f"{fake.url}/v1", api_key=fake.key, retry_policy=QUICK)


@pytest.fixture
def fireworks(home):
    with serving(FireworksFake()) as fake:
        yield fake, Fireworks("qwen3-8b", account="acme", base_url=fake.url, api_key=fake.key, retry_policy=QUICK)


@pytest.fixture
def pairs():
    task = ft.Task("Be kind.", input="{text}")
    rows = [{"text": f"case {number}", "good": "Gladly.", "bad": "No."} for number in range(12)]
    return ft.Dataset.from_rows(rows, task, chosen="good", rejected="bad")


def test_together_trains_and_gives_the_weights_out(together, notes, tmp_path):
    fake, where = together
    run = ft.train(ft.SFT(epochs=2, adapter=ft.QLoRA(rank=8)), notes, backend=where).wait(progress=False)
    (job,) = fake.jobs.values()
    assert job["training_type"] == {
        "type": "Lora", "lora_r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "lora_trainable_modules": "all-linear",
    }  # fmt: skip
    assert [step["loss"] for step in run.metrics] == [1.0, 0.5]
    assert [event.data["estimated_usd"] for event in run.events() if "estimated_usd" in event.data] == [6.8]
    assert run.record.summary["tuned_model"] == job["model_output_name"]
    assert run.record.summary["cost_usd"] == pytest.approx(20 * 0.34)
    run.download(tmp_path / "weights")
    assert {file.name for file in (tmp_path / "weights").iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "ftkit.json",
    }  # fmt: skip


def test_a_fraction_of_alpha_is_refused_by_hosts_that_take_whole_numbers(together, notes):
    fake, where = together
    for alpha in (0.5, 24.5):
        with pytest.raises(RefusedError, match="whole number") as caught:
            ft.train(ft.SFT(adapter=ft.LoRA(rank=8, lora_alpha=alpha)), notes, backend=where)
        assert caught.value.fields == ("adapter.lora_alpha",)
    assert not fake.jobs


def test_a_job_that_fireworks_paused_is_said_to_be_paused_and_resumes(fireworks, notes):
    fake, where = fireworks
    run = ft.train(ft.SFT(epochs=1), notes, backend=where)
    (job,) = fake.jobs.values()
    job["state"] = "JOB_STATE_PAUSED"  # at the host's own site
    where.poll_schedule.reset()
    assert run.state == "running"
    assert run.record.handle["paused"]
    assert run.resume().wait(progress=False).state == "succeeded"


def test_together_charges_for_evaluations(together, notes):
    _, where = together
    alone, validated = (where.quote(ft.SFT(epochs=1), notes, rows) for rows in (None, notes))
    assert not any("evaluations" in note for note in alone.notes)
    assert any(f"{10 * alone.tokens_per_epoch:,} tokens for 10 evaluations of 12" in note for note in validated.notes)


def test_together_takes_preferences(together, pairs):
    fake, where = together
    ft.train(ft.DPO(beta=0.2, loss_type="sigmoid_norm"), pairs, backend=where).wait(progress=False)
    (job,) = fake.jobs.values()
    assert job["training_method"] == {
        "method": "dpo", "dpo_beta": 0.2, "dpo_normalize_logratios_by_length": True,
    }  # fmt: skip


def test_rows_that_together_refuses_end_the_run_and_are_removed(together, notes):
    fake, where = together
    fake.invalid = "line 3: no messages"
    with pytest.raises(HostError, match="line 3: no messages"):
        ft.train(ft.SFT(), notes, backend=where)
    assert fake.files == {}
    assert ft.runs.all()[0].state == "failed"


def test_what_the_account_may_not_spend_is_refused_before_the_job(together, notes):
    fake, where = together
    fake.estimate |= {"allowed_to_proceed": False, "user_limit": 5}
    with pytest.raises(HostError, match=r"estimated at \$6\.8, and the account may spend \$5; add credit"):
        ft.train(ft.SFT(), notes, backend=where)
    assert (fake.files, fake.jobs) == ({}, {})
    fake.estimate = {"estimation_available": False, "unavailable_reason": "multimodal_dataset"}
    assert ft.train(ft.SFT(), notes, backend=where).wait(progress=False).state == "succeeded"


def test_ranks_above_the_models_limit_are_refusal_error(together, notes):
    with pytest.raises(RefusedError, match="up to rank 64"):
        ft.train(ft.SFT(adapter=ft.LoRA(rank=128)), notes, backend=together[1])


def test_fireworks_trains(fireworks, notes, pairs):
    fake, where = fireworks
    run = ft.train(ft.SFT(epochs=2, warmup_ratio=0.5), notes, backend=where).wait(progress=False)
    assert run.record.summary["tuned_model"].startswith("accounts/acme/models/ftkit-")
    assert run.record.summary["cost_usd"] == 3.25
    (job,) = fake.jobs.values()
    assert job["baseModel"] == "accounts/fireworks/models/qwen3-8b"
    assert job["learningRateWarmupSteps"] == 3
    ft.train(ft.DPO(beta=0.2), pairs, backend=where).wait(progress=False)
    preferences = next(job for name, job in fake.jobs.items() if "dpoJobs" in name)
    assert preferences["lossConfig"] == {"method": "DPO", "dpo": {"beta": 0.2}}
    with pytest.raises(RefusedError, match="a beta below"):
        ft.train(ft.DPO(beta=0.5), pairs, backend=where)


@pytest.mark.parametrize("place", ["together", "fireworks"])
@pytest.mark.parametrize("fault", get_args(Fault))
def test_jobs_are_created_once_whatever_fails(place, fault, request, notes):
    fake, where = request.getfixturevalue(place)
    seen: set[tuple[str, str]] = set()

    def once(call):
        place = (call.method, re.sub(r"\d+$", "", call.path))  # each try at Together is told another place
        new = place not in seen
        seen.add(place)
        return fault if new else None

    fake.fault = once
    assert ft.train(ft.SFT(), notes, backend=where).wait(progress=False).state == "succeeded"
    assert len(fake.jobs) == 1


def test_what_was_stopped_goes_on_at_fireworks_and_not_at_together(fireworks, together, notes):
    fake, where = fireworks
    run = ft.train(ft.SFT(), notes, backend=where)
    run.cancel()
    assert run.resume().wait(progress=False).state == "succeeded"
    assert len(fake.jobs) == 1
    run = ft.train(ft.SFT(), notes, backend=together[1]).cancel()
    with pytest.raises(RunError, match="cannot resume jobs"):
        run.resume()
    assert run.state == "cancelled"


@pytest.mark.parametrize("place", ["together", "fireworks"])
def test_cancelling(place, request, notes):
    fake, where = request.getfixturevalue(place)
    run = ft.train(ft.SFT(), notes, backend=where)
    assert run.cancel().state == "cancelled"
    (job,) = fake.jobs.values()
    assert "cancel" in (job.get("status") or job.get("state")).lower()
