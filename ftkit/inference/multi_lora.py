"""A base model with several LoRA adapters, each row of a batch with its own."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from peft.tuners.lora import LoraLayer

from ftkit.modeling.dequantize import dequantize
from ftkit.modeling.device import default_device
from ftkit.modeling.grouped_query_attention import GROUPED_ATTENTION
from ftkit.modeling.library_logging import quiet
from ftkit.modeling.load_for_inference import load_for_answers, own_precision
from ftkit.modeling.model_source import ModelSource
from ftkit.modeling.peft_adapter import adapter_config, load_adapter
from ftkit.modeling.pretrained import Pretrained, load_pretrained

__all__ = ["MultiLoRAModel", "free_unused_memory", "is_plain_lora", "supports_multi_lora", "weight_bytes_in_memory"]

_BASE = "__base__"
"""PEFT's name for a row without an adapter."""


def supports_multi_lora(source: ModelSource) -> bool:
    """Say whether a model is an adapter that can share its base with others in one batch.

    PEFT computes DoRA and AdaLoRA for a whole batch only, and so does any adapter that trains layers besides its
    matrices.

    Args:
        source: the model.

    Returns:
        False also for a model without an adapter.

    Raises:
        ModelError: the adapter's settings cannot be read.
    """
    return source.adapter is not None and is_plain_lora(adapter_config(source.adapter))


def is_plain_lora(config: Any) -> bool:
    """Say whether an adapter changes nothing but weight matrices, each by the product of two.

    Args:
        config: its ``peft.PeftConfig``.

    Returns:
        Whether it does.
    """
    plain = type(config) is LoraConfig and not config.use_dora and config.bias == "none"
    more = ("modules_to_save", "target_parameters", "trainable_token_indices", "alora_invocation_tokens")
    return plain and not any(getattr(config, name, None) for name in more)


def weight_bytes_in_memory(model: Any) -> int:
    """Measure a loaded model's weights; weights that two layers share count once.

    Args:
        model: a torch module.

    Returns:
        Bytes of its parameters and buffers.
    """
    sizes = {x.data_ptr(): x.numel() * x.element_size() for x in (*model.parameters(), *model.buffers())}
    return sum(sizes.values())


def free_unused_memory() -> None:
    """Return the memory of models that nothing uses. Their hooks refer back to them, so they need the collector."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class MultiLoRAModel:
    """A loaded model that computes logits for rows with different adapters. Use it from one thread.

    Args:
        pretrained: the loaded model. Its output layer gets a hook; :meth:`close` removes it.
    """

    def __init__(self, pretrained: Pretrained) -> None:
        self.pretrained = pretrained
        self._peft: PeftModel | None = None
        self._hooked: set[int] = set()
        self._adapter_names: list[str] = []
        self._last: torch.Tensor | None = None
        # This works for every architecture: only the last token of each row reaches the output layer.
        head = pretrained.model.get_output_embeddings()
        self._head_hook = head.register_forward_pre_hook(self._only_last)

    @classmethod
    def load(cls, source: ModelSource, *, quantised_as: ModelSource | None = None) -> MultiLoRAModel:
        """Load a model for inference.

        Args:
            source: the base model, or a model with its own adapter, which is loaded as
                :func:`~ftkit.modeling.load_for_inference.load_served` loads it.
            quantised_as: an adapter whose base this is: precision and quantisation are those of its training.

        Returns:
            The loaded model.

        Raises:
            ModelError: the files are missing or unreadable.
        """
        like, device = quantised_as or source, default_device()
        precision = own_precision(like, device)
        if quantised_as is None:
            return cls(load_for_answers(source, precision=precision, device=device))
        pretrained = load_pretrained(
            source, precision=precision, device=device, quantisation=like.quantisation, attention=GROUPED_ATTENTION
        )
        if device.type == "cpu":
            pretrained.model = dequantize(pretrained.model)
        pretrained.model.eval()
        return cls(pretrained)

    @property
    def model(self) -> Any:
        """The transformers model."""
        return self.pretrained.model

    def add_adapter(self, name: str, folder: Path) -> None:
        """Load an adapter beside the base.

        Args:
            name: name of the adapter in :meth:`logits`, without dots.
            folder: where PEFT saved it.

        Raises:
            ModelError: it cannot be loaded, or does not fit the base.
        """
        try:
            self._peft = load_adapter(self.model if self._peft is None else self._peft, folder, name=name)
        finally:
            # Also after a failure, which may leave layers with an adapter that no row must use.
            self.model.eval()
            for layer in self.model.modules():
                if isinstance(layer, LoraLayer) and id(layer) not in self._hooked:
                    layer.register_forward_pre_hook(self._with_adapter_names, with_kwargs=True)
                    self._hooked.add(id(layer))

    def remove_adapter(self, name: str) -> None:
        """Unload an adapter.

        Args:
            name: the name that :meth:`add_adapter` was given.

        Raises:
            RuntimeError: no adapter was ever loaded.
        """
        if self._peft is None:
            raise RuntimeError(f"no adapter {name!r} is loaded")
        with quiet():
            self._peft.delete_adapter(name)

    def use_adapters(self, adapters: Sequence[str | None]) -> None:
        """Choose the adapters of the next pass.

        Args:
            adapters: the adapter of each row; None for the base.
        """
        self._adapter_names = [name or _BASE for name in adapters]

    def logits(
        self,
        adapters: Sequence[str | None],
        last: torch.Tensor,
        *,
        on_output: Callable[[Any], None] | None = None,
        **inputs: Any,
    ) -> torch.Tensor:
        """Run a forward pass and return the logits at one token of each row.

        Args:
            adapters: the adapter of each row; None for the base.
            last: ``[rows]``, the index of that token within the pass.
            on_output: called with what the model returns.
            inputs: arguments of the transformers model.

        Returns:
            ``[rows, vocabulary]``, float32.
        """
        self.use_adapters(adapters)
        self._last = last
        try:
            output = self.model(**inputs)
        finally:
            self._last = None  # other uses of the model get the logits of every token
        if on_output is not None:
            on_output(output)
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits

    def close(self) -> None:
        """Remove the hook from the model, which stays usable."""
        self._head_hook.remove()

    def _only_last(self, head: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor] | None:
        if self._last is None:
            return None
        hidden = inputs[0]
        return (hidden[torch.arange(len(hidden), device=hidden.device), self._last].unsqueeze(1),)

    def _with_adapter_names(
        self, layer: torch.nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return inputs, {**options, "adapter_names": self._adapter_names}
