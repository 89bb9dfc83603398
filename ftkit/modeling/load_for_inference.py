"""Loading a model to ask it, or to let it score: base and adapter made one where that changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from peft import PeftModel

from ftkit.errors import ModelError
from ftkit.modeling.device import bf16_is_fast, default_device
from ftkit.modeling.grouped_query_attention import GROUPED_ATTENTION
from ftkit.modeling.library_logging import quiet
from ftkit.modeling.model_source import ModelSource, find_source
from ftkit.modeling.pretrained import Pretrained, load_pretrained

__all__ = ["load_for_answers", "load_for_scores", "load_served", "own_precision"]


def load_served(name: str) -> Pretrained:
    """The model ``name`` as it answers on this machine: on its first device, in the precision of its training.

    Raises:
        ModelError: there is no such model, it cannot be loaded, or it scores answers and writes none.
    """
    source, where = find_source(name), default_device()
    if source.scores:
        raise ModelError(f"{source.name!r} is a reward model: it scores answers (ft.Scorer) and writes none")
    return load_for_answers(source, precision=own_precision(source, where), device=where)


def own_precision(source: ModelSource, where: torch.device) -> Literal["bf16", "fp32"]:
    """The precision of a model's training; of a base model, the one that is fast here."""
    return source.precision or ("bf16" if bf16_is_fast(where) else "fp32")


def load_for_answers(source: ModelSource, *, precision: Literal["bf16", "fp32"], device: torch.device) -> Pretrained:
    """Load ``source`` with its adapter, ready for :func:`ftkit.inference.offline.generate`.

    The base is held as it was in training, so that the adapter meets the weights it was made for. On CPU, 4-bit weights
    are then expanded (the same values, without expanding them again for every token), and in float32 the adapter is
    added into the weights; in bfloat16 it stays beside them, because adding would round it away.
    """
    pretrained = load_pretrained(
        source, precision=precision, device=device, quantisation=source.quantisation, attention=GROUPED_ATTENTION
    )
    expand = source.quantisation is not None and device.type == "cpu"
    if expand:
        with quiet():
            pretrained.model = pretrained.model.dequantize()
    if source.adapter is not None:
        adapted = _with_adapter(pretrained, source.adapter)
        merge = precision == "fp32" and (expand or source.quantisation is None)
        pretrained.model = adapted.merge_and_unload() if merge else adapted.base_model.model
    pretrained.model.eval()
    return pretrained


def load_for_scores(name: str) -> Pretrained:
    """The reward model ``name``, which ftkit made, ready for :func:`ftkit.inference.reward_scoring.score`.

    Raises:
        ModelError: it is no reward model, or cannot be loaded.
    """
    source, where = find_source(name), default_device()
    if not source.scores:
        raise ModelError(f"{source.name!r} is no reward model that ftkit made, so it gives no scores")
    held = source.quantisation
    precision = own_precision(source, where)
    pretrained = load_pretrained(source, precision=precision, device=where, quantisation=held, scores=True)
    if held is not None and where.type == "cpu":
        with quiet():
            pretrained.model = pretrained.model.dequantize()
    if source.adapter is not None:
        pretrained.model = _with_adapter(pretrained, source.adapter).base_model.model
    pretrained.model.eval()
    return pretrained


def _with_adapter(pretrained: Pretrained, folder: Path) -> Any:
    try:
        with quiet():
            return PeftModel.from_pretrained(pretrained.model, str(folder))
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"cannot load the adapter {folder}: {error}") from error
