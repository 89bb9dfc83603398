"""NEFTune: the noise is that of transformers, of training rows alone, and of each row's own length."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers.integrations.neftune import neftune_post_forward_hook

import ftkit as ft
from ftkit.modeling.embedding_noise import EmbeddingNoise
from ftkit.modeling.prefix_tree import pack_sequences
from ftkit.modeling.tokenized_example import TokenizedConversation
from tests.tiny import tiny_causal
from tests.training.test_checkpoints import Runner
from tests.training.test_training import Trained, recipe, rows

CPU = torch.device("cpu")


def sequence(ids: list[int]) -> TokenizedConversation:
    return TokenizedConversation(np.array(ids), np.array([False] + [True] * (len(ids) - 1)))


def test_of_one_row_it_is_the_noise_of_transformers():
    model, ids = tiny_causal("llama", attention="sdpa"), torch.arange(5, 45).unsqueeze(0)
    layer = model.get_input_embeddings()
    plain = layer(ids)
    torch.manual_seed(1)
    layer.neftune_noise_alpha, layer.training = 5.0, True
    wanted = neftune_post_forward_hook(layer, (ids,), plain)
    EmbeddingNoise(model, 5.0)
    torch.manual_seed(1)
    torch.testing.assert_close(layer(ids), wanted, rtol=0, atol=1e-6)


def test_rows_of_a_pass_have_the_noise_of_their_own_lengths():
    model = tiny_causal("llama", attention="sdpa")
    layer, width = model.get_input_embeddings(), model.config.hidden_size
    noise = EmbeddingNoise(model, 5.0)
    pack = pack_sequences([sequence(list(range(5, 15))), sequence(list(range(20, 90)))])
    ids = torch.from_numpy(pack.ids).unsqueeze(0)
    with noise.of_pack(pack, CPU):
        moved = layer(ids)[0]
    noise.enabled = False
    moved = (moved - layer(ids)[0]).abs()
    for root in pack.segments:
        length = root.end - root.start
        largest = 5.0 / (length * width) ** 0.5
        assert 0.9 * largest < float(moved[root.start : root.end].max()) <= largest * (1 + 1e-5)


def test_rows_with_a_shared_prefix_have_the_length_of_the_longest():
    model = tiny_causal("llama", attention="sdpa")
    noise = EmbeddingNoise(model, 5.0)
    prefix = list(range(5, 45))
    pack = pack_sequences([sequence([*prefix, 60, 61]), sequence([*prefix, *range(70, 90)])])
    with noise.of_pack(pack, CPU):
        assert noise._lengths is not None
        assert [noise._lengths[segment.start].item() for segment in pack.segments] == [60, 42, 60]


def test_training_is_noisy_and_validation_is_not(tiny_model, tmp_path):
    validation = rows(4, first=40)
    runs = {
        alpha: Trained(
            tiny_model, tmp_path / str(alpha), recipe(neftune_noise_alpha=alpha, eval_steps=3), rows(), validation
        )
        for alpha in (None, 15.0)
    }
    plain, noisy = runs[None], runs[15.0]
    assert noisy.losses[0] != pytest.approx(plain.losses[0], rel=1e-6)
    first = [done.of("validation")[0]["loss"] for done in (plain, noisy)]
    assert first[0] == first[1]
    assert noisy.losses[-1] < noisy.losses[0]


@pytest.mark.slow
def test_a_noisy_run_that_dies_goes_on_with_the_same_noise(tiny_model, tmp_path):
    chosen = recipe(neftune_noise_alpha=5.0, epochs=3, save_steps=2)
    whole, broken = (Runner(tiny_model, tmp_path / name, chosen) for name in ("whole", "broken"))
    whole.go()
    with pytest.raises(KeyboardInterrupt):
        broken.go(until=lambda kind, data: kind == "step" and data["step"] == 5)
    broken.go()
    assert broken.weights == whole.weights


def test_other_recipes_say_who_takes_it():
    with pytest.raises(ft.ConfigError, match=r"only ft\.SFT adds noise to embeddings"):
        ft.DPO(neftune_noise_alpha=5.0)
