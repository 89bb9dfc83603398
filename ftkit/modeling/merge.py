"""Adapter and base made one model, and written as plain transformers reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from peft import PeftModel
from safetensors import SafetensorError

from ftkit.errors import ExportError, ModelError
from ftkit.modeling.device import default_device
from ftkit.modeling.library_logging import quiet
from ftkit.modeling.load_for_inference import own_precision
from ftkit.modeling.model_source import ModelSource
from ftkit.modeling.pretrained import load_pretrained

__all__ = ["DTYPES", "merge_adapter", "save_merged", "save_tokenizer_and_generation_config"]

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
"""The types that exported weights may have."""


def merge_adapter(
    source: ModelSource, *, base: Literal["quantised", "original"], dtype: Literal["bf16", "fp16", "fp32"]
) -> Any:
    """The whole model of ``source``, its adapter added into the weights, on the CPU.

    The sum is formed in float32 and rounded once, to ``dtype``.

    Args:
        base: for an adapter that was trained beside 4-bit weights: add it to those, expanded ("quantised": the weights
            that training saw), or to the weights they were made from ("original").

    Raises:
        ModelError: base or adapter cannot be loaded.
        ExportError: a weight does not fit into ``dtype``.
    """
    where = default_device()
    held = source.quantisation if base == "quantised" else None
    if source.adapter is not None and source.quantisation is not None and base == "original":
        precision: Literal["bf16", "fp32"] = "fp32"  # the files' own values, none of them rounded on the way
    else:
        precision = own_precision(source, where)
    model = load_pretrained(source, precision=precision, device=where, quantisation=held, attention="sdpa").model
    with quiet():
        if held is not None:
            model = model.dequantize()
        model = model.to("cpu").float()
        if source.adapter is not None:
            try:
                adapted = PeftModel.from_pretrained(model, str(source.adapter))
                # PEFT also unties the embeddings in the config where the adapter brings one of them along.
                model = adapted.merge_and_unload(safe_merge=True)
            except (OSError, ValueError, RuntimeError, SafetensorError) as error:
                raise ModelError(f"cannot add the adapter {source.adapter} to its base: {error}") from error
    model = model.to(DTYPES[dtype])
    for name, weight in model.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise ExportError(f'{name} has values that {dtype} cannot hold; export with dtype="bf16" or "fp32"')
    return model


def save_merged(model: Any, folder: Path) -> None:
    """Write the model's config and weights (safetensors) to ``folder``.

    Raises:
        ExportError: the disk does not take them.
    """
    try:
        with quiet():
            model.save_pretrained(folder)
    except SafetensorError as error:  # as which a full disk is told of
        raise ExportError(f"could not write the weights to {folder.parent}: {error}") from error


def save_tokenizer_and_generation_config(
    folder: Path, tokenizer: Any, generation_config: Any, stop_ids: tuple[int, ...]
) -> None:
    """Write the tokenizer with its chat template, and how to generate: greedily, to any of ``stop_ids``.

    Sampling is left out of it because ftkit measures greedy answers: a base model's own temperature in this file would
    be the default of servers that read it.
    """
    from transformers import GenerationConfig

    kept = {
        name: value
        for name in ("bos_token_id", "pad_token_id", "decoder_start_token_id")
        if (value := getattr(generation_config, name, None)) is not None
    }
    eos: Any = stop_ids[0] if len(stop_ids) == 1 else list(stop_ids)
    tokenizer.save_pretrained(folder)
    GenerationConfig(**kept, eos_token_id=eos, do_sample=False).save_pretrained(folder)
