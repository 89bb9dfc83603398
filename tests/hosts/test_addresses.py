"""Prices, limits and dates are those of the address that is asked, whatever the backend and the model are called."""

from __future__ import annotations

import pytest

import ftkit as ft
from ftkit.backends.openai_jobs import OpenAIJobs
from ftkit.errors import RefusedError
from ftkit.evaluation import estimate_cost

from .conftest import QUICK


@pytest.fixture
def own_server(openai_fake, monkeypatch):
    """One's own server, whose model is called as OpenAI's is."""
    monkeypatch.delenv("FTKIT_CATALOG")
    monkeypatch.setattr("ftkit.runs.run._POLL_S", 0.0)
    name, url = "gpt-4.1-mini-2025-04-14", f"{openai_fake.url}/v1"
    return OpenAIJobs(name, base_url=url, api_key=openai_fake.key, retry_policy=QUICK)


def test_a_model_called_as_openais_elsewhere_has_none_of_its_prices_dates_and_limits(own_server, notes, home):
    few = notes.take(3)  # OpenAI takes ten rows at least
    found = own_server.quote(ft.SFT(epochs=1), few)
    assert (found.training_usd, found.usd_per_1000_predictions, found.hosting_usd_per_hour) == (None, None, None)
    assert (found.training_closes, found.stops_answering, found.replacement) == (None, None, None)
    assert "the catalogue says nothing of 127.0.0.1:" in found.unlisted
    plan = str(ft.plan(ft.SFT(epochs=1), few, own_server))
    assert "prices, limits and dates are not known" in plan
    assert "2027" not in plan
    with pytest.raises(RefusedError, match="is not known: prices, limits and dates are not known"):
        ft.train(ft.SFT(epochs=1), few, backend=own_server, max_cost=5.0)
    assert not ft.lint(few, backends=own_server, select=["H"]).findings

    run = ft.train(ft.SFT(epochs=1), notes, backend=own_server).wait(progress=False)
    assert run.record.summary["trained_tokens"]
    assert run.record.summary["cost_usd"] is None
    model = ft.Model(own_server, notes.task)
    assert estimate_cost(model, notes).total_usd is None
    assert "stops" not in str(estimate_cost(model, notes))
    report = ft.evaluate(model, notes, probes=None, progress=False)
    assert report.cost.total_usd is None
    assert f"no price is known for this model at {own_server.url()}" in report.cost.source


def test_what_ones_own_server_charges_can_be_said(own_server, notes, home):
    home.mkdir(exist_ok=True)
    place = own_server.url().removeprefix("http://").removesuffix("/v1")
    row = f'provider = "{place}"\nmodel = "{own_server.model}"\nsource = "https://example.com"\nas_of = 2026-11-01\n'
    (home / "catalog.toml").write_text(
        f'[[training_price]]\n{row}methods = ["sft"]\nper_million_tokens = 1.0\n'
        f"[[inference_price]]\n{row}tuned = false\ninput = 1.0\noutput = 2.0\n"
    )
    found = own_server.quote(ft.SFT(epochs=1), notes)
    assert found.training_usd == pytest.approx(found.tokens_per_epoch / 1e6)
    assert (found.unlisted, found.stops_answering) == (None, None)
    report = ft.evaluate(ft.Model(own_server, notes.task), notes, probes=None, progress=False)
    paid = sum(row.input_tokens + 2 * row.output_tokens for row in report.rows) / 1e6
    assert report.cost.total_usd == pytest.approx(paid)


def test_the_variable_that_moves_openais_address_moves_lints_limits_too(notes, monkeypatch, home):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert not ft.lint(notes.take(3), backends="openai:gpt-4.1-mini", select=["H"]).findings
    monkeypatch.delenv("OPENAI_BASE_URL")
    assert [one.code for one in ft.lint(notes.take(3), backends="openai:gpt-4.1-mini", select=["H"]).findings] == [
        "H001"
    ]
