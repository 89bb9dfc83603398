"""What a user should know about experts that a model holds in one tensor for all experts of a layer."""

from __future__ import annotations

from typing import Any

from ftkit.modeling.expert_weights import expert_weights
from ftkit.recipe import Adapter

__all__ = ["expert_notes"]


def expert_notes(adapted_model: Any, adapter: Adapter) -> list[str]:
    """Say what an adapter does with experts that a model holds in fused tensors.

    PEFT adapts the fused experts of some families as it adapted their linear layers before transformers 5, and leaves
    those of the others.

    Args:
        adapted_model: the transformers model, with the adapter.
        adapter: the adapter.

    Returns:
        Whole sentences; none for models without such experts.
    """
    fused = [one for one in expert_weights(adapted_model) if "lora_" not in one.path]
    if not fused:
        return []
    weights = sum(one.count for one in fused)
    # A tensor of 4 bits counts two weights in a byte.
    everything = sum(
        parameter.numel() * (2 if parameter.dtype.itemsize == 1 else 1)
        for name, parameter in adapted_model.named_parameters()
        if "lora_" not in name
    )
    held = any(one.in_four_bits for one in fused)
    share, notes = f"{weights / max(everything, weights):.0%} of the weights", []
    adapted = any("base_layer" in one.path for one in fused)
    if not adapted:
        notes.append(
            f"the experts ({share}) are fused tensors, not linear layers, and PEFT does not adapt those of a "
            f"{adapted_model.config.model_type} model: they stay as they are"
        )
    if adapter.quantization is not None and held:
        largest = max(one.count * one.dtype.itemsize for one in fused)
        dtype = str(fused[0].dtype).removeprefix("torch.")
        notes.append(
            f"the experts ({share}) are fused tensors and are held in 4 bits through bitsandbytes' parametrisation. "
            f"Loading needs them in {dtype} once ({_size(sum(one.count * one.dtype.itemsize for one in fused))}), and "
            f"each layer expands its own while it computes (up to {_size(largest)} a tensor)"
        )
        if adapted:
            notes.append(
                f"the experts with their adapter are kept in {dtype} for the backward pass; with "
                "gradient_checkpointing=True only those of one layer"
            )
    elif adapter.quantization is not None:
        dtype = str(fused[0].dtype).removeprefix("torch.")
        notes.append(f"the experts ({share}) stay in {dtype}, as the model's files hold them")
    return notes


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
