"""What training keeps, by the formula and by asking autograd and the tensors themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import ftkit as ft
from ftkit.modeling import cross_entropy as loss
from ftkit.modeling.attention import TREE_ATTENTION
from ftkit.modeling.model_shape import model_shape
from ftkit.modeling.packed_forward import PackedForward
from ftkit.modeling.prefix_tree import pack_sequences
from ftkit.modeling.tokenized_example import TokenizedConversation
from ftkit.training.adapters.attach import adapt
from ftkit.training.estimation import memory_model as memory
from ftkit.training.estimation.memory_model import estimate_memory, head_bytes, pack_activation_bytes
from ftkit.training.estimation.workload import PackSize, Step, Workload
from tests.tiny import tiny_causal, tiny_config

TOKENS = 300
ADAPTERS = {
    "lora": ft.LoRA(rank=4),
    "dropout": ft.LoRA(rank=4, lora_dropout=0.1),
    "dora": ft.DoRA(rank=4),
    "adalora": ft.AdaLoRA(init_rank=4, target_rank=2),
    "full": ft.Full(),
}


def work_of_steps(*steps: Step) -> Workload:
    return Workload(rows=9, sampled_rows=9, tokens=900, longest=100, steps=steps)


def kept_by_autograd(family: str, chosen: Any, dtype: torch.dtype, layers: int) -> int:
    """Bytes of the tensors that a forward pass leaves for its backward pass: those as long as the pack.

    The identity that PEFT sends through DoRA's adapters lives for one call only.
    """
    depth = {"n_layer": layers} if family == "gpt2" else {"num_hidden_layers": layers}
    model = tiny_causal(family, attention=TREE_ATTENTION, **depth).to(dtype)
    adapted = adapt(model, chosen.resolve(total_steps=20), total_steps=20, seed=1)
    own = {tensor.untyped_storage().data_ptr() for tensor in (*adapted.model.parameters(), *adapted.model.buffers())}
    ids = np.random.default_rng(0).integers(3, 97, TOKENS).astype(np.int32)
    one = pack_sequences([TokenizedConversation(ids, np.arange(TOKENS) >= TOKENS - 20)])
    held: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if TOKENS in tensor.shape and tensor.untyped_storage().data_ptr() not in own:
            held[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        total, _ = PackedForward(model, torch.device("cpu"), shared=True).loss(one)
    assert total.requires_grad
    return sum(tensor.untyped_storage().nbytes() for tensor in held.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ADAPTERS)
@pytest.mark.parametrize("family", ["llama", "qwen3", "phi3", "gemma", "gpt2"])
def test_activations_are_what_autograd_keeps(family: str, kind: str, precision: str) -> None:
    chosen = ADAPTERS[kind]
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    found = [kept_by_autograd(family, chosen, dtype, layers) for layers in (2, 3)]
    for layers, size in zip((2, 3), found, strict=True):
        depth = {"n_layer": layers} if family == "gpt2" else {"num_hidden_layers": layers}
        shape = model_shape(tiny_config(family, **depth).to_dict())
        recipe = ft.SFT(adapter=chosen, precision=precision)
        expected = pack_activation_bytes(shape, recipe, PackSize(TOKENS, 20, TOKENS * (TOKENS + 1) // 2))
        # The first layer of a frozen model keeps a little less, because nothing before it learns.
        assert expected == pytest.approx(size, rel=0.07 if kind == "dropout" else 0.01)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_layers_below_the_lowest_adapter_keep_nothing(family: str) -> None:
    upper = ft.LoRA(rank=4, layers_to_transform=range(2, 4))
    depth = {"n_layer": 4} if family == "gpt2" else {"num_hidden_layers": 4}
    shape = model_shape(tiny_config(family, **depth).to_dict())
    pack = PackSize(TOKENS, 20, TOKENS * (TOKENS + 1) // 2)
    expected = pack_activation_bytes(shape, ft.SFT(adapter=upper, precision="fp32"), pack)
    assert expected == pytest.approx(kept_by_autograd(family, upper, torch.float32, 4), rel=0.01)


def test_the_chunk_is_the_loss_functions() -> None:
    assert memory.CHUNK == loss.CHUNK


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_checkpointing_keeps_the_layers_inputs_and_one_layer(precision: str) -> None:
    shape = model_shape(tiny_config("llama", num_hidden_layers=24).to_dict())
    plain = pack_activation_bytes(shape, ft.SFT(precision=precision), PackSize(1000, 100, 0))
    less = pack_activation_bytes(
        shape, ft.SFT(precision=precision, gradient_checkpointing=True), PackSize(1000, 100, 0)
    )
    size = 4 if precision == "fp32" else 2
    assert less == pytest.approx(plain / 24 + 24 * 64 * size * 1000, rel=0.05)


def test_logits_do_not_grow_with_the_rows_of_a_pack() -> None:
    shape = model_shape(tiny_config("llama", vocab_size=50_000).to_dict())
    few, many, most = (head_bytes(shape, ft.SFT(), PackSize(9000, n, 0)) for n in (256, 257, 8000))
    assert few < many
    assert most - many == (8000 - 257) * 64 * 4
    alone = head_bytes(shape, ft.SFT(), PackSize(9000, 8000, 0), shared=False)
    assert alone > 10 * most


def test_held_bytes_are_those_of_the_tensors(tmp_path: Any, tokenizer: Any) -> None:
    from ftkit.modeling.model_source import Quantization, find_source
    from ftkit.modeling.pretrained import load_pretrained
    from tests.tiny import save_tiny

    sizes = {"hidden_size": 512, "intermediate_size": 1024, "head_dim": 128}
    name = save_tiny(tmp_path / "wide", "llama", tokenizer, **sizes)
    loaded = load_pretrained(
        find_source(name), precision="fp32", device=torch.device("cpu"), quantisation=Quantization("nf4", True)
    )
    adapted = adapt(loaded.model, ft.QLoRA(rank=4).resolve(total_steps=9), total_steps=9, seed=0)
    recipe = ft.SFT(adapter=ft.QLoRA(rank=4), precision="fp32", optimizer="adamw")
    shape = model_shape(loaded.model.config.to_dict())
    found = estimate_memory(shape, recipe, work_of_steps((PackSize(100, 10, 5050),)), device="cpu")
    frozen = [one for one in adapted.model.parameters() if not one.requires_grad]
    constants = sum(
        state.absmax.nbytes + state.state2.absmax.nbytes
        for state in (getattr(one, "quant_state", None) for one in frozen)
        if state is not None
    )
    assert found.weights == pytest.approx(sum(one.nbytes for one in frozen) + constants, rel=1e-4)
    assert found.adapters == sum(one.nbytes for one in adapted.parameters.values())
    assert found.gradients == found.adapters
    assert found.optimizer == 2 * found.adapters


def test_a_second_pack_finds_the_gradients_of_the_first() -> None:
    shape = model_shape(tiny_config("llama").to_dict())
    recipe = ft.SFT(adapter=ft.Full(), precision="fp32", optimizer="adamw")
    one = PackSize(2000, 100, 0)
    once, twice = (estimate_memory(shape, recipe, work_of_steps(step), device="cpu") for step in ((one,), (one, one)))
    assert twice.peak - once.peak == once.gradients
    assert once.weights + once.gradients + once.optimizer == 16 * shape.parameters


def test_looking_at_many_rows_can_take_more_than_training_on_few() -> None:
    shape = model_shape(tiny_config("llama", vocab_size=5_000).to_dict())
    step = (PackSize(50, 5, 0),)
    trained = estimate_memory(shape, ft.SFT(precision="fp32"), work_of_steps(step), device="cpu")
    watched = replace(work_of_steps(step), validation_packs=(PackSize(4000, 400, 0),))
    found = estimate_memory(shape, ft.SFT(precision="fp32"), watched, device="cpu")
    assert found.peak == found.looking > trained.peak
    assert found.looking - trained.looking > 256 * 5_000 * 8
