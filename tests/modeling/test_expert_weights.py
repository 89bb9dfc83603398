"""Fused experts in 4 bits compute what their expanded weights compute, and do not keep these."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch

from ftkit.modeling.causality import trial_tokens
from ftkit.modeling.expert_weights import expand_experts, expert_weights, quantise_experts
from ftkit.modeling.model_source import Quantization
from ftkit.recipe import LoRA
from ftkit.training.adapters.adapted_model import AdaptedModel
from ftkit.training.adapters.attach import adapt
from tests.families.tiny_families import NOT_BUILT, families, tiny_family

HELD = Quantization("nf4", True)
SIZES = {"hidden_size": 64, "intermediate_size": 64}


def pair(family: str) -> tuple[Any, Any]:
    """A model with experts in 4 bits, and one with the same values expanded."""
    held, expanded = tiny_family(family, **SIZES), tiny_family(family, **SIZES)
    for model in (held, expanded):
        quantise_experts(model, HELD)
    expand_experts(expanded)
    return held, expanded


def adapted_model(model: Any) -> AdaptedModel:
    found = adapt(model, LoRA(rank=4, lora_alpha=8, lora_dropout=0.0), total_steps=2, seed=0)
    generator = torch.Generator().manual_seed(1)
    for parameter in found.parameters.values():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.05
    return found


def loss(model: Any) -> torch.Tensor:
    logits: torch.Tensor = model(input_ids=trial_tokens(model, 20), use_cache=False).logits
    return logits.float().square().mean()


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("family", ["gpt_oss", "mixtral", "granitemoe"])
def test_losses_and_gradients_are_those_of_the_expanded_weights(family, checkpointing):
    held, expanded = (adapted_model(model) for model in pair(family))
    assert all(one.in_four_bits for one in expert_weights(held.base_model))
    assert not any(one.in_four_bits for one in expert_weights(expanded.base_model))
    if checkpointing:
        held.enable_checkpointing()
    for _ in range(2):  # what an adapter adds does not add up
        found, wanted = loss(held.base_model), loss(expanded.base_model)
        torch.testing.assert_close(found, wanted)
        found.backward()
        wanted.backward()
    assert held.parameters.keys() == expanded.parameters.keys()
    for name, parameter in expanded.parameters.items():
        torch.testing.assert_close(held.parameters[name].grad, parameter.grad, msg=name)


def test_the_backward_pass_keeps_no_expanded_weights():
    model = pair("gpt_oss")[0]
    adapted_model(model)
    sizes = {one.count for one in expert_weights(model)}
    result = loss(model)
    gc.collect()
    kept = [
        each
        for each in gc.get_objects()
        if isinstance(each, torch.Tensor) and each.is_floating_point() and each.untyped_storage().size() // 4 in sizes
    ]
    assert not kept
    result.backward()


def test_what_is_expanded_differs_from_the_weights_only_by_rounding():
    plain = tiny_family("mixtral", **SIZES)
    before = {(one.path, one.name): getattr(one.module, one.name).detach().clone() for one in expert_weights(plain)}
    held_bytes = sum(each.numel() * each.itemsize for each in plain.parameters())
    quantise_experts(plain, HELD)
    assert sum(each.numel() * each.itemsize for each in plain.parameters()) < held_bytes
    expand_experts(plain)
    for one in expert_weights(plain):
        weight, was = getattr(one.module, one.name), before[one.path, one.name]
        assert weight.shape == was.shape
        assert 0 < float((weight - was).norm() / was.norm()) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("family", [name for name in families() if name not in NOT_BUILT])
def test_every_family_computes_with_experts_in_four_bits(family):
    model = tiny_family(family)
    quantise_experts(model, HELD)
    if not expert_weights(model):
        pytest.skip("no fused experts")
    ids = trial_tokens(model, 12)
    found = model(input_ids=ids, use_cache=False).logits
    expand_experts(model)
    torch.testing.assert_close(found, model(input_ids=ids, use_cache=False).logits)
