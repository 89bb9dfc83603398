"""Load a base model, and an adapter beside one, for the pool of models."""

from __future__ import annotations

import logging
import threading
from typing import Any

from ftkit.errors import ModelError
from ftkit.inference.batch_settings import BatchSettings
from ftkit.inference.engine import TorchEngine
from ftkit.inference.loaded_model import LoadedAdapter, LoadedModel
from ftkit.inference.model_files import FoundModel
from ftkit.inference.multi_lora import MultiLoRAModel
from ftkit.modeling.load_for_inference import load_for_scores
from ftkit.modeling.model_source import ModelSource
from ftkit.modeling.tokenizer import load_chat_template

__all__ = ["load_adapter", "load_base"]

_log = logging.getLogger("ftkit.inference")

_load_lock = threading.Lock()
"""transformers patches torch while it loads a model: two loads at once leave weights out, or tie them wrongly."""


def load_base(wanted: FoundModel, settings: BatchSettings) -> Any:
    """Load a base model, without the adapter that is wanted with it.

    Args:
        wanted: the files of the model.
        settings: batches and caches of its engine.

    Returns:
        A :class:`~ftkit.inference.engine.TorchEngine`, or a reward model if scores are wanted.

    Raises:
        ModelError: it cannot be loaded.
    """
    source = wanted.source
    with _load_lock:
        if wanted.scores:
            return load_for_scores(wanted.name)
        if wanted.adapter is None:
            return TorchEngine(MultiLoRAModel.load(source), settings)
        plain = ModelSource(
            source.base_name, source.base, base_name=source.base_name, template_file=source.template_file
        )
        return TorchEngine(MultiLoRAModel.load(plain, quantised_as=source), settings)


def load_adapter(model: LoadedModel, adapter: LoadedAdapter, wanted: FoundModel) -> None:
    """Load an adapter beside its base model, once that is loaded; set the adapter's chat template.

    Args:
        model: the base model. Its thread does the work.
        adapter: the adapter; without a name it stands for the base model alone.
        wanted: the files of the adapter.

    Raises:
        ModelError: the base model or the adapter cannot be loaded.
    """
    model.ready.result()
    name, folder = adapter.name, wanted.adapter
    if name is None or folder is None:
        loaded = model.engine.model
        if loaded is None:
            raise ModelError(f"{model.label!r} was unloaded")
        adapter.chat_template = (loaded.pretrained if isinstance(loaded, MultiLoRAModel) else loaded).chat_template
        return
    adapter.chat_template = load_chat_template(wanted.source)
    multi_lora: MultiLoRAModel = model.engine.model
    adapter.chat_template.vocabulary = multi_lora.pretrained.chat_template.vocabulary

    def add() -> None:
        with _load_lock:
            multi_lora.add_adapter(name, folder)

    model.engine.call(add).result()
    _log.info("loaded the adapter %s beside %s", folder, model.label)
