"""Likelihood of texts and divergence of two models, against their definitions."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from ftkit.inference.likelihood import divergences, text_losses
from ftkit.modeling.load_for_inference import load_served
from ftkit.modeling.pretrained import Pretrained

TALK = [{"role": "user", "content": "How are you?"}, {"role": "assistant", "content": "Quite well, thank you."}]


@pytest.fixture(scope="module")
def served(tiny_model: str) -> Pretrained:
    return load_served(tiny_model)


def using(model: Pretrained) -> Callable[[Callable[[Pretrained], Any]], Any]:
    return lambda function: function(model)


def test_losses_of_plain_texts_are_those_of_transformers(served: Pretrained) -> None:
    text = "Rivers carry more than water."
    ((loss, tokens), empty, one) = text_losses(served, [text, "", "a"])
    ids = torch.tensor([served.tokenizer(text, add_special_tokens=False)["input_ids"]])
    assert tokens == ids.shape[1] - 1
    assert loss / tokens == pytest.approx(float(served.model(input_ids=ids, labels=ids).loss), rel=1e-4)
    assert empty == (0.0, 0)
    assert one == (0.0, 0)


def test_short_texts_share_passes_and_keep_their_losses(served: Pretrained) -> None:
    texts = [f"The opposite of {word} is cold." for word in ("hot", "big", "old", "wet", "hot")] + ["Rivers."]
    alone = [text_losses(served, [text])[0] for text in texts]
    together = text_losses(served, texts)
    assert [tokens for _, tokens in together] == [tokens for _, tokens in alone]
    assert [loss for loss, _ in together] == pytest.approx([loss for loss, _ in alone], rel=1e-4)


def test_a_model_does_not_diverge_from_itself_and_does_from_another(served: Pretrained) -> None:
    ((own, tokens),) = divergences(using(served), using(served), [TALK])
    assert own == pytest.approx(0, abs=1e-5)
    assert tokens > 3
    other = copy.copy(served)
    other.model = copy.deepcopy(served.model)
    with torch.no_grad():
        for weight in other.model.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    ((there, _),) = divergences(using(served), using(other), [TALK])
    sequence = served.chat_template.encode_examples(TALK)[-1]
    ids = torch.from_numpy(sequence.ids.astype("int64")).unsqueeze(0)
    places = torch.from_numpy(sequence.supervised).nonzero().flatten() - 1
    one, two = (model(input_ids=ids).logits[0, places].log_softmax(dim=-1) for model in (served.model, other.model))
    assert there == pytest.approx(
        float(torch.nn.functional.kl_div(two, one, log_target=True, reduction="sum")), rel=1e-3
    )
    assert there > 0.01
