"""The weights of experts that are no linear layers: one tensor for all experts of a layer."""

from __future__ import annotations

from typing import Any

from ftkit.recipe import Adapter

__all__ = ["expert_notes"]


def expert_notes(adapted_model: Any, adapter: Adapter) -> list[str]:
    """Say what an adapter does with experts that a model holds in fused tensors.

    bitsandbytes holds linear layers in 4 bits only. PEFT adapts the fused experts of some families as it adapted their
    linear layers before transformers 5, and leaves those of the others.

    Args:
        adapted_model: the transformers model, with the adapter.
        adapter: the adapter.

    Returns:
        Whole sentences; none for models without such experts.
    """
    fused = {
        name: parameter
        for name, parameter in adapted_model.named_parameters()
        if parameter.dim() == 3 and "expert" in name and "lora_" not in name
    }
    if not fused:
        return []
    weights = sum(parameter.numel() for parameter in fused.values())
    # A tensor of 4 bits counts two weights in a byte.
    everything = sum(
        parameter.numel() * (2 if parameter.dtype.itemsize == 1 else 1)
        for name, parameter in adapted_model.named_parameters()
        if "lora_" not in name
    )
    share, notes = f"{weights / everything:.0%} of the weights", []
    if not any("base_layer" in name for name in fused):
        notes.append(
            f"the experts ({share}) are fused tensors, not linear layers, and PEFT does not adapt those of a "
            f"{adapted_model.config.model_type} model: they stay as they are"
        )
    if adapter.quantization is not None:
        held = str(next(iter(fused.values())).dtype).removeprefix("torch.")
        notes.append(
            f"the experts ({share}) stay in {held}: bitsandbytes holds linear layers in 4 bits, and the experts of "
            "this model are fused tensors. Memory is saved on the other layers only"
        )
    return notes
