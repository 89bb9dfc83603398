"""Load an exported model as other programs do: by transformers and PEFT alone, from the folder's files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from ftkit.errors import ExportError
from ftkit.modeling.device import default_device
from ftkit.modeling.library_logging import quiet
from ftkit.modeling.merge import DTYPES
from ftkit.modeling.model_source import Quantization

__all__ = ["Exported", "load_adapter", "load_whole"]


@dataclass(slots=True)
class Exported:
    """A model loaded from an export."""

    model: Any
    tokenizer: Any
    generation_config: Any


def load_whole(folder: Path) -> Exported:
    """Load a merged model in the data type that it was written in.

    Args:
        folder: the exported folder.

    Returns:
        The model with its tokenizer.

    Raises:
        ExportError: it cannot be loaded.
    """
    try:
        with quiet():
            model = AutoModelForCausalLM.from_pretrained(
                folder, dtype="auto", device_map={"": default_device()}, trust_remote_code=False
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ExportError(_load_failure(error)) from error
    return Exported(model.eval(), tokenizer, model.generation_config)


def load_adapter(
    folder: Path, *, base: str, quantisation: Quantization | None, dtype: Literal["bf16", "fp16", "fp32"]
) -> Exported:
    """Load an adapter beside its base.

    Args:
        folder: the exported folder.
        base: folder or hub id of the base model.
        quantisation: hold the base in 4 bits; None holds it in ``dtype``.
        dtype: data type of the weights, or of the arithmetic with 4-bit weights.

    Returns:
        The model with its tokenizer.

    Raises:
        ExportError: it cannot be loaded.
    """
    from transformers import GenerationConfig

    extra: dict[str, Any] = {}
    if quantisation is not None:
        extra["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=quantisation.quant_type,
            bnb_4bit_use_double_quant=quantisation.double_quant,
            bnb_4bit_compute_dtype=DTYPES[dtype],
        )
    try:
        with quiet():
            model = AutoModelForCausalLM.from_pretrained(
                base, dtype=DTYPES[dtype], device_map={"": default_device()}, trust_remote_code=False, **extra
            )
            model = PeftModel.from_pretrained(model, str(folder))
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            generation_config = GenerationConfig.from_pretrained(folder)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ExportError(_load_failure(error)) from error
    return Exported(model.eval(), tokenizer, generation_config)


def _load_failure(error: Exception) -> str:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return f"transformers cannot load the exported model: {first}"
