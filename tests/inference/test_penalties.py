"""Penalties and biases choose the tokens that a plain computation with OpenAI's formula chooses."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ftkit.inference.protocol import Finished, GenerationRequest
from ftkit.inference.sampling import SamplingParams, SamplingState
from ftkit.modeling.tokenized_example import Ints

from .test_continuous_batching import ask, engine_of, loaded, prompts

NEW = 24
PARAMS = [
    SamplingParams(),
    SamplingParams(frequency_penalty=0.5),
    SamplingParams(frequency_penalty=-2.0),
    SamplingParams(presence_penalty=2.0),
    SamplingParams(frequency_penalty=0.3, presence_penalty=0.7, logit_bias=((5, 3.0), (9, -100.0))),
    SamplingParams(logit_bias=((11, 100.0),)),
    SamplingParams(1.0, 0.9, seed=4, frequency_penalty=1.5, presence_penalty=-0.5, logit_bias=((7, 2.5),)),
]


def plainly(model: Any, prompt: Ints, params: SamplingParams) -> list[int]:
    """mu[j] - c[j] * frequency - (c[j] > 0) * presence + bias[j], where c counts the tokens of the answer."""
    ids, draws = prompt.tolist(), SamplingState(params)
    for _ in range(NEW):
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1].double()
        counts = torch.bincount(torch.tensor(ids[len(prompt) :], dtype=torch.long), minlength=len(logits))
        logits -= counts * params.frequency_penalty + (counts > 0) * params.presence_penalty
        for token, bias in params.logit_bias:
            logits[token] += bias
        if not params.temperature:
            ids.append(int(logits.argmax()))
            continue
        probabilities = (logits / params.temperature).softmax(-1)
        ordered, tokens = probabilities.sort(descending=True)
        kept = tokens[ordered.cumsum(0) - ordered < params.top_p]
        held = torch.zeros_like(probabilities).index_put((kept,), probabilities[kept]).cumsum(0)
        ids.append(int(torch.searchsorted(held, draws.uniform() * held[-1], right=True)))
    return ids[len(prompt) :]


@pytest.mark.parametrize(("family", "tried"), [("llama", PARAMS), ("qwen3_next", PARAMS[4:6])])
def test_answers_of_a_batch_are_those_of_a_plain_computation(family, tried):
    pretrained = loaded(family)
    asked = prompts(20, (3,))[0]
    engine = engine_of(pretrained, rows=4)
    answers = []
    for params in tried:  # they join while others are under way, and more wait than there is room for
        answers.append(ask(engine, asked, NEW, sampling=params))
        engine.step()
    engine.run()
    assert [one.ids for one in answers] == [plainly(pretrained.model, asked, params) for params in tried]
    assert len({tuple(one.ids) for one in answers}) == len(tried)
    assert answers[tried.index(PARAMS[5])].ids == [11] * NEW


def test_reported_probabilities_are_those_of_the_model():
    events: list[Any] = []
    pretrained, asked = loaded(), prompts(0)[1]
    params = SamplingParams(logit_bias=((11, 100.0),))
    engine = engine_of(pretrained, rows=1)
    engine.add(GenerationRequest(asked, 1, params, top_logprobs=1), events.append)
    engine.run()
    first, last = events
    with torch.no_grad():
        expected = pretrained.model(torch.tensor([asked.tolist()])).logits[0, -1].log_softmax(-1)
    assert (first.token_id, isinstance(last, Finished)) == (11, True)
    assert first.logprob == pytest.approx(float(expected[11]), abs=1e-4)
    assert first.top_logprobs[0][0] == int(expected.argmax())
