"""A tokenizer of a foreign folder cannot blow a text up, or search it for ever."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors

from ftkit.errors import ModelError
from ftkit.modeling.text_encoder import TextEncoder
from ftkit.modeling.tokenizer_limits import check_tokenizer

GPT_4 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)"
)
KNOWN = [
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    GPT_4,
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t)?|\s*[\r\n]+|\s+",
    *(r"(?=(\d{3})+(?!\d))", r" ?[^(\s|[.,!?…。，、।۔،])]+", r"(?:\r?\n)+(?!\r?\n)", r"[^\[\]]+|\[", r" {2,}", "\n"),
]
SLOW = [
    *(r"(a+)+$", r"(?:\w+\s?)+$", r"((a+)b?)+$", r"([^\]a-z]+|b)*X", r"(?:a{1,}){2,}$", r"(a)\g<1>*"),
    *(r".*.*.*.*.*x", r"(?:.*\n?.*\n?.*){1,9}!", "(", "a" * 30_000),
]


@pytest.fixture
def own(tokenizer: Any) -> Any:
    return copy.deepcopy(tokenizer)


@pytest.mark.parametrize("pattern", KNOWN)
def test_patterns_of_known_models_are_taken(own, pattern):
    own.backend_tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    check_tokenizer(own, "it")


@pytest.mark.parametrize("pattern", SLOW)
@pytest.mark.parametrize("part", ["pre_tokenizer", "normalizer"])
def test_patterns_without_an_end_are_refused(own, pattern, part):
    try:
        compiled = Regex(pattern)
    except Exception:
        compiled = None
    if compiled is None:
        return
    made = pre_tokenizers.Split(compiled, "isolated") if part == "pre_tokenizer" else normalizers.Replace(compiled, "x")
    setattr(own.backend_tokenizer, part, made)
    with pytest.raises(ModelError, match=f"its {part} has a pattern"):
        check_tokenizer(own, "it")


@pytest.mark.parametrize(
    ("part", "made"),
    [
        ("normalizer", normalizers.Replace(" ", "x" * 1_000)),
        ("normalizer", normalizers.Sequence([normalizers.Replace("a", "aaaa")] * 20)),
        ("normalizer", normalizers.Sequence([normalizers.NFC()] * 1_000)),
        ("decoder", decoders.Sequence([decoders.Replace("a", "a" * 100)] * 9)),
        ("post_processor", processors.TemplateProcessing(single=" ".join(["$A"] * 500), special_tokens=[])),
    ],
)
def test_texts_that_grow_without_end_are_refused(own, part, made):
    setattr(own.backend_tokenizer, part, made)
    with pytest.raises(ModelError, match=part):
        check_tokenizer(own, "it")


def test_words_of_any_length_are_refused(own):
    own._tokenizer.model = models.WordPiece({"[UNK]": 0}, unk_token="[UNK]", max_input_chars_per_word=10**9)
    with pytest.raises(ModelError, match="max_input_chars_per_word is 1,000,000,000"):
        check_tokenizer(own, "it")


def test_more_added_tokens_than_any_model_has_are_refused(own, monkeypatch):
    check_tokenizer(own, "it")
    monkeypatch.setattr("ftkit.modeling.tokenizer_limits._MAX_ADDED", 2)
    with pytest.raises(ModelError, match="added tokens"):
        check_tokenizer(own, "it")


def test_a_library_that_gives_up_is_an_error(own):
    own.backend_tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("(?:a|aa)+$"), "isolated")
    with pytest.raises(ModelError, match="cannot encode a text of 61 characters"):
        TextEncoder(own).encode("a" * 60 + "b")
