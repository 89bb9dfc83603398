"""What papers say of models far too large for a test, from their published shapes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import ftkit as ft
from ftkit.modeling.model_shape import LinearLayer, ModelShape, model_shape
from ftkit.recipe import Quantization, RecipeFacts
from ftkit.results.plan import Estimate
from ftkit.training.estimation.estimate import estimate
from ftkit.training.estimation.plan_target import named_gpu
from ftkit.training.estimation.trained_part import trainable_parameters
from ftkit.training.estimation.workload import PackSize, Workload

LLAMA_65B = {
    "model_type": "llama",
    "hidden_size": 8192,
    "intermediate_size": 22016,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "vocab_size": 32000,
}
LLAMA_3_8B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}
GPT_3 = {
    "model_type": "gpt2",
    "n_embd": 12288,
    "n_layer": 96,
    "n_head": 96,
    "vocab_size": 50257,
    "n_positions": 2048,
}


def planned(config: dict[str, Any], recipe: ft.SFT, device: str, tokens: int, packs: int) -> Estimate:
    """An epoch of 1,000 rows on a GPU; each step has ``packs`` packs of one row of ``tokens`` tokens."""
    resolved = recipe.resolve(RecipeFacts(rows=1000, fast_bf16=True, device="cuda"))
    step = (PackSize(tokens, tokens // 4, tokens * (tokens + 1) // 2),) * packs
    work = Workload(rows=1000, sampled_rows=16, tokens=16 * tokens, longest=tokens, steps=[step])
    return estimate(resolved, model_shape(config), work, named_gpu(device))


def test_llama_65b_is_tuned_on_one_48_gb_gpu_with_qlora_and_takes_780_gb_without() -> None:
    """Dettmers et al. 2023, arXiv 2305.14314, abstract; rank 64 on all linear layers, batches of 16, 512 tokens."""
    qlora = ft.SFT(adapter=ft.QLoRA(rank=64), batch_size=16, gradient_checkpointing=True, max_batch_tokens=512)
    found = planned(LLAMA_65B, qlora, "l40s-48gb", tokens=512, packs=16)
    assert found.parameters == pytest.approx(65.2e9, rel=0.005)
    assert found.recipe["optimizer"] == "paged_adamw_8bit"
    assert found.fits
    assert 38e9 < found.memory.peak < 48e9
    assert found.memory.weights == pytest.approx(34e9, rel=0.02)
    # 16-bit weights and gradients and two 32-bit moments are 12 bytes a parameter; ftkit's Full keeps all in 32 bits.
    assert 12 * found.parameters > 780e9
    full = planned(LLAMA_65B, qlora.model_copy(update={"adapter": ft.Full()}), "h200-141gb", tokens=512, packs=16)
    assert full.memory.peak > 780e9
    assert not full.fits


def test_double_quantisation_saves_what_the_paper_says() -> None:
    """0.373 bits a parameter: arXiv 2305.14314, section 3."""
    single, double = (Quantization("nf4", double).bits_per_weight for double in (False, True))
    assert single - double == pytest.approx(0.373, abs=0.001)
    assert double == pytest.approx(4.127, abs=0.001)


def with_separate_queries(shape: ModelShape) -> ModelShape:
    """GPT-2's one map to queries, keys and values as three, as GPT-3's adapters were put on them."""
    first, *others = shape.linears
    width = first.outputs // 3
    apart = (LinearLayer(name, first.inputs, width, first.reads, bias=True) for name in ("q_proj", "k_proj", "v_proj"))
    return replace(shape, linears=(*apart, *others))


def test_lora_trains_ten_thousand_times_fewer_parameters_of_gpt_3() -> None:
    """Hu et al. 2021, arXiv 2106.09685, section 4.2: rank 4 on the query and value projections of the 175B model."""
    shape = with_separate_queries(model_shape(GPT_3))
    assert shape.parameters == model_shape(GPT_3).parameters == pytest.approx(175e9, rel=0.005)
    trained = trainable_parameters(shape, ft.SFT(adapter=ft.LoRA(rank=4, target_modules=("q_proj", "v_proj"))))
    assert (
        trained == 18_874_368
    )  # 18.9 million; the paper's table 4 has 4.7 million at rank 1 and 37.7 million at rank 8
    assert shape.parameters / trained == pytest.approx(10_000, rel=0.1)
    assert 2 * trained == pytest.approx(35e6, rel=0.1)  # its 35 MB checkpoint in 16 bits


@pytest.mark.parametrize(
    ("adapter", "device", "fits"),
    [
        (ft.QLoRA(rank=16), "rtx4090-24gb", True),
        (ft.LoRA(rank=16), "rtx4090-24gb", True),
        (ft.LoRA(rank=16), "h100-80gb", True),
        (ft.Full(), "h100-80gb", False),
    ],
    ids=lambda value: getattr(value, "kind", value),
)
def test_an_8b_model_where_people_train_it(adapter: Any, device: str, fits: bool) -> None:
    """torchtune's README has 8B LoRA at 16.2 GiB and QLoRA at 7.4 GiB on a 24 GB card, at 2,048 tokens."""
    recipe = ft.SFT(adapter=adapter, batch_size=8, gradient_checkpointing=True, max_batch_tokens=2048)
    found = planned(LLAMA_3_8B, recipe, device, tokens=1024, packs=8)
    assert found.parameters == 8_030_261_248
    assert found.fits is fits
    if adapter.kind == "qlora":
        assert found.memory.weights == pytest.approx(5.7e9, rel=0.02)  # 3.6 GB in 4 bits, embedding and head in 16


def test_quantisation_that_the_memory_does_not_ask_for_is_noted() -> None:
    def noted(adapter: Any, tokens: int) -> bool:
        recipe = ft.SFT(adapter=adapter, batch_size=8, gradient_checkpointing=True, max_batch_tokens=tokens)
        found = planned(LLAMA_3_8B, recipe, "rtx4090-24gb", tokens=1024, packs=max(8, tokens // 1024))
        assert found.fits
        return any("fit without 4-bit weights" in note for note in found.notes)

    assert noted(ft.QLoRA(rank=16), 2048)
    assert not noted(ft.LoRA(rank=16), 2048)
    assert not noted(ft.QLoRA(rank=512), 2048)  # 16-bit weights and these adapters would not fit


def test_a_larger_gpu_is_quicker_and_the_ceiling_is_kept() -> None:
    recipe = ft.SFT(adapter=ft.LoRA(rank=16), batch_size=8, max_batch_tokens=16384)
    h100, l4 = (planned(LLAMA_3_8B, recipe, name, tokens=2048, packs=8) for name in ("h100-80gb", "l4-24gb"))
    assert l4.seconds_per_step > 4 * h100.seconds_per_step
    # 4 operations a weight and token with a frozen base, at the rated 989 TFLOP/s.
    least = 4 * 7e9 * 8 * 2048 / 989e12
    assert 1.5 * least < h100.seconds_per_step < 7 * least
    assert any("data sheet" in note for note in h100.notes)
