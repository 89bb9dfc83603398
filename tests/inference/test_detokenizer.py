"""Text comes piece by piece and is, together, what decoding at once gives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftkit.inference.detokenizer import IncrementalDetokenizer


@pytest.fixture(scope="module")
def decode(tokenizer: Any) -> Any:
    return lambda ids: str(tokenizer.decode(ids, skip_special_tokens=True))


def pieces(detokenizer: IncrementalDetokenizer, ids: list[int]) -> list[str]:
    found = []
    for token in ids:
        found.append(detokenizer.push(token))
        if detokenizer.stopped:
            break
    return [*found, detokenizer.end()]


@settings(max_examples=200, deadline=None)
@given(data=st.data(), ids=st.lists(st.integers(0, 49_151), max_size=40))
def test_any_tokens_make_the_same_text(data, ids, decode):
    assert "".join(pieces(IncrementalDetokenizer(decode), ids)) == decode(ids)
    whole = decode(ids)
    at = data.draw(st.integers(0, max(0, len(whole) - 1)))
    stop = whole[at : at + 3]
    if stop and "\N{REPLACEMENT CHARACTER}" not in stop:
        detokenizer = IncrementalDetokenizer(decode, (stop, "never there"))
        assert "".join(pieces(detokenizer, ids)) == whole[: whole.index(stop)]
        assert detokenizer.stopped


def test_characters_of_several_tokens_wait_until_they_are_whole(tokenizer, decode):
    text = "Müller isst 🥨, 日本語."
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    found = pieces(IncrementalDetokenizer(decode), ids)
    assert "".join(found) == text
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in found)


def test_what_may_become_a_stop_string_waits(tokenizer, decode):
    ids = tokenizer("one STOX two STOP three", add_special_tokens=False)["input_ids"]
    detokenizer = IncrementalDetokenizer(decode, ("STOP",))
    found = pieces(detokenizer, ids)
    assert "".join(found) == "one STOX two "
    assert detokenizer.stopped
