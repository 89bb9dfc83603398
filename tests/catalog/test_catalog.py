"""The catalogue answers with dates and prices, and lets the user's rows go first."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from ftkit.catalog import STALE_AFTER_DAYS, Fact, days_until, load_catalog
from ftkit.errors import ConfigError

MINI = "gpt-4.1-mini"
TUNED = "ft:gpt-4.1-mini-2025-04-14:acme::abc"
TODAY = date(2026, 11, 24)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "catalog.toml"


def test_every_fact_has_a_source_on_the_web_and_was_read_before_now() -> None:
    for fact in load_catalog().facts():
        assert fact.source.startswith("https://"), fact
        assert date(2025, 1, 1) < fact.as_of <= date(2026, 11, 30), fact


def test_keys_tell_the_rows_of_a_kind_apart() -> None:
    keys = [(type(fact), fact.key) for fact in load_catalog().facts()]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("name", [MINI, "gpt-4.1-mini-2025-04-14", TUNED])
def test_says_when_the_training_closes_and_when_the_model_stops(name: str) -> None:
    known = load_catalog()
    closes, stops = known.training_closes("openai", name), known.stops("openai", name)
    assert closes is not None
    assert stops is not None
    assert (closes.on, days_until(closes.on, TODAY)) == (date(2027, 1, 6), 43)
    assert (stops.on, days_until(stops.on, TODAY)) == (date(2027, 1, 14), 51)


def test_a_model_that_has_ended_takes_no_training_either() -> None:
    closes = load_catalog().training_closes("openai", "gpt-4.1-nano")
    assert closes is not None
    assert closes.on == date(2026, 10, 23)


def test_azure_trains_a_model_whose_base_it_no_longer_serves() -> None:
    closes = load_catalog().training_closes("azure", "o4-mini-2025-04-16")
    assert closes is not None
    assert (closes.ends, closes.on) == ("training", date(2027, 4, 16))


@pytest.mark.parametrize(
    ("name", "on"),
    [
        ("o3", date(2026, 12, 11)),
        ("gpt-4o-2024-11-20", date(2027, 1, 14)),
        ("ft:gpt-3.5-turbo-0125:acme::abc", date(2026, 10, 23)),
    ],
)
def test_graders_and_older_models_have_their_end(name: str, on: date) -> None:
    stops = load_catalog().stops("openai", name)
    assert stops is not None
    assert stops.on == on


def test_tuned_models_on_azure_outlive_their_base() -> None:
    known = load_catalog()
    tuned, base = known.stops("azure", MINI), known.stops("azure", MINI, tuned=False)
    assert tuned is not None
    assert base is not None
    assert (tuned.on, base.on) == (date(2027, 10, 14), date(2027, 4, 14))
    assert known.stops("azure", "gpt-4.1-mini-2025-04-14.ft-0123abcd") == tuned


def test_prices_to_the_cent() -> None:
    known = load_catalog()
    training = known.training_price("openai", MINI, "sft")
    answers = known.inference_price("openai", TUNED, tuned=True)
    assert training is not None
    assert answers is not None
    assert training.cost(3 * 412_345) == pytest.approx(6.185175)
    assert answers.cost(1_000_000, 1_000_000, 500_000) == pytest.approx(0.4 + 0.1 + 3.2)


def test_prices_by_size_take_the_smallest_band_that_fits_and_minimum_charges_hold() -> None:
    known = load_catalog()
    large = known.training_price("fireworks", "gpt-oss-120b", "dpo")
    small = known.training_price("fireworks", "qwen3-8b", "sft", "full")
    own = known.training_price("together", "Qwen/Qwen3.5-9B", "sft")
    assert large is not None
    assert small is not None
    assert own is not None
    assert (large.per_million_tokens, small.per_million_tokens) == (12.0, 1.0)
    assert own.cost(1_000_000) == 4.0
    assert own.cost(100_000_000) == pytest.approx(34.0)
    assert known.training_price("fireworks", "a-model-of-unknown-size", "sft") is None


def test_training_by_the_hour_has_no_price_for_tokens() -> None:
    price = load_catalog().training_price("openai", "o4-mini", "rft")
    assert price is not None
    assert (price.per_hour, price.cost(1_000)) == (100.0, None)


def test_limits_of_a_method_go_over_those_of_the_provider() -> None:
    limits = load_catalog().limits("openai", "rft")
    assert limits is not None
    assert (limits.min_rows, limits.max_rows, limits.max_file_bytes) == (10, 50_000, 512_000_000)


def test_the_users_rows_change_fields_and_add_rows(own: Path) -> None:
    own.write_text(
        '[[training_price]]\nprovider = "openai"\nmodel = "gpt-4.1-mini-2025-04-14"\nmethods = ["sft", "dpo"]\n'
        'per_million_tokens = 4.0\nsource = "https://example.com/contract"\nas_of = 2026-11-01\n'
        '[[gpu]]\nid = "ours"\nname = "Our own"\nmemory_gib = 48\nper_hour = 0.2\n'
        'source = "https://example.com/rack"\nas_of = 2026-11-01\n'
    )
    known = load_catalog(own)
    price = known.training_price("openai", MINI, "sft")
    gpu = known.gpu("ours")
    assert price is not None
    assert gpu is not None
    assert (price.per_million_tokens, price.source) == (4.0, "https://example.com/contract")
    assert gpu.memory_gib == 48
    assert len(known.gpus) == len(load_catalog().gpus) + 1


def test_a_date_that_was_read_later_replaces_the_one_that_a_host_postponed(own: Path) -> None:
    row = (
        '[[deadline]]\nprovider = "openai"\nmodel = "gpt-4.1-mini-2025-04-14"\nends = "model"\non = 2027-07-14\n'
        'source = "https://example.com/notice"\nas_of = 2026-11-30\n'
    )
    own.write_text(row)
    stops = load_catalog(own).stops("openai", MINI)
    assert stops is not None
    assert stops.on == date(2027, 7, 14)
    own.write_text(row + 'trust = "unsure"\n')
    stops = load_catalog(own).stops("openai", MINI)
    assert stops is not None
    assert stops.on == date(2027, 1, 14)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[gpu]\n", "not valid TOML"),
        ("[[prices]]\na = 1\n", "there is no table 'prices'"),
        ('[[gpu]]\nid = "x"\n', "gpu row 1: source: Field required"),
        ('[[gpu]]\nid = "h100-80gb"\nper_hour = -1\n', "per_hour"),
        ('gpu = ["x"]\n', "a row is a table"),
    ],
)
def test_mistakes_in_the_users_file_are_named(own: Path, text: str, said: str) -> None:
    own.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_catalog(own)


def test_age_is_known() -> None:
    fact = Fact(source="https://example.com", as_of=date(2026, 1, 1))
    assert not fact.is_stale(date(2026, 1, 1 + 10))
    assert fact.age_days(TODAY) > STALE_AFTER_DAYS
    assert fact.is_stale(TODAY)
    assert not load_catalog().stale(date(2025, 12, 31))


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://EU.api.openai.com:443/v1", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://api.openai.com:443/v1", "openai"),
        ("https://acme.openai.azure.com/openai/v1", "azure"),
        ("https://notapi.openai.com.example/v1", "notapi.openai.com.example"),
        ("https://xapi.openai.com/v1", "xapi.openai.com"),
        ("http://user:secret@127.0.0.1:8000/v1", "127.0.0.1:8000"),
        ("http://api.openai.com@127.0.0.1:8000/v1", "127.0.0.1:8000"),
        ("https://gateway.example/openai/v1", "openai"),
        ("https://gateway.example/openaix/v1", "gateway.example"),
        ("https://gateway.example/azure/v1", "azure"),
    ],
)
def test_whose_facts_hold_goes_by_the_address(url: str, provider: str, tmp_path: Path) -> None:
    override = tmp_path / "catalog.toml"
    row = '[[address]]\nprovider = "{0}"\naddress = "gateway.example/{0}"\nsource = "ours"\nas_of = 2026-11-01\n'
    override.write_text(row.format("openai") + row.format("azure"))
    assert load_catalog(override).provider_at(url) == provider


def test_the_file_that_the_variable_names_goes_before_that_of_the_home(tmp_path: Path, monkeypatch) -> None:
    row = '[[gpu]]\nid = "{}"\nname = "Rack"\nmemory_gib = 48\nper_hour = {}\nsource = "ours"\nas_of = 2026-11-01\n'
    monkeypatch.setenv("FTKIT_HOME", str(tmp_path))
    monkeypatch.setenv("FTKIT_CATALOG", str(tmp_path / "more.toml"))
    (tmp_path / "catalog.toml").write_text(row.format("a", 1) + row.format("b", 1))
    (tmp_path / "more.toml").write_text(row.format("b", 2))
    known = load_catalog()
    assert (known.gpu("a").per_hour, known.gpu("b").per_hour) == (1, 2)
