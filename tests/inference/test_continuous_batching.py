"""Answers computed step by step are those of :func:`generate`, whoever joins and leaves meanwhile."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ftkit.errors import ModelError
from ftkit.inference import continuous_batching
from ftkit.inference.continuous_batching import Continuation, Stepping, Token, carries_state
from ftkit.inference.generation import generate
from ftkit.inference.multi_lora import Mixed, mixes
from ftkit.inference.recurrent_decoding import Apart
from ftkit.inference.sampling import Draw
from ftkit.modeling.grouped_query_attention import GROUPED_ATTENTION
from ftkit.modeling.load_for_inference import load_served
from ftkit.modeling.model_source import find_source
from ftkit.modeling.pretrained import ModelSource, Pretrained
from ftkit.modeling.tokenized_example import Ints
from tests.tiny import FAMILIES, save_adapter, save_tiny, tiny_causal

NEW = 12
PLENTY = 1 << 30


class Loaded(Mixed):
    """A model that was made here instead of read from files."""

    def __init__(self, pretrained: Pretrained) -> None:
        self.pretrained = pretrained
        self._peft = None
        self._hooked = set()
        pretrained.model.get_output_embeddings().register_forward_pre_hook(self._only_last)


def loaded(family: str = "llama", **changes: Any) -> Pretrained:
    model = tiny_causal(family, attention=changes.pop("attention", GROUPED_ATTENTION), **changes).eval()
    chat_template: Any = SimpleNamespace(stop_ids=())
    return Pretrained(ModelSource("tiny", "tiny"), model, None, chat_template, "fp32")


def prompts(beginning: int, lengths: tuple[int, ...] = (1, 9, 4, 60, 9, 20)) -> list[Ints]:
    draw = np.random.default_rng(beginning)
    common = draw.integers(3, 97, beginning)
    return [
        np.concatenate([common, [3 + number], draw.integers(3, 97, length)]).astype(np.int32)
        for number, length in enumerate(lengths)
    ]


def answering(batch: Stepping | Apart, prompt: Ints, new: int = NEW, **options: Any) -> Continuation:
    def more(token: Token) -> bool:
        return len(one.ids) < new

    one = Continuation(prompt, options.pop("draw", Draw()), more, **options)
    batch.join(one)
    return one


def finish(batch: Stepping | Apart) -> None:
    while batch.open or batch.waiting:
        batch.step()


@pytest.mark.parametrize("family", [*FAMILIES, "gemma3"])
def test_answers_that_join_one_after_another_are_those_of_generate(family):
    asked = prompts(0) + prompts(40)
    expected = [one.ids for one in generate(loaded(family), asked, max_new_tokens=NEW)]
    batch = Stepping(Loaded(loaded(family)), rows=4, cache_bytes=PLENTY)
    answers = []
    for prompt in asked:
        answers.append(answering(batch, prompt))
        batch.step()
        batch.step()
    finish(batch)
    assert [tuple(one.ids) for one in answers] == expected


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_other_attention_gives_the_same(attention):
    asked = prompts(40)
    expected = [one.ids for one in generate(loaded(), asked, max_new_tokens=NEW)]
    batch = Stepping(Loaded(loaded(attention=attention)), rows=8, cache_bytes=PLENTY)
    answers = [answering(batch, prompt) for prompt in asked]
    finish(batch)
    assert [tuple(one.ids) for one in answers] == expected


def test_windows_are_kept():
    asked = prompts(30)
    expected = [one.ids for one in generate(loaded("mistral", sliding_window=8), asked, max_new_tokens=NEW)]
    batch = Stepping(Loaded(loaded("mistral", sliding_window=8)), rows=8, cache_bytes=PLENTY)
    answers = [answering(batch, prompt) for prompt in asked]
    finish(batch)
    assert [tuple(one.ids) for one in answers] == expected


def test_layers_that_carry_a_state_answer_by_themselves():
    asked = prompts(0) + prompts(40)
    expected = [one.ids for one in generate(loaded("qwen3_next"), asked, max_new_tokens=NEW)]
    mixed = Loaded(loaded("qwen3_next"))
    assert carries_state(mixed.model)
    batch = Apart(mixed, rows=4)
    answers = [answering(batch, prompt) for prompt in asked]
    gone = answering(batch, asked[0])
    for _ in range(3):
        batch.step()
    batch.leave(answers[0])
    batch.leave(gone)
    finish(batch)
    assert [tuple(one.ids) for one in answers[1:]] == expected[1:]
    assert answers[0].ids == list(expected[0][: len(answers[0].ids)])
    assert gone.ids == []


def test_a_long_prompt_is_read_in_pieces_while_others_go_on(monkeypatch):
    monkeypatch.setattr(continuous_batching, "PASS", 16)
    asked = prompts(0, (4, 200))
    expected = [one.ids for one in generate(loaded(), asked, max_new_tokens=NEW)]
    batch = Stepping(Loaded(loaded()), rows=4, cache_bytes=PLENTY)
    short = answering(batch, asked[0])
    long = answering(batch, asked[1])
    for _ in range(6):
        batch.step()
    assert len(short.ids) > 4
    assert long.ids == []
    finish(batch)
    assert [tuple(short.ids), tuple(long.ids)] == expected


def test_beginnings_are_computed_once_and_said():
    asked = prompts(70)
    expected = [one.ids for one in generate(loaded(), asked, max_new_tokens=NEW)]
    batch = Stepping(Loaded(loaded()), rows=8, cache_bytes=PLENTY)
    answers = [answering(batch, prompt) for prompt in asked]
    finish(batch)
    assert [tuple(one.ids) for one in answers] == expected
    # The first computes the two whole blocks, all others wait for a step and have them.
    assert [one.cached for one in answers] == [0, 64, 64, 64, 64, 64]
    again = answering(batch, np.concatenate([answers[3].known, [5]]).astype(np.int32))
    finish(batch)
    assert again.cached == len(answers[3].known) // 32 * 32


def test_kept_beginnings_stay_within_their_limit():
    batch = Stepping(Loaded(loaded()), rows=2, cache_bytes=60_000)  # a block takes 16,384 bytes
    for number in range(6):
        answering(batch, prompts(number + 1, (80,))[0])
        finish(batch)
        assert 0 < batch.prefixes.held_bytes <= 60_000


def test_short_of_memory_answers_wait_or_begin_again_and_are_the_same():
    asked = prompts(0)
    expected = [one.ids for one in generate(loaded(), asked, max_new_tokens=40)]
    token = 2 * 2 * 16 * 2 * 4
    batch = Stepping(Loaded(loaded()), rows=8, cache_bytes=130 * token)
    answers = [answering(batch, prompt, new=40) for prompt in asked]
    together = []
    while batch.open or batch.waiting:
        batch.step()
        together.append(batch.open)
    assert [tuple(one.ids) for one in answers] == expected
    assert 1 < max(together) < len(asked)


def test_draws_follow_the_seed_whatever_else_is_in_the_batch():
    asked = prompts(30)
    alone = generate(loaded(), asked[:1], max_new_tokens=NEW, temperature=1.0, top_p=0.9, seed=7)[0].ids
    batch = Stepping(Loaded(loaded()), rows=8, cache_bytes=PLENTY)
    for prompt in asked[1:]:
        answering(batch, prompt, draw=Draw(temperature=1.5, seed=3))
        batch.step()
    one = answering(batch, asked[0], draw=Draw(temperature=1.0, top_p=0.9, seed=7))
    other = answering(batch, asked[0], draw=Draw(temperature=1.0, top_p=0.9, seed=8))
    finish(batch)
    assert tuple(one.ids) == alone
    assert other.ids != one.ids


def test_who_leaves_costs_nothing_more_and_changes_nobody():
    asked = prompts(30)
    expected = [one.ids for one in generate(loaded(), asked, max_new_tokens=NEW)]
    batch = Stepping(Loaded(loaded()), rows=3, cache_bytes=PLENTY)
    answers = [answering(batch, prompt) for prompt in asked]
    for _ in range(3):
        batch.step()
    batch.leave(answers[0])
    batch.leave(answers[-1])
    had = [len(answers[0].ids), len(answers[-1].ids)]
    finish(batch)
    assert [tuple(one.ids) for one in answers[1:-1]] == expected[1:-1]
    assert [len(answers[0].ids), len(answers[-1].ids)] == had


def test_the_likeliest_tokens_are_told():
    told: list[Token] = []
    batch = Stepping(Loaded(loaded()), rows=2, cache_bytes=PLENTY)
    prompt = prompts(0)[1]
    batch.join(Continuation(prompt, Draw(), lambda token: bool(told.append(token)), likeliest=5))
    finish(batch)
    with torch.no_grad():
        logits = loaded().model(torch.from_numpy(prompt.astype(np.int64)).unsqueeze(0)).logits[0, -1]
    expected = logits.log_softmax(-1).topk(5)
    assert [token for token, _ in told[0].likeliest] == expected.indices.tolist()
    assert [logprob for _, logprob in told[0].likeliest] == pytest.approx(expected.values.tolist(), abs=1e-4)
    assert told[0].logprob == pytest.approx(float(expected.values[0]), abs=1e-4)


def test_rows_answer_with_their_own_adapters(tiny_model, tmp_path):
    folders = [save_adapter(tmp_path / f"adapter{n}", tiny_model, seed=n) for n in range(3)]
    assert all(mixes(find_source(folder)) for folder in folders)
    prompt = np.arange(100, 140, dtype=np.int32)
    expected = [generate(load_served(name), [prompt], max_new_tokens=NEW)[0].ids for name in (tiny_model, *folders)]
    assert len(set(expected)) == 4
    mixed = Mixed(find_source(tiny_model), quantised_as=find_source(folders[0]))
    names = [None, "a", "b", "c"]
    for name, folder in zip(names[1:], folders, strict=True):
        mixed.add(str(name), find_source(folder).adapter)
    batch = Stepping(mixed, rows=8, cache_bytes=PLENTY)
    answers = [answering(batch, prompt, adapter=name) for name in names * 2]
    finish(batch)
    assert [tuple(one.ids) for one in answers] == expected * 2
    assert [one.cached for one in answers[:4]] == [0] * 4  # another adapter's keys are never taken

    for name in "abc":
        mixed.remove(name)
    mixed.add("d", find_source(folders[1]).adapter)
    one, other = answering(batch, prompt, adapter="d"), answering(batch, prompt)
    finish(batch)
    assert [tuple(one.ids), tuple(other.ids)] == [expected[2], expected[0]]


def test_an_adapter_that_does_not_fit_is_refused_and_changes_no_answer(tiny_model, tokenizer, tmp_path):
    wide = save_tiny(tmp_path / "wide", "llama", tokenizer, hidden_size=32)
    wrong, right = (save_adapter(tmp_path / name, base) for name, base in (("wrong", wide), ("right", tiny_model)))
    prompt = np.arange(100, 140, dtype=np.int32)
    expected = [generate(load_served(name), [prompt], max_new_tokens=NEW)[0].ids for name in (tiny_model, right)]
    mixed = Mixed(find_source(tiny_model), quantised_as=find_source(right))
    with pytest.raises(ModelError, match="cannot load the adapter"):
        mixed.add("first", find_source(wrong).adapter)
    mixed.add("a", find_source(right).adapter)
    with pytest.raises(ModelError, match="cannot load the adapter"):
        mixed.add("second", find_source(wrong).adapter)
    batch = Stepping(mixed, rows=8, cache_bytes=PLENTY)
    answers = [answering(batch, prompt, adapter=name) for name in (None, "a")]
    finish(batch)
    assert [tuple(one.ids) for one in answers] == expected


@pytest.mark.parametrize("settings", [{"use_dora": True}, {"bias": "lora_only"}, {"modules_to_save": ["norm"]}])
def test_adapters_of_other_kinds_do_not_mix(settings, tiny_model, tmp_path):
    assert not mixes(find_source(save_adapter(tmp_path / "adapter", tiny_model, **settings)))
