"""Personal data and invisible characters: what is reported, and what only resembles it."""

from __future__ import annotations

from typing import Any

import pytest

import ftkit as ft


@pytest.mark.parametrize(
    "text",
    [
        "+49 30 1234567",
        "+49 (0)30 1234567",
        "+1 (212) 555-0123",
        "+1.212.555.0123",
        "+44 20 7946 0958",
        "+4915112345678",
        "+33 6 12 34 56 78",
        "(212) 555-0123",
        "212-555-0123",
        "212.555.0123",
    ],
)
def test_a_phone_number_is_found(chats: Any, text: str) -> None:
    report = ft.lint(chats((f"Call me at {text}, please.", "a")), select=["S002"])
    assert [found.message for found in report["S002"]] == ["contains a phone number"]


@pytest.mark.parametrize(
    "text",
    [
        "drift +22.505 s",
        "Lat +40.7128",
        "Lat +40.7128 -74.0060",
        "+40.712776 +74.005974",
        "offset +1000000 units",
        "+0.000123456",
        "gain of +12 to +15 dB",
        "+22 505 123.5 m",
        "score +100 200",
        "+1234567890123456789",
        "+1.234.567 people",
        "+1 234 567 EUR",
        "+12345678 points",
        "+2026-11-24T10:00",
        "100-200-3000 cells",
        "steps 250.100.5000",
    ],
)
def test_a_measurement_is_no_phone_number(chats: Any, text: str) -> None:
    assert not ft.lint(chats((f"{text}, he said", "a")), select=["S002"]).findings


def test_an_email_address_is_found_wherever_it_is(chats: Any) -> None:
    for text in ("write to anna.b+c@mail.firm.org.", "x" * 200 + " anna@firm.org", "<anna@firm.org>", "-anna@firm.org"):
        assert len(ft.lint(chats((text, "a")), select=["S002"])["S002"]) == 1, text


def test_direction_marks_belong_to_right_to_left_scripts(chats: Any) -> None:
    persian, hebrew, latin = "می‌خواهم\u200f ۵ کتاب", "שלום\u200f (a)", "Anna\u200f Lee"
    report = ft.lint(chats((persian, "a"), (hebrew, "a"), (latin, "a"), (persian + "\u200b", "a")), select=["S005"])
    assert [(found.line, found.message) for found in report["S005"]] == [
        (3, "contains the invisible character U+200F"),
        (4, "contains the invisible character U+200B"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        *("git@github.com:org/repo.git", "icon@2x.png", "npm i react@18.2.0-rc", "https://anna:pass@firm.org/x"),
        *("ftp://user@host.firm.org", "anna@Example.com"),
    ],
)
def test_an_at_sign_is_not_always_an_address(chats: Any, text: str) -> None:
    assert not ft.lint(chats((f"see {text} now", "a")), select=["S002"]).findings


@pytest.mark.parametrize("text", ["li@163.com", "mailto:anna@firm.org", "anna@firm.md", "a.b@firm.co.uk"])
def test_an_unusual_address_is_found(chats: Any, text: str) -> None:
    assert len(ft.lint(chats((f"see {text} now", "a")), select=["S002"])["S002"]) == 1


def test_invisible_characters_that_a_script_needs_are_allowed(chats: Any) -> None:
    flag = "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in "gbsct") + "\U000e007f"
    allowed = ["ສະບາຍ\u200bດີ", "\u2067שלום\u2069 (a)", f"Scotland {flag}"]
    refused = ["Anna\u200bLee", "\u2067Anna\u2069", "שלום \u202eabc", "hidden \U000e0061\U000e0062"]
    report = ft.lint(chats(*((text, "a") for text in (*allowed, *refused))), select=["S005"])
    assert [found.line for found in report["S005"]] == [4, 5, 6, 7]


def test_a_social_security_number_is_found(chats: Any) -> None:
    assert len(ft.lint(chats(("my number is 219-09-9999", "a")), select=["S002"])["S002"]) == 1


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("Anthropic Key", f"sk-ant-api03-{'aB3_-' * 19}"),
        ("Google API Key", f"AIza{'Sy0-_' * 7}"),
        ("Groq Key", f"gsk_{'a1B2' * 13}"),
        ("Hugging Face Token", f"hf_{'aBcDe' * 7}"[:37]),
        ("Langfuse Key", "sk-lf-0a1b2c3d-0000-1111-2222-0a1b2c3d4e5f"),
        ("LangSmith Key", f"lsv2_pt_{'0a' * 16}_{'1b' * 5}"),
        ("OpenRouter Key", f"sk-or-v1-{'0a' * 32}"),
        ("xAI Key", f"xai-{'a1B2' * 20}"),
    ],
)
def test_keys_of_hosts_and_tracing_tools_are_secrets(chats: Any, kind: str, key: str) -> None:
    report = ft.lint(
        chats((f"my key is {key}.", "a"), ("hf_transfer, sk-ant-api, AIza and xai-org", "b")), select=["S001"]
    )
    assert [found.message for found in report["S001"] if kind in found.message] == [f"looks like a secret: {kind}"]
    assert len({found.row for found in report["S001"]}) == 1
