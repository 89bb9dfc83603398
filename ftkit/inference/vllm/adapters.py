"""Which adapters vLLM can serve beside their base. All others are merged into the base first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import LoraConfig

from ftkit.errors import ModelError
from ftkit.files import free_bytes
from ftkit.inference.multi_lora import is_plain_lora
from ftkit.modeling.merge import merge_adapter, save_merged, save_tokenizer_and_generation_config
from ftkit.modeling.model_shape import model_shape
from ftkit.modeling.model_source import ModelSource
from ftkit.modeling.peft_adapter import adapter_config
from ftkit.modeling.pretrained import load_config
from ftkit.modeling.tokenizer import load_chat_template

__all__ = ["merge_into", "why_merged", "why_not_loaded"]

_CHANGED_SCALES = ("rank_pattern", "alpha_pattern")
_NOT_SERVED = ("layer_replication", "lora_bias", "use_bdlora", "use_qalora", "corda_config", "eva_config")
_PLAIN_STARTS = (True, False, "gaussian", "eva", "orthogonal")
"""Values of ``init_lora_weights`` with which the base keeps its weights."""


def why_merged(source: ModelSource, max_rank: int) -> str | None:
    """Say why an adapter is merged into its base, and not loaded beside it.

    Args:
        source: a model with an adapter.
        max_rank: largest rank that the server takes.

    Returns:
        The reason; None for an adapter that vLLM can serve beside its base with the same results.

    Raises:
        ModelError: the adapter's settings cannot be read.
    """
    if source.adapter is None:
        return None
    if source.quantisation is not None:
        return f"it was trained on weights in {source.quantisation.quant_type}, and vLLM would hold others"
    return why_not_loaded(adapter_config(source.adapter), max_rank)


def why_not_loaded(config: Any, max_rank: int) -> str | None:
    """Say why vLLM cannot load an adapter beside its base.

    Args:
        config: its ``peft.PeftConfig``.
        max_rank: largest rank that the server takes.

    Returns:
        The reason; None for an adapter that vLLM can serve beside its base with the same results.
    """
    if not isinstance(config, LoraConfig) or not is_plain_lora(config):
        kind = (
            "DoRA" if getattr(config, "use_dora", False) else str(getattr(config.peft_type, "value", config.peft_type))
        )
        return f"vLLM serves LoRA adapters alone, which change nothing but weight matrices, and this is {kind}"
    patterns = [name for name in _CHANGED_SCALES if getattr(config, name, None)]
    if patterns:
        return f"it has {' and '.join(patterns)}, which not every version of vLLM follows"
    unknown = [name for name in _NOT_SERVED if getattr(config, name, None)]
    if unknown:
        return f"it has {' and '.join(unknown)}, which vLLM does not know"
    if config.init_lora_weights not in _PLAIN_STARTS:
        return f"init_lora_weights={config.init_lora_weights!r} changes weights of the base"
    if config.r > max_rank:
        return f"its rank is {config.r}, above max_lora_rank={max_rank}"
    return None


def merge_into(source: ModelSource, folder: Path, precision: str) -> None:
    """Write a model with its adapter merged into its weights, as vLLM reads it.

    The base is the one that the adapter was trained on: quantised weights are expanded.

    Args:
        source: a model with an adapter.
        folder: an empty folder.
        precision: ``"fp32"`` or ``"bf16"``, the type of the weights.

    Raises:
        ModelError: it cannot be loaded or merged, or the disk has no room for it.
    """
    needed = model_shape(load_config(source).to_dict()).parameters * (2 if precision == "bf16" else 4)
    free = free_bytes(folder)
    if free is not None and free < 1.1 * needed:
        raise ModelError(
            f"vLLM needs {source.name!r} merged into its base, which takes about {needed / 2**30:.1f} GiB, and "
            f"{folder.parent} has {free / 2**30:.1f} GiB free; set FTKIT_HOME to a larger disk"
        )
    model = merge_adapter(source, base="quantised", dtype="bf16" if precision == "bf16" else "fp32")
    template = load_chat_template(source)
    save_merged(model, folder)
    save_tokenizer_and_generation_config(folder, template.tokenizer, model.generation_config, template.stop_ids)
