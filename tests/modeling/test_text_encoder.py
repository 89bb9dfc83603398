"""The fast encoding gives the tokenizer's own ids."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ftkit.modeling import text_encoder
from ftkit.modeling.text_encoder import TextEncoder

PARTS = st.sampled_from(
    [
        "<|im_start|>",
        "<|im_end|>",
        "<|im_",
        "end|>",
        "system\n",
        " ",
        "\n",
        "  Zoë",
        "don't ",
        "1234",
        "naïve",
        "日本",
        "e\u0301",
    ]
)
TEXTS = st.lists(st.one_of(PARTS, st.text(max_size=12)), max_size=12).map("".join)


def own_ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the comparison, which would hide a wrong segmentation."""
    monkeypatch.setattr(text_encoder, "_COMPARED_TEXTS", 0)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS)
def test_segments_give_the_ids_of_the_whole(tokenizer: Any, trusting: None, text: str) -> None:
    encoder = TextEncoder(tokenizer)
    assert encoder._split is not None
    ids = encoder.encode(text)
    assert ids.dtype == np.int32
    assert ids.tolist() == own_ids(tokenizer, text)


def test_a_repeated_segment_is_encoded_once(tokenizer: Any, trusting: None) -> None:
    encoder = TextEncoder(tokenizer)
    for name in ("a", "b", "c"):
        encoder.encode(f"<|im_start|>system\nThe long instructions.<|im_end|>\n<|im_start|>user\n{name}<|im_end|>\n")
    assert encoder._segment.cache_info().misses == 7  # system, newline, two special tokens, three questions


def small_tokenizer(normalizer: Any, pre_tokenizer: Any, **flags: bool) -> PreTrainedTokenizerFast:
    """A tokenizer of single characters with one added token, ``<end>``."""
    characters = [chr(code) for code in range(33, 127)] + ["▁", "Ġ", "Ċ"]
    backend = Tokenizer(models.BPE({character: at for at, character in enumerate(characters)}, [], unk_token=None))
    backend.normalizer, backend.pre_tokenizer, backend.decoder = normalizer, pre_tokenizer, decoders.ByteLevel()
    backend.add_special_tokens([AddedToken("<end>", special=True, normalized=False, **flags)])
    return PreTrainedTokenizerFast(tokenizer_object=backend)


@pytest.mark.parametrize(
    ("normalizer", "pre_tokenizer", "flags"),
    [
        (None, pre_tokenizers.Metaspace(prepend_scheme="first"), {}),
        (normalizers.Prepend("▁"), pre_tokenizers.ByteLevel(add_prefix_space=False), {}),
        (None, pre_tokenizers.ByteLevel(add_prefix_space=True), {}),
        (None, pre_tokenizers.ByteLevel(add_prefix_space=False), {"rstrip": True}),
        (None, pre_tokenizers.ByteLevel(add_prefix_space=False), {"single_word": True}),
    ],
)
def test_a_tokenizer_whose_segments_depend_on_each_other_encodes_the_whole(
    normalizer: Any, pre_tokenizer: Any, flags: dict[str, bool]
) -> None:
    tokenizer = small_tokenizer(normalizer, pre_tokenizer, **flags)
    encoder = TextEncoder(tokenizer)
    assert encoder._split is None
    for text in ("ab<end> cd", " <end><end>x", "x<end>y z"):
        assert encoder.encode(text).tolist() == own_ids(tokenizer, text)


def test_a_wrong_segmentation_is_noticed(tokenizer: Any) -> None:
    encoder = TextEncoder(tokenizer)
    encoder._encode_segments = lambda text: np.zeros(1, dtype=np.int32)  # type: ignore[method-assign]
    text = "<|im_start|>user\nhello<|im_end|>"
    assert encoder.encode(text).tolist() == own_ids(tokenizer, text)
    assert encoder._split is None


def test_truncation_that_somebody_set_stays_out(tokenizer: Any, trusting: None) -> None:
    mine = copy.deepcopy(tokenizer)
    encoder = TextEncoder(mine)
    text = "one two three four five six"
    mine(text, truncation=True, max_length=2)
    assert encoder.encode(text).tolist() == own_ids(tokenizer, text)
