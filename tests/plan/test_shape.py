"""Parameter counts from a config alone, against the models that transformers and PEFT build from it."""

from __future__ import annotations

import re
from typing import Any

import pytest

import ftkit as ft
from ftkit.errors import ModelError
from ftkit.modeling.attention import TREE_ATTENTION
from ftkit.modeling.model_shape import model_shape
from ftkit.training.adapters.attach import adapt
from ftkit.training.estimation.trained_part import trainable_parameters
from tests.tiny import FAMILIES, tiny_causal, tiny_config

ADAPTERS = {
    "lora": ft.LoRA(rank=4),
    "dora": ft.DoRA(rank=3),
    "adalora": ft.AdaLoRA(init_rank=5, target_rank=2),
    "full": ft.Full(),
}
VARIANTS: dict[str, dict[str, Any]] = {
    "tied": {},
    "untied": {"tie_word_embeddings": False},
    "biases": {"attention_bias": True, "mlp_bias": True},
}


def count(parameters: Any) -> int:
    return sum(one.numel() for one in parameters)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_parameters_are_those_of_the_model(family: str, variant: str) -> None:
    if variant == "biases" and family != "llama":
        pytest.skip("these options are Llama's")
    config = tiny_config(family, **VARIANTS[variant])
    model = tiny_causal(family, attention="sdpa", **VARIANTS[variant])
    assert model_shape(config.to_dict()).parameters == count(model.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_scores_has_one_output(family: str) -> None:
    import transformers

    config = tiny_config(family, tie_word_embeddings=False, num_labels=1)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    shape = model_shape(config.to_dict(), scores=True)
    assert shape.parameters == count(model.parameters())
    adapted = adapt(model, ft.LoRA(rank=4).resolve(total_steps=20), total_steps=20, seed=0, scores=True)
    assert trainable_parameters(shape, ft.RewardModel(adapter=ft.LoRA(rank=4))) == count(adapted.parameters.values())


def test_qwen2_has_biases_on_queries_keys_and_values() -> None:
    import transformers

    config = transformers.Qwen2Config(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=97,
    )
    model = transformers.Qwen2ForCausalLM(config)
    assert model_shape(config.to_dict()).parameters == count(model.parameters())


@pytest.mark.parametrize("kind", ADAPTERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_trainable_parameters_are_those_of_the_adapter(family: str, kind: str) -> None:
    chosen = ADAPTERS[kind].resolve(total_steps=20)
    adapted = adapt(tiny_causal(family, attention=TREE_ATTENTION), chosen, total_steps=20, seed=0)
    found = trainable_parameters(model_shape(tiny_config(family).to_dict()), ft.SFT(adapter=chosen))
    assert found == count(adapted.parameters.values())


def test_qlora_trains_what_lora_does_beside_four_bit_weights() -> None:
    shape = model_shape(tiny_config("llama").to_dict())
    lora, qlora = (trainable_parameters(shape, ft.SFT(adapter=one(rank=4))) for one in (ft.LoRA, ft.QLoRA))
    assert lora == qlora


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_only_named_layers_are_counted(family: str) -> None:
    modules = {"llama": ("q_proj", "v_proj"), "gpt2": ("c_proj",)}[family]
    chosen = ft.LoRA(rank=4, target_modules=modules).resolve(total_steps=20)
    adapted = adapt(tiny_causal(family, attention=TREE_ATTENTION), chosen, total_steps=20, seed=0)
    found = trainable_parameters(model_shape(tiny_config(family).to_dict()), ft.SFT(adapter=chosen))
    assert found == count(adapted.parameters.values())


@pytest.mark.parametrize("kind", [ft.LoRA, ft.DoRA, ft.AdaLoRA])
@pytest.mark.parametrize("family", FAMILIES)
def test_only_numbered_layers_are_adapted_and_counted(family: str, kind: Any) -> None:
    chosen = kind(layers_to_transform=[1]).resolve(total_steps=20)
    adapted = adapt(tiny_causal(family, attention=TREE_ATTENTION), chosen, total_steps=20, seed=0)
    assert {re.findall(r"\.(\d+)\.", name)[0] for name in adapted.parameters} == {"1"}
    found = trainable_parameters(model_shape(tiny_config(family).to_dict()), ft.SFT(adapter=chosen))
    assert found == count(adapted.parameters.values())


def test_a_layer_number_that_is_not_there_is_named() -> None:
    shape = model_shape(tiny_config("llama").to_dict())
    with pytest.raises(ModelError, match="layer 2: no such layer in a model with layers 0 to 1"):
        trainable_parameters(shape, ft.SFT(adapter=ft.LoRA(layers_to_transform=[0, 2])))


def test_a_layer_that_is_not_there_is_named() -> None:
    shape = model_shape(tiny_config("phi3").to_dict())
    with pytest.raises(ModelError, match="q_proj: no such linear layer in a phi3 model; it has qkv_proj, o_proj"):
        shape.targets(("q_proj",))


def test_the_end_of_a_name_stands_for_all_layers_that_have_it() -> None:
    shape = model_shape(tiny_config("llama").to_dict())
    assert shape.targets(("self_attn.q_proj", "up_proj")) == shape.targets(("q_proj", "up_proj"))


@pytest.mark.parametrize(("family", "name"), [("llama", "layers.1.self_attn.q_proj"), ("gpt2", "attn.c_proj")])
def test_a_name_of_some_layers_is_refused_and_not_called_missing(family: str, name: str) -> None:
    with pytest.raises(ModelError, match=f"'{name}' names some of the linear layers that are called"):
        model_shape(tiny_config(family).to_dict()).targets((name,))


def test_old_configs_without_later_fields_are_read() -> None:
    # As LLaMA's first release wrote them: no key-value heads, no head size.
    old = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4}
    shape = model_shape({**old, "num_hidden_layers": 2, "vocab_size": 97})
    assert (shape.kv_heads, shape.head_dim, shape.tied_head) == (4, 16, False)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "mamba"}, "model_type 'mamba' is not known; known are llama"),
        ({}, "model_type None"),
        ({"model_type": "llama", "hidden_size": "wide"}, r"no usable hidden_size \('wide'\)"),
        ({"model_type": "gpt2", "n_embd": 8}, r"no usable n_head \(None\)"),
    ],
)
def test_what_cannot_be_worked_out_is_said(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        model_shape(config)
