"""Text comes piece by piece and is, together, what decoding at once gives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftkit.inference.detokenizer import Transcript


@pytest.fixture(scope="module")
def decode(tokenizer: Any) -> Any:
    return lambda ids: str(tokenizer.decode(ids, skip_special_tokens=True))


def pieces(transcript: Transcript, ids: list[int]) -> list[str]:
    found = []
    for token in ids:
        found.append(transcript.push(token))
        if transcript.stopped:
            break
    return [*found, transcript.end()]


@settings(max_examples=200, deadline=None)
@given(data=st.data(), ids=st.lists(st.integers(0, 49_151), max_size=40))
def test_any_tokens_make_the_same_text(data, ids, decode):
    assert "".join(pieces(Transcript(decode), ids)) == decode(ids)
    whole = decode(ids)
    at = data.draw(st.integers(0, max(0, len(whole) - 1)))
    stop = whole[at : at + 3]
    if stop and "\N{REPLACEMENT CHARACTER}" not in stop:
        transcript = Transcript(decode, (stop, "never there"))
        assert "".join(pieces(transcript, ids)) == whole[: whole.index(stop)]
        assert transcript.stopped


def test_characters_of_several_tokens_wait_until_they_are_whole(tokenizer, decode):
    text = "Müller isst 🥨, 日本語."
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    found = pieces(Transcript(decode), ids)
    assert "".join(found) == text
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in found)


def test_what_may_become_a_stop_string_waits(tokenizer, decode):
    ids = tokenizer("one STOX two STOP three", add_special_tokens=False)["input_ids"]
    transcript = Transcript(decode, ("STOP",))
    found = pieces(transcript, ids)
    assert "".join(found) == "one STOX two "
    assert transcript.stopped
