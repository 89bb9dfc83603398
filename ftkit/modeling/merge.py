"""Merge an adapter into its base model, and save the result as transformers reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError

from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ExportError
from ftkit.modeling.dequantize import dequantize
from ftkit.modeling.device import default_device
from ftkit.modeling.library_logging import quiet
from ftkit.modeling.load_errors import load_errors
from ftkit.modeling.load_for_inference import own_precision
from ftkit.modeling.model_source import ModelSource
from ftkit.modeling.peft_adapter import load_adapter
from ftkit.modeling.pretrained import load_pretrained

__all__ = ["DTYPES", "merge_adapter", "save_merged", "save_tokenizer_and_generation_config"]

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
"""Types of exported weights."""


def merge_adapter(
    source: ModelSource, *, base: Literal["quantised", "original"], dtype: Literal["bf16", "fp16", "fp32"]
) -> Any:
    """Load a model on the CPU with its adapter merged into the weights.

    The sum is computed in float32 and rounded once, to ``dtype``.

    Args:
        source: the model.
        base: for an adapter that was trained on 4-bit weights: ``quantised`` adds it to the dequantised weights that
            training used, ``original`` to the weights from which they were quantised.
        dtype: type of the weights.

    Returns:
        The transformers model.

    Raises:
        ModelError: base or adapter cannot be loaded, or the base's own quantisation cannot be undone.
        ExportError: a weight does not fit into ``dtype``.
    """
    device = default_device()
    quantisation = source.quantisation if base == "quantised" else None
    if source.adapter is not None and source.quantisation is not None and base == "original":
        precision: Literal["bf16", "fp32"] = "fp32"  # the values of the files, without rounding
    else:
        precision = own_precision(source, device)
    model = load_pretrained(
        source, precision=precision, device=device, quantisation=quantisation, attention="sdpa"
    ).model
    model = dequantize(model)
    with quiet():
        model = model.to("cpu").float()
        if source.adapter is not None:
            adapted = load_adapter(model, source.adapter)
            with load_errors(f"cannot merge the adapter {source.adapter} into its base"):
                # PEFT also unties the embeddings in the config if the adapter contains one of them.
                model = adapted.merge_and_unload(safe_merge=True)
    model = model.to(DTYPES[dtype])
    for name, weight in model.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise ExportError(
                ErrorText(
                    f"{name} has values that {dtype} cannot represent; export with ",
                    Argument("dtype", "bf16 or fp32", text='dtype="bf16" or "fp32"'),
                )
            )
    return model


def save_merged(model: Any, folder: Path) -> None:
    """Save a model's config and weights (safetensors).

    Args:
        model: a transformers model.
        folder: the target folder.

    Raises:
        ExportError: the files cannot be written, e.g. because the disk is full.
    """
    try:
        with quiet():
            model.save_pretrained(folder)
    except SafetensorError as error:  # raised also if the disk is full
        raise ExportError(f"could not write the weights to {folder.parent}: {error}") from error


def save_tokenizer_and_generation_config(
    folder: Path, tokenizer: Any, generation_config: Any, stop_ids: tuple[int, ...]
) -> None:
    """Save the tokenizer with its chat template, and a config for greedy generation.

    The base model's sampling parameters are left out, because ftkit evaluates greedy answers, and servers that read the
    file would use them by default.

    Args:
        folder: the target folder.
        tokenizer: the tokenizer.
        generation_config: generation config of the base model, of which special tokens are kept.
        stop_ids: token ids that end an answer.
    """
    from transformers import GenerationConfig

    special_tokens = {
        name: value
        for name in ("bos_token_id", "pad_token_id", "decoder_start_token_id")
        if (value := getattr(generation_config, name, None)) is not None
    }
    eos: Any = stop_ids[0] if len(stop_ids) == 1 else list(stop_ids) or None
    tokenizer.save_pretrained(folder)
    GenerationConfig(**special_tokens, eos_token_id=eos, do_sample=False).save_pretrained(folder)
