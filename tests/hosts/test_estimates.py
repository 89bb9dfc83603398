"""What a host itself says that a job will cost: asked once it has the rows, and before the job is created."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import ftkit as ft
from ftkit.backends.fireworks import Fireworks
from ftkit.backends.hosted.backend import HostedBackend
from ftkit.backends.openai_jobs import OpenAIJobs
from ftkit.errors import ConfigError, HostError, RefusedError

from .conftest import QUICK
from .fireworks_host import FireworksFake
from .openai_host import OpenAIFake
from .serving import Fake, serving

Place = tuple[Any, HostedBackend[Any]]


@pytest.fixture(params=["fireworks", "crusoe"])
def place(request, home, monkeypatch):
    """A host that says $3.25 or $2.50, and for Crusoe the catalogue has no price."""
    monkeypatch.setattr("ftkit.runs.run._POLL_S", 0.0)
    fake: Fake = FireworksFake() if request.param == "fireworks" else OpenAIFake()
    fake.provider, fake.spec = request.param, None
    with serving(fake):
        options: dict[str, Any] = {"api_key": fake.key, "retry_policy": QUICK}
        if isinstance(fake, FireworksFake):
            yield fake, Fireworks("qwen3-8b", account="acme", base_url=fake.url, **options)
        else:
            yield fake, OpenAIJobs("a-model", profile="crusoe", base_url=f"{fake.url}/v1", **options)


def _asked(fake: Any) -> list[str]:
    return [call.path for call in fake.calls if "estimate" in call.path]


def _left(fake: Any) -> dict[str, Any]:
    return fake.datasets if isinstance(fake, FireworksFake) else fake.files


def test_what_the_host_says_is_held_to_max_cost_before_the_job_is_created(place: Place, notes: ft.Dataset) -> None:
    fake, where = place
    with pytest.raises(RefusedError, match=r"max_cost is \$2, and the host itself estimates \$\d\.\d\d\. No job"):
        ft.train(ft.SFT(epochs=1), notes, backend=where, max_cost=2.0)
    assert (len(_asked(fake)), fake.jobs, _left(fake)) == (1, {}, {})
    assert ft.runs.all()[0].state == "failed"
    run = ft.train(ft.SFT(epochs=1), notes, backend=where, max_cost=3.5).wait(progress=False)
    assert run.state == "succeeded"
    (told,) = [event.data["estimated_usd"] for event in run.events() if "estimated_usd" in event.data]
    assert told in (3.25, 2.5)


def test_a_plan_sends_nothing_and_says_when_the_host_is_asked(place: Place, notes: ft.Dataset) -> None:
    fake, where = place
    assert "needs the uploaded rows: ft.train asks for it before the job is created" in str(
        ft.plan(ft.SFT(), notes, where)
    )
    assert {call.method for call in fake.calls} <= {"GET"}


def _nothing(fake: Any) -> None:
    fake.estimate, fake.price = None, None


def _broken(fake: Any) -> None:
    fake.fault = lambda call: "500_before" if "estimate" in call.path else None


@pytest.mark.parametrize("silent", [_nothing, _broken])
def test_where_the_host_says_nothing_the_catalogue_decides(
    place: Place, notes: ft.Dataset, silent: Callable[[Any], None]
) -> None:
    fake, where = place
    silent(fake)
    if where.name == "fireworks":  # whose prices are in the catalogue
        assert ft.train(ft.SFT(epochs=1), notes, backend=where, max_cost=2.0).wait(progress=False).state == "succeeded"
        return
    with pytest.raises(RefusedError, match="the catalogue has none, and the host's own estimate is missing: "):
        ft.train(ft.SFT(epochs=1), notes, backend=where, max_cost=2.0)
    assert (fake.jobs, _left(fake)) == ({}, {})
    assert ft.train(ft.SFT(epochs=1), notes, backend=where).wait(progress=False).state == "succeeded"


def test_what_no_recipe_says_goes_along_and_is_kept_with_the_run(
    openai_fake: OpenAIFake, openai_jobs: OpenAIJobs, notes: ft.Dataset
) -> None:
    more = {
        "method": {"supervised": {"hyperparameters": {"learning_rate_multiplier": 0.5}}},
        "trainingType": "Standard",
    }
    told: dict[str, Any] = {"base_url": f"{openai_fake.url}/v1", "api_key": openai_fake.key, "retry_policy": QUICK}
    openai_fake.fault = lambda call: "503_text"
    with pytest.raises(HostError):
        ft.train(ft.SFT(epochs=2), notes, backend=OpenAIJobs("gpt-4.1-mini", extra=more, **told))
    openai_fake.fault = lambda call: None
    again = ft.runs.get(ft.runs.all()[0].id)
    again._backend = openai_jobs  # as another process makes it, from the run's record alone
    assert again.resume().wait(progress=False).state == "succeeded"
    (job,) = openai_fake.jobs.values()
    assert job["trainingType"] == "Standard"
    asked = job["method"]["supervised"]["hyperparameters"]
    assert (asked["n_epochs"], asked["learning_rate_multiplier"]) == (2, 0.5)


def test_what_cannot_be_sent_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="extra is no plain JSON data"):
        OpenAIJobs("m", api_key="k", extra={"at": object()})
