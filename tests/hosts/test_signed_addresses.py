"""Addresses that hosts and trackers give: what is not used of them, and what is not shown."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from ftkit.backends.hosted.http import Http
from ftkit.backends.hosted.redaction import redact
from ftkit.errors import HostError
from ftkit.printable import public_address


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("http://files.example/w", "without encryption"),
        ("ftp://files.example/w", "without encryption"),
        ("https://127.0.0.1/w", "inside of this network"),
        ("https://[::1]:8443/w", "inside of this network"),
        ("https://169.254.169.254/latest/meta-data", "inside of this network"),
        ("https://10.0.0.8/admin", "inside of this network"),
        ("https://localhost/w", "inside of this network"),
        ("https://[::1", "no complete response|did not reach"),
        ("https://files.example:port/w", "no complete response|did not reach"),
    ],
)
@pytest.mark.parametrize("redirected", [False, True])
def test_signed_addresses_lead_to_where_files_are(address: str, problem: str, redirected: bool, tmp_path: Path) -> None:
    http = Http("together", "https://host.example/v1", "k" * 20)
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"location": address})

    http._client_without_key._transport = httpx.MockTransport(answer)
    with pytest.raises(HostError, match=problem):
        http.download_signed("downloading", "https://files.example/w" if redirected else address, tmp_path / "w")
    assert asked == ["https://files.example/w"] * redirected
    if not redirected:
        (tmp_path / "rows").write_text("{}")
        with pytest.raises(HostError, match=problem):
            http.put_signed("uploading", address, tmp_path / "rows")
        assert asked == []


def test_an_address_is_shown_without_what_opens_it() -> None:
    said = "run 7 at https://ann:pw-12345@host.example/a?apiKey=secret#/runs/7 and postgresql://u:p@db/x"
    assert public_address(said) == "run 7 at https://host.example/a#/runs/7 and postgresql://db/x"
    assert public_address("run 7 in file:///home/ann/mlruns") == "run 7 in file:///home/ann/mlruns"
    assert redact("token hf_abcDEF1234567 was wrong") == "token [key] was wrong"
