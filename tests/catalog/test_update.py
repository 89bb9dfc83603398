"""``ftkit catalog update``: LiteLLM's price map and rows of one's own kind, dated, bounded, never over a user's row."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ftkit.catalog import load_catalog
from ftkit.catalog.update import update_catalog
from ftkit.cli.app import app
from ftkit.errors import ConfigError

TODAY = date(2026, 11, 30)
URL = "https://example.com/prices.json"

MAP: dict[str, Any] = {
    "sample_spec": {"litellm_provider": "one of https://docs.litellm.ai", "mode": "one of: chat", "max_tokens": "all"},
    "gpt-4.1-mini": {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 4e-7,
        "output_cost_per_token": 1.6e-6,
        "cache_read_input_token_cost": 1e-7,
        "deprecation_date": "2027-01-14",
    },
    "gpt-6-luna": {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 2e-7,
        "output_cost_per_token": 5e-7,
        "input_cost_per_token_above_272k_tokens": 4e-7,
        "output_cost_per_token_above_272k_tokens": 7.5e-7,
    },
    "gpt-9": {
        "litellm_provider": "openai",
        "mode": "responses",
        "input_cost_per_token": 1e-6,
        "output_cost_per_token": 2e-6,
        "output_cost_per_reasoning_token": 3e-6,
        "input_cost_per_token_batches": 5e-7,
        "output_cost_per_token_batches": 1e-6,
        "deprecation_date": "2028-02-03",
    },
    "ft:gpt-9": {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 2e-6,
        "output_cost_per_token": 4e-6,
    },
    "together_ai/x/y": {
        "litellm_provider": "together_ai",
        "mode": "chat",
        "input_cost_per_token": 1e-7,
        "output_cost_per_token": 1e-7,
    },
    "dall-e": {"litellm_provider": "openai", "mode": "image_generation", "input_cost_per_pixel": 1e-8},
    "other": {"litellm_provider": "replicate", "mode": "chat", "input_cost_per_token": 1, "output_cost_per_token": 1},
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FTKIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FTKIT_CATALOG", raising=False)
    return tmp_path / "home"


def write(tmp_path: Path, content: Any) -> str:
    path = tmp_path / "map.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def update(tmp_path: Path, content: Any = MAP, **options: Any) -> Any:
    options = {"source": URL, "as_of": TODAY, "today": TODAY} | options
    return update_catalog(write(tmp_path, content), **options)


def test_prices_and_dates_of_a_price_map(tmp_path: Path) -> None:
    done = update(tmp_path)
    # gpt-9: two prices, its tuned price and its date; together's model
    assert (done.added, done.changed, done.problems) == (5, 1, ())
    assert done.agreeing == 2  # the price and the date of gpt-4.1-mini
    known = load_catalog()
    new = known.inference_price("openai", "gpt-9", tuned=False)
    assert (new.input, new.output, new.reasoning, new.trust) == (1.0, 2.0, 3.0, "secondary")
    assert (new.source, new.as_of) == (URL, TODAY)
    assert known.inference_price("openai", "gpt-9", tuned=False, batch=True).input == 0.5
    assert known.inference_price("openai", "ft:gpt-9:acme::x", tuned=True).output == 4.0
    assert known.inference_price("together", "x/y", tuned=False).input == 0.1
    assert known.stops("openai", "gpt-9", tuned=False).on == date(2028, 2, 3)
    kept = known.inference_price("openai", "gpt-4.1-mini", tuned=False)
    assert kept.trust == "primary"


def test_a_price_that_differs_is_unsure_and_shows_both_readings(tmp_path: Path) -> None:
    done = update(tmp_path)
    price = load_catalog().inference_price("openai", "gpt-6-luna", tuned=False)
    assert (price.input, price.output, price.cached_input) == (0.2, 0.5, 0.01)
    assert price.trust == "unsure"
    assert "input 0.2 (https://example.com/prices.json, 2026-11-30) or input 0.1 (https://dev" in price.disagreement
    assert done.disagreements[0].startswith("openai gpt-6-luna: sources disagree")
    shown = CliRunner().invoke(app, ["catalog", "openai", "gpt-6-luna"])
    assert "sources disagree: input 0.2" in shown.stdout
    assert "0.20/0.50 ?" in CliRunner().invoke(app, ["catalog", "openai"]).stdout
    again = update(tmp_path)
    assert (again.added, again.changed) == (0, 0)
    assert load_catalog().inference_price("openai", "gpt-6-luna", tuned=False) == price


def test_a_users_row_wins_before_and_after(tmp_path: Path, home: Path) -> None:
    home.mkdir(exist_ok=True)
    own = '[[inference_price]]\nprovider = "openai"\nmodel = "gpt-9"\ntuned = false\ninput = 7\noutput = 8\n'
    (home / "catalog.toml").write_text(own + 'source = "ours"\nas_of = 2026-01-01\n')
    assert update(tmp_path).overridden == 1
    price = load_catalog().inference_price("openai", "gpt-9", tuned=False)
    assert (price.input, price.source) == (7.0, "ours")


def test_an_older_map_changes_nothing_and_a_newer_one_does(tmp_path: Path) -> None:
    update(tmp_path)
    dear = {"gpt-9": MAP["gpt-9"] | {"input_cost_per_token": 9e-6}}
    done = update(tmp_path, dear, as_of=date(2026, 10, 1))
    assert (done.older, done.changed) == (1, 0)
    assert load_catalog().inference_price("openai", "gpt-9", tuned=False).input == 1.0
    assert update(tmp_path, dear).changed == 1
    price = load_catalog().inference_price("openai", "gpt-9", tuned=False)
    assert (price.input, price.reasoning) == (9.0, 3.0)


def test_rows_in_the_form_of_the_catalogue(tmp_path: Path) -> None:
    row = '[[gpu]]\nid = "ours"\nname = "Rack"\nmemory_gib = 48\nper_hour = 0.2\n'
    with pytest.raises(ConfigError, match=r"source: Field required; as_of: Field required. Every fact needs"):
        update(tmp_path, row)
    done = update(tmp_path, row + 'source = "https://example.com/rack"\nas_of = 2026-11-01\n')
    assert done.added == 1
    assert load_catalog().gpu("ours").per_hour == 0.2
    with pytest.raises(ConfigError, match="the date 2027-01-01 is in the future"):
        update(tmp_path, row + 'source = "https://example.com/rack"\nas_of = 2027-01-01\n')


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (MAP, {"source": None}, "is a price map, whose prices name no date"),
        (MAP, {"as_of": None}, "is a price map, whose prices name no date"),
        (MAP, {"as_of": date(2026, 12, 1)}, "is in the future"),
        ("[1, 2]", {}, "neither LiteLLM's price map"),
        ("{}", {}, "neither LiteLLM's price map"),
        ("[" * 100_000, {}, "neither LiteLLM's price map"),
        ("[[prices]]\na = 1\n", {}, "there is no table 'prices'"),
        ("gpu = [1]\n", {}, "a row is a table"),
    ],
)
def test_what_cannot_be_read_is_named_and_changes_nothing(tmp_path, home, content, options, said) -> None:
    with pytest.raises(ConfigError, match=said):
        update(tmp_path, content, **options)
    assert not (home / "catalog-updates.json").exists()


@pytest.mark.parametrize("price", ["nan", "inf", "-inf", "-1", "1e300", "1e6", "true", "'1'", "9" * 400, "9" * 5000])
def test_prices_of_rows_are_numbers_that_can_be_believed(tmp_path: Path, home: Path, price: str) -> None:
    row = (
        f'[[gpu]]\nid = "ours"\nname = "Rack"\nmemory_gib = 48\nsource = "s"\nas_of = 2026-11-01\nper_hour = {price}\n'
    )
    if price in ("true", "'1'"):
        row = row.replace("memory_gib = 48", f"memory_gib = {'9' * 20}")
    with pytest.raises(ConfigError):
        update(tmp_path, row)
    assert not (home / "catalog-updates.json").exists()
    home.mkdir(exist_ok=True)
    (home / "catalog.toml").write_text(row)
    with pytest.raises(ConfigError, match=r"catalog\.toml"):
        load_catalog()


@pytest.mark.parametrize(
    "wrong", [True, "1e-6", float("nan"), -1e-6, 5.0, [1], 1e300, float("inf"), 10**400, -(10**400)]
)
def test_an_entry_with_a_wrong_price_is_left_out_by_name(tmp_path: Path, wrong: Any) -> None:
    done = update(tmp_path, MAP | {"gpt-10": MAP["gpt-9"] | {"input_cost_per_token": wrong}})
    assert len(done.problems) == 1
    assert "gpt-10" in done.problems[0]
    assert load_catalog().inference_price("openai", "gpt-10", tuned=False) is None


def test_hostile_names_and_sizes(tmp_path: Path) -> None:
    price = MAP["gpt-9"]
    done = update(tmp_path, MAP | {"a" * 1000: price, "\x1b[31m": price, "x": 3, "y": None})
    assert len(done.problems) == 2
    big = tmp_path / "big.json"
    with big.open("wb") as file:
        file.truncate(17 * 1024 * 1024)
    with pytest.raises(ConfigError, match="cannot be read"):
        update_catalog(str(big))
    with pytest.raises(ConfigError, match="cannot be read"):
        update_catalog(str(tmp_path / "nowhere.json"))


def test_a_damaged_file_of_updates_says_what_to_do(tmp_path: Path, home: Path) -> None:
    update(tmp_path)
    (home / "catalog-updates.json").write_text('{"gpu": [{"id": 1}]}')
    with pytest.raises(ConfigError, match="delete it, and run `ftkit catalog update` again"):
        load_catalog()


def test_facts_of_a_user_need_a_source_and_a_date(tmp_path: Path) -> None:
    own = tmp_path / "catalog.toml"
    own.write_text('[[gpu]]\nid = "h100-80gb"\nper_hour = 1.0\n')
    with pytest.raises(ConfigError, match="Every fact needs a source"):
        load_catalog(own)
    own.write_text('[[gpu]]\nid = "h100-80gb"\nper_hour = 1.0\nsource = ""\nas_of = 2026-11-01\n')
    with pytest.raises(ConfigError, match="source: String should have at least 1 character"):
        load_catalog(own)
    own.write_text('[[gpu]]\nid = "rtx4090-24gb"\nper_hour = 1.0\nsource = "ours"\nas_of = 2026-11-01\n')
    gpu = load_catalog(own).gpu("rtx4090-24gb")
    assert (gpu.memory_gib, gpu.trust, gpu.note) == (24, "primary", "")  # said of the other source


@contextmanager
def serving(replies: dict[str, tuple[int, dict[str, str], bytes]]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

        def do_GET(self) -> None:
            status, headers, body = replies[self.path]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_an_address_is_read_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("httpx")
    monkeypatch.setattr("ftkit.catalog.update._MAX_BYTES", 100_000)
    replies = {
        "/map.json": (200, {}, json.dumps(MAP).encode()),
        "/moved": (302, {"location": "/map.json"}, b""),
        "/away": (302, {"location": "http://example.com/map.json"}, b""),
        "/round": (302, {"location": "/round"}, b""),
        "/big": (200, {}, b" " * 200_000),
        "/none": (404, {}, b""),
        "/bytes": (200, {}, b"\xff\xfe"),
        "/gzip": (200, {"content-encoding": "gzip"}, gzip.compress(json.dumps(MAP).encode())),
        "/cut": (200, {"content-encoding": "gzip"}, gzip.compress(json.dumps(MAP).encode())[:-20]),
        "/torn": (200, {"content-encoding": "gzip"}, b"no gzip"),
        "/bomb": (200, {"content-encoding": "gzip"}, gzip.compress(b" " * 50_000_000)),
        "/twice": (200, {"content-encoding": "gzip, gzip"}, gzip.compress(gzip.compress(b" " * 50_000_000))),
        "/zstd": (200, {"content-encoding": "zstd"}, b"x"),
    }
    with serving(replies) as url:
        done = CliRunner().invoke(app, ["catalog", "update", f"{url}/moved"])
        assert done.exit_code == 0, done.output
        assert "5 rows added, 1 changed, 2 agree with the catalogue" in done.stdout
        assert "sources disagree" in done.stderr
        assert load_catalog().inference_price("openai", "gpt-9", tuned=False).source == f"{url}/moved"
        assert update_catalog(f"{url}/gzip").agreeing > 0
        for path, said in {
            "/away": "over https:// only",
            "/round": "more than 5 redirects",
            "/big": "larger than",
            "/none": "the server answered 404",
            "/bytes": "not UTF-8",
            "/cut": "ended in the middle",
            "/torn": "cannot be expanded",
            "/bomb": "larger than",
            "/twice": "compressed as 'gzip, gzip'",
            "/zstd": "compressed as 'zstd'",
        }.items():
            with pytest.raises(ConfigError, match=said):
                update_catalog(url + path)
    with pytest.raises(ConfigError, match="over https:// only"):
        update_catalog("http://example.com/map.json")
    with pytest.raises(ConfigError, match="over https:// only"):
        update_catalog("file:///etc/passwd")
    with pytest.raises(ConfigError, match="a user name or a password"):
        update_catalog("https://me:secret@example.com/map.json")


@pytest.mark.parametrize("source", ["my notes", "ftp://example.com/x", "https://", "https://[", ""])
def test_a_source_is_an_address(tmp_path: Path, source: str) -> None:
    with pytest.raises(ConfigError, match="is no address; write e"):
        update(tmp_path, source=source, as_of=date(2026, 11, 1))
