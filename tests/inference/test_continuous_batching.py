"""Answers computed step by step are those of :func:`generate`, whoever joins and leaves meanwhile."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ftkit.errors import ModelError
from ftkit.inference.active_request import ActiveRequest
from ftkit.inference.batch_settings import BatchSettings
from ftkit.inference.engine import TorchEngine
from ftkit.inference.multi_lora import MultiLoRAModel, supports_multi_lora
from ftkit.inference.offline import generate
from ftkit.inference.protocol import Finished, GenerationEvent, GenerationRequest, TokenEvent
from ftkit.inference.sampling import SamplingParams
from ftkit.modeling.cache_kinds import has_other_caches
from ftkit.modeling.grouped_query_attention import GROUPED_ATTENTION
from ftkit.modeling.load_for_inference import load_served
from ftkit.modeling.model_source import find_source
from ftkit.modeling.pretrained import ModelSource, Pretrained
from ftkit.modeling.tokenized_example import Ints
from tests.tiny import FAMILIES, save_adapter, save_tiny, tiny_causal

NEW = 12
PLENTY = 1 << 30


def engine_of(pretrained: Pretrained, **settings: Any) -> TorchEngine:
    settings = {"cache_bytes": PLENTY, "prefix_bytes": PLENTY, "keep_answers": True, **settings}
    return TorchEngine(MultiLoRAModel(pretrained), BatchSettings(**settings))


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


def ask(engine: TorchEngine, prompt: Ints, new: int = NEW, **options: Any) -> ActiveRequest:
    return engine.add(GenerationRequest(prompt, new, **options), lambda event: None)


@pytest.mark.parametrize("family", [*FAMILIES, "gemma3"])
def test_answers_that_join_one_after_another_are_those_of_generate(family):
    asked = prompts(0) + prompts(40)
    expected = [one.ids for one in generate(loaded(family), asked, max_new_tokens=NEW)]
    engine = engine_of(loaded(family), rows=4)
    answers = []
    for prompt in asked:
        answers.append(ask(engine, prompt))
        engine.step()
        engine.step()
    engine.run()
    assert [tuple(one.ids) for one in answers] == expected


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_other_attention_gives_the_same(attention):
    asked = prompts(40)
    expected = [one.ids for one in generate(loaded(), asked, max_new_tokens=NEW)]
    engine = engine_of(loaded(attention=attention), rows=8)
    answers = [ask(engine, prompt) for prompt in asked]
    engine.run()
    assert [tuple(one.ids) for one in answers] == expected


def test_windows_are_kept():
    asked = prompts(30)
    expected = [one.ids for one in generate(loaded("mistral", sliding_window=8), asked, max_new_tokens=NEW)]
    engine = engine_of(loaded("mistral", sliding_window=8), rows=8)
    answers = [ask(engine, prompt) for prompt in asked]
    engine.run()
    assert [tuple(one.ids) for one in answers] == expected


def test_layers_that_carry_a_state_answer_by_themselves():
    asked = prompts(0) + prompts(40)
    expected = [one.ids for one in generate(loaded("qwen3_next"), asked, max_new_tokens=NEW)]
    pretrained = loaded("qwen3_next")
    assert has_other_caches(pretrained.model)
    engine = engine_of(pretrained, rows=4)
    answers = [ask(engine, prompt) for prompt in asked]
    gone = ask(engine, asked[0])
    for _ in range(3):
        engine.step()
    engine.cancel(answers[0])
    engine.cancel(gone)
    engine.run()
    assert [tuple(one.ids) for one in answers[1:]] == expected[1:]
    assert answers[0].ids == list(expected[0][: len(answers[0].ids)])
    assert gone.ids == []


def test_a_long_prompt_is_read_in_pieces_while_others_go_on():
    asked = prompts(0, (4, 200))
    expected = [one.ids for one in generate(loaded(), asked, max_new_tokens=NEW)]
    engine = engine_of(loaded(), rows=4, pass_tokens=16, step_tokens=16)
    short = ask(engine, asked[0])
    long = ask(engine, asked[1])
    for _ in range(6):
        engine.step()
    assert len(short.ids) > 4
    assert long.ids == []
    engine.run()
    assert [tuple(short.ids), tuple(long.ids)] == expected


def test_beginnings_are_computed_once_and_said():
    asked = prompts(70)
    expected = [one.ids for one in generate(loaded(), asked, max_new_tokens=NEW)]
    engine = engine_of(loaded(), rows=8)
    answers = [ask(engine, prompt) for prompt in asked]
    engine.run()
    assert [tuple(one.ids) for one in answers] == expected
    # The others wait until the first prompt is computed, and reuse what they share with it.
    assert [one.cached for one in answers] == [0, 70, 70, 70, 70, 70]
    again = ask(engine, np.concatenate([answers[3].known, [5]]).astype(np.int32))
    engine.run()
    assert again.cached == len(answers[3].known) - 1  # the keys of the last token were never computed


def test_kept_beginnings_stay_within_their_limit():
    engine = engine_of(loaded(), rows=2, prefix_bytes=60_000)  # a token takes 512 bytes
    for number in range(6):
        ask(engine, prompts(number + 1, (80,))[0])
        engine.run()
        assert 0 < engine.stats().prefix_cache_bytes <= 60_000


def test_short_of_memory_answers_wait_or_begin_again_and_are_the_same():
    asked = prompts(0)
    expected = [one.ids for one in generate(loaded(), asked, max_new_tokens=40)]
    token = 2 * 2 * 16 * 2 * 4
    engine = engine_of(loaded(), rows=8, cache_bytes=130 * token)
    answers = [ask(engine, prompt, new=40) for prompt in asked]
    together = []
    while engine.busy:
        engine.step()
        together.append(engine.stats().running)
    assert [tuple(one.ids) for one in answers] == expected
    assert 1 < max(together) < len(asked)


def test_draws_follow_the_seed_whatever_else_is_in_the_batch():
    asked = prompts(30)
    alone = generate(loaded(), asked[:1], max_new_tokens=NEW, temperature=1.0, top_p=0.9, seed=7)[0].ids
    engine = engine_of(loaded(), rows=8)
    for prompt in asked[1:]:
        ask(engine, prompt, sampling=SamplingParams(temperature=1.5, seed=3))
        engine.step()
    one = ask(engine, asked[0], sampling=SamplingParams(temperature=1.0, top_p=0.9, seed=7))
    other = ask(engine, asked[0], sampling=SamplingParams(temperature=1.0, top_p=0.9, seed=8))
    engine.run()
    assert tuple(one.ids) == alone
    assert other.ids != one.ids


def test_who_leaves_costs_nothing_more_and_changes_nobody():
    asked = prompts(30)
    expected = [one.ids for one in generate(loaded(), asked, max_new_tokens=NEW)]
    engine = engine_of(loaded(), rows=3)
    answers = [ask(engine, prompt) for prompt in asked]
    for _ in range(3):
        engine.step()
    engine.cancel(answers[0])
    engine.cancel(answers[-1])
    had = [len(answers[0].ids), len(answers[-1].ids)]
    engine.run()
    assert [tuple(one.ids) for one in answers[1:-1]] == expected[1:-1]
    assert [len(answers[0].ids), len(answers[-1].ids)] == had


def test_the_likeliest_tokens_are_told():
    events: list[GenerationEvent] = []
    engine = engine_of(loaded(), rows=2)
    prompt = prompts(0)[1]
    engine.add(GenerationRequest(prompt, 1, top_logprobs=5), events.append)
    engine.run()
    first, last = events
    assert isinstance(first, TokenEvent)
    assert last == Finished("length", 1, 0, last.seconds)
    with torch.no_grad():
        logits = loaded().model(torch.from_numpy(prompt.astype(np.int64)).unsqueeze(0)).logits[0, -1]
    expected = logits.log_softmax(-1).topk(5)
    assert [token for token, _ in first.top_logprobs] == expected.indices.tolist()
    assert [logprob for _, logprob in first.top_logprobs] == pytest.approx(expected.values.tolist(), abs=1e-4)
    assert first.logprob == pytest.approx(float(expected.values[0]), abs=1e-4)


def test_rows_answer_with_their_own_adapters(tiny_model, tmp_path):
    folders = [save_adapter(tmp_path / f"adapter{n}", tiny_model, seed=n) for n in range(3)]
    assert all(supports_multi_lora(find_source(folder)) for folder in folders)
    prompt = np.arange(100, 140, dtype=np.int32)
    expected = [generate(load_served(name), [prompt], max_new_tokens=NEW)[0].ids for name in (tiny_model, *folders)]
    assert len(set(expected)) == 4
    mixed = MultiLoRAModel.load(find_source(tiny_model), quantised_as=find_source(folders[0]))
    names = [None, "a", "b", "c"]
    for name, folder in zip(names[1:], folders, strict=True):
        mixed.add_adapter(str(name), find_source(folder).adapter)
    engine = TorchEngine(mixed, BatchSettings(rows=8, prefix_bytes=PLENTY))
    answers = [ask(engine, prompt, adapter=name) for name in names * 2]
    engine.run()
    assert [tuple(one.ids) for one in answers] == expected * 2
    assert [one.cached for one in answers[:4]] == [0] * 4  # another adapter's keys are never taken

    for name in "abc":
        mixed.remove_adapter(name)
    mixed.add_adapter("d", find_source(folders[1]).adapter)
    one, other = ask(engine, prompt, adapter="d"), ask(engine, prompt)
    engine.run()
    assert [tuple(one.ids), tuple(other.ids)] == [expected[2], expected[0]]


def test_an_adapter_that_does_not_fit_is_refused_and_changes_no_answer(tiny_model, tokenizer, tmp_path):
    wide = save_tiny(tmp_path / "wide", "llama", tokenizer, hidden_size=32)
    wrong, right = (save_adapter(tmp_path / name, base) for name, base in (("wrong", wide), ("right", tiny_model)))
    prompt = np.arange(100, 140, dtype=np.int32)
    expected = [generate(load_served(name), [prompt], max_new_tokens=NEW)[0].ids for name in (tiny_model, right)]
    mixed = MultiLoRAModel.load(find_source(tiny_model), quantised_as=find_source(right))
    with pytest.raises(ModelError, match="cannot load the adapter"):
        mixed.add_adapter("first", find_source(wrong).adapter)
    mixed.add_adapter("a", find_source(right).adapter)
    with pytest.raises(ModelError, match="cannot load the adapter"):
        mixed.add_adapter("second", find_source(wrong).adapter)
    engine = TorchEngine(mixed, BatchSettings(rows=8, prefix_bytes=PLENTY))
    answers = [ask(engine, prompt, adapter=name) for name in (None, "a")]
    engine.run()
    assert [tuple(one.ids) for one in answers] == expected


@pytest.mark.parametrize("settings", [{"use_dora": True}, {"bias": "lora_only"}, {"modules_to_save": ["norm"]}])
def test_adapters_of_other_kinds_do_not_mix(settings, tiny_model, tmp_path):
    assert not supports_multi_lora(find_source(save_adapter(tmp_path / "adapter", tiny_model, **settings)))
