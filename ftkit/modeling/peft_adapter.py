"""Load a PEFT adapter onto a model, if its files are whole and fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import PeftConfig, PeftModel, PeftType
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.mapping_func import MODEL_TYPE_TO_PEFT_MODEL_MAPPING

from ftkit.errors import ModelError
from ftkit.modeling.adapter_patterns import check_patterns
from ftkit.modeling.artefact_digests import check_digests
from ftkit.modeling.expert_weights import plain_experts
from ftkit.modeling.library_logging import quiet
from ftkit.modeling.load_errors import load_errors
from ftkit.modeling.model_source import read_object
from ftkit.modeling.whole_weights import check_loaded, tensor_shapes

__all__ = ["adapter_config", "load_adapter"]

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PICKLE = "adapter_model.bin"
"""The weights of old adapters. PEFT loads only tensors from it."""
_LARGEST_RANK = 16_384


def adapter_config(folder: Path) -> PeftConfig:
    """Read the settings of an adapter.

    Args:
        folder: where PEFT saved it.

    Returns:
        PEFT's config.

    Raises:
        ModelError: they cannot be read, or are of a kind that ftkit does not load.
    """
    file = folder / CONFIG
    settings = read_object(file)
    check_patterns(settings, str(file))
    kind = settings.get("peft_type")
    known = {str(each.value) for each in PEFT_TYPE_TO_CONFIG_MAPPING}
    if not isinstance(kind, str) or kind not in known:
        raise ModelError(
            f"{file}: peft_type {kind!r} is not known to the installed PEFT; it knows {', '.join(sorted(known))}"
        )
    if settings.get("megatron_config"):
        raise ModelError(f"{file}: megatron_config imports code of another library, which ftkit does not do")
    with load_errors(f"cannot read the adapter {folder}"), quiet():
        config: PeftConfig = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(kind)].from_pretrained(str(folder))
    if config.is_prompt_learning or config.is_adaption_prompt or kind == "XLORA":
        raise ModelError(
            f"{file}: adapters of peft_type {kind} are not loaded, because they are no change of the model's layers"
        )
    return config


def load_adapter(model: Any, folder: Path, *, name: str = "default") -> PeftModel:
    """Load an adapter onto a model for inference.

    Args:
        model: the transformers model, which is changed in place, or a ``PeftModel`` with other adapters.
        folder: where PEFT saved the adapter.
        name: name of the adapter in the result.

    Returns:
        The model with the adapter; ``model`` itself if it was a ``PeftModel``.

    Raises:
        ModelError: a file is missing or damaged, a tensor is missing or has no place, or the adapter does not fit.
    """
    config = adapter_config(folder)
    check_digests(folder)
    _check_weights(folder, config)
    adapted = model if isinstance(model, PeftModel) else None
    try:
        with load_errors(f"cannot load the adapter {folder}", folder), quiet():
            if adapted is None:  # as PeftModel.from_pretrained does, which does not say which tensors were missing
                config.inference_mode = True
                make = MODEL_TYPE_TO_PEFT_MODEL_MAPPING.get(config.task_type, PeftModel)
                with plain_experts(model):
                    adapted = make(model, config, name)
            mapping = getattr(model, "_checkpoint_conversion_mapping", None) or None
            with plain_experts(adapted):
                result = adapted.load_adapter(str(folder), name, key_mapping=mapping)
        # PEFT also lists tensors of other adapters, if this one's name is part of any word in theirs.
        missing = [key for key in result.missing_keys if name in key.split(".")]
        check_loaded(f"the adapter {folder}", missing=missing, unexpected=result.unexpected_keys)
    except ModelError:
        if isinstance(model, PeftModel):
            if name in model.peft_config:
                model.delete_adapter(name)
        elif adapted is not None:
            adapted.unload()
        raise
    return adapted


def _check_weights(folder: Path, config: PeftConfig) -> None:
    """Refuse an adapter without tensors, and ranks that its tensors do not have: PEFT makes room for those first."""
    file, largest = folder / WEIGHTS, _LARGEST_RANK
    if file.is_file():
        shapes = tensor_shapes(file, f"cannot load the adapter {folder}")
        if not shapes:
            raise ModelError(f"{file} has no tensors, so it is no adapter; get the file again")
        largest = max(max(shape, default=0) for shape in shapes.values())
    elif not (folder / _PICKLE).is_file():
        raise ModelError(f"cannot load the adapter {folder}: it has no {WEIGHTS}")
    ranks = [getattr(config, "r", None), *dict(getattr(config, "rank_pattern", None) or {}).values()]
    for rank in ranks:
        if isinstance(rank, int) and rank > largest:
            raise ModelError(
                f"{folder / CONFIG} says rank {rank:,}, and the largest dimension in the adapter's weights is "
                f"{largest:,}; the files do not belong together"
            )
