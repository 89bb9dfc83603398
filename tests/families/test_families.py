"""Every family of transformers that generates text: ftkit computes what transformers and PEFT compute, or refuses.

``QUICK`` has one family for each kind of cache and attention; the others are slow together.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from ftkit.errors import ModelError, RefusedError
from ftkit.inference.decoding import Decoding, choose_decoding
from ftkit.inference.multi_lora import MultiLoRAModel
from ftkit.modeling.attention import TREE_ATTENTION
from ftkit.modeling.causality import check_causal, trial_tokens
from ftkit.modeling.packed_forward import prefix_sharing_problem
from ftkit.recipe import LoRA
from ftkit.training.adapters.adapted_model import AdaptedModel
from ftkit.training.adapters.attach import adapt
from tests.families.engine import (
    engine_answers,
    engine_gradients,
    generate_answers,
    plain_gradients,
    pretrained,
    rows,
    whole_answers,
    with_attention,
)
from tests.families.tiny_families import NOT_BUILT, families, tiny_family

NOT_CAUSAL = {"cpmant", "prophetnet", "xlm", "xlnet"}
"""Families whose predictions depend on later tokens: refused."""
NOT_TRAINED = {"reformer"}
"""Families whose gradient fails outside of transformers' own training mode: refused."""
OTHER_ANSWERS = {"moshi"}
"""transformers' own cache gives other answers than its whole pass, beyond the window: neither can be expected."""
RANDOM_GRADIENTS = {"big_bird"}

QUICK = {
    "llama": Decoding.BATCHED,
    "gemma2": Decoding.BATCHED,  # windows and soft caps
    "gpt_oss": Decoding.BATCHED,  # sinks and experts
    "gemma3n_text": Decoding.BATCHED,  # layers that read other layers' keys and values
    "deepseek_v3": Decoding.BATCHED,  # latent attention
    "mamba2": Decoding.OWN_CACHE,
    "rwkv": Decoding.OWN_CACHE,
    "bamba": Decoding.OWN_CACHE_AND_POSITIONS,
    "jamba": Decoding.OWN_CACHE,  # attention and states
    "llama4_text": Decoding.OWN_CACHE,  # chunks
    "gpt_neo": Decoding.OWN_CACHE,  # local attention
    "openai-gpt": Decoding.OWN_CACHE,  # no cache at all
    "mpt": Decoding.BATCHED,
    "hrm_text": Decoding.NO_CACHE,  # its cache fails in transformers, too
    "opt": Decoding.BATCHED,
}

every_family = pytest.mark.parametrize(
    "family",
    [
        *QUICK,
        *(pytest.param(name, marks=pytest.mark.slow) for name in families() if name not in {*QUICK, *NOT_BUILT}),
    ],
)


def adapted_model(model: Any, **changes: Any) -> AdaptedModel:
    settings = {"rank": 4, "lora_alpha": 8, "lora_dropout": 0.0, **changes}
    return adapt(model, LoRA(**settings), total_steps=2, seed=0)


@every_family
def test_greedy_answers_are_those_of_generate(family: str):
    model = tiny_family(family)
    if family in NOT_CAUSAL:
        with pytest.raises(ModelError, match="take a decoder"):
            engine_answers(model)
        return
    found = engine_answers(tiny_family(family))
    if family in OTHER_ANSWERS:
        return
    if found != whole_answers(model):  # what training computes; where generate differs from it, either will do
        assert found == generate_answers(model)


@every_family
def test_an_adapter_gets_the_loss_and_gradients_of_plain_peft(family: str):
    if family in NOT_TRAINED:
        with pytest.raises(RefusedError, match="cannot be trained"):
            adapted_model(tiny_family(family))
        return
    adapted = adapted_model(with_attention(tiny_family(family, window=64), TREE_ATTENTION))
    loss, gradients = engine_gradients(adapted)
    config = adapted.model.peft_config["default"]
    fields = ("target_modules", "exclude_modules", "target_parameters", "rank_pattern", "alpha_pattern")
    same = LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", **{name: getattr(config, name) for name in fields})
    base = tiny_family(family, window=64)
    torch.manual_seed(0)  # the seed of the initial values
    plain = get_peft_model(base, same)
    plain.eval()
    expected, theirs = plain_gradients(plain)
    assert loss == pytest.approx(expected, rel=1e-4)
    assert gradients.keys() == theirs.keys()
    if family not in RANDOM_GRADIENTS:
        for name, gradient in gradients.items():
            allowed = max(1e-3 * float(theirs[name].abs().max()), 1e-5)  # some are zero but for rounding
            torch.testing.assert_close(gradient, theirs[name], rtol=1e-3, atol=allowed)


@pytest.mark.parametrize("family", QUICK)
def test_the_way_of_decoding_is_chosen_by_a_trial(family: str):
    model = MultiLoRAModel(pretrained(tiny_family(family)))
    assert choose_decoding(model) is QUICK[family]
    model.close()


@pytest.mark.parametrize("family", ["opt", "seed_oss", "starcoder2", "bloom", "falcon", "mixtral", "gpt2"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_nothing_is_random_in_training_but_the_adapter(family: str, checkpointing: bool):
    noisy = {}
    for name, value in tiny_family(family).config.to_dict().items():
        if ("drop" in name or "jitter" in name) and isinstance(value, int | float) and not isinstance(value, bool):
            noisy[name] = 0.4
    assert noisy
    model = tiny_family(family, **noisy)
    ids = trial_tokens(model, 20)
    expected = model(input_ids=ids, use_cache=False).logits
    adapted = adapted_model(model)
    if checkpointing:
        adapted.enable_checkpointing()
    found = model(input_ids=ids, use_cache=False).logits
    torch.testing.assert_close(found, expected)
    found.square().sum().backward()
    assert all(p.grad is not None for p in adapted.parameters.values())


def test_checkpointed_layers_are_computed_twice():
    model = tiny_family("llama")
    adapted = adapted_model(model)
    calls = []
    model.model.layers[0].mlp.register_forward_pre_hook(lambda *args: calls.append(1))
    adapted.enable_checkpointing()
    model(input_ids=trial_tokens(model, 9), use_cache=False).logits.sum().backward()
    assert len(calls) == 2
    adapted.disable_checkpointing()
    model(input_ids=trial_tokens(model, 9), use_cache=False).logits.sum().backward()
    assert len(calls) == 3


def test_the_adapters_own_dropout_is_switched():
    model = tiny_family("llama")
    adapted = adapted_model(model, lora_dropout=0.5)
    for parameter in adapted.parameters.values():
        torch.nn.init.normal_(parameter)
    ids = trial_tokens(model, 9)

    def logits() -> torch.Tensor:
        with torch.no_grad():
            found: torch.Tensor = model(input_ids=ids, use_cache=False).logits
        return found

    assert not torch.equal(logits(), logits())
    with adapted.without_dropout():
        assert torch.equal(logits(), logits())
    assert not torch.equal(logits(), logits())


@pytest.mark.parametrize(
    ("family", "left_out"),
    [
        ("mamba", {"backbone.layers.mixer.dt_proj", "backbone.layers.mixer.out_proj"}),
        ("falcon_h1", {"model.layers.mamba.out_proj"}),
        ("nemotron_h", {"model.layers.mixer.out_proj"}),
        ("llama4_text", {"model.layers.feed_forward.router"}),
        ("phimoe", {"model.layers.mlp.router"}),
        ("jamba", {"model.layers.mamba.dt_proj"}),
        ("llama", set()),
    ],
)
def test_all_linear_leaves_out_what_peft_cannot_train(family: str, left_out: set[str]):
    adapted = adapted_model(tiny_family(family))
    noted = [note for note in adapted.tuner.notes if "leaves out" in note]
    assert {name for note in noted for name in note.rpartition(": ")[2].split(", ")} == left_out
    assert all(parameter.requires_grad for parameter in adapted.parameters.values())


def test_experts_that_are_no_linear_layers_are_named():
    [note] = adapted_model(tiny_family("gpt_oss")).tuner.notes
    assert "the experts (" in note
    assert "stay as they are" in note
    assert not adapted_model(tiny_family("mixtral")).tuner.notes  # PEFT adapts these


def test_an_encoder_is_refused():
    model = tiny_family("bert", is_decoder=False)
    with pytest.raises(ModelError, match="is_decoder=true"):
        check_causal(model, trial_tokens(model, 12))
    check_causal(tiny_family("bert"), trial_tokens(model, 12))


@pytest.mark.parametrize(
    ("family", "problem"),
    [
        ("falcon", "does not support ftkit's attention"),
        ("nemotron", "packed rows is"),
        ("jamba", "layers of kind linear_attention"),
        *((name, None) for name in ("gemma2", "gpt_oss", "nanochat", "cohere2", "gemma4_text")),
    ],
)
def test_rows_share_passes_where_it_is_exact(family: str, problem: str | None):
    for window in (8, 64):
        model = with_attention(tiny_family(family, window=window), TREE_ATTENTION)
        found = prefix_sharing_problem(model, torch.device("cpu"), rows())
        assert found is None if problem is None else problem in str(found)
