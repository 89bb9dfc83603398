"""One base model that answers with many LoRA adapters, each row of a batch with its own."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError

from ftkit.errors import ModelError
from ftkit.modeling.device import default_device
from ftkit.modeling.grouped_query_attention import GROUPED_ATTENTION
from ftkit.modeling.library_logging import quiet
from ftkit.modeling.load_for_inference import load_for_answers, own_precision
from ftkit.modeling.model_source import ModelSource
from ftkit.modeling.pretrained import Pretrained, load_pretrained

__all__ = ["Mixed", "held_bytes", "mixes", "release"]

_BASE = "__base__"
"""PEFT's name for a row without an adapter."""


def mixes(source: ModelSource) -> bool:
    """Whether ``source`` is an adapter that can stand beside others on one base.

    DoRA and AdaLoRA cannot (PEFT computes them for a whole batch only), nor what trains layers besides its matrices.

    Raises:
        ModelError: the adapter's settings cannot be read.
    """
    if source.adapter is None:
        return False
    try:
        settings = PeftConfig.from_pretrained(str(source.adapter))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"cannot read the adapter {source.adapter}: {error}") from error
    plain = type(settings) is LoraConfig and not settings.use_dora and settings.bias == "none"
    more = ("modules_to_save", "target_parameters", "trainable_token_indices", "alora_invocation_tokens")
    return plain and not any(getattr(settings, name, None) for name in more)


def held_bytes(model: Any) -> int:
    """Bytes of a model's weights, those shared by two layers counted once."""
    held = {x.data_ptr(): x.numel() * x.element_size() for x in (*model.parameters(), *model.buffers())}
    return sum(held.values())


def release() -> None:
    """Give back the memory of models that nothing uses; those of this module refer to themselves by their hooks."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class Mixed:
    """A loaded model and the adapters that stand on it. To be used by one thread.

    Args:
        source: the base; or a model that stands alone, which is loaded with its own adapter as
            :func:`~ftkit.modeling.load_for_inference.load_served` does.
        quantised_as: an adapter's source, whose base is held as in that adapter's training.
    """

    def __init__(self, source: ModelSource, *, quantised_as: ModelSource | None = None) -> None:
        like, where = quantised_as or source, default_device()
        precision = own_precision(like, where)
        if quantised_as is None:
            self.pretrained: Pretrained = load_for_answers(source, precision=precision, device=where)
        else:
            self.pretrained = load_pretrained(
                source,
                precision=precision,
                device=where,
                quantisation=like.quantisation,
                attention=GROUPED_ATTENTION,
            )
            if like.quantisation is not None and where.type == "cpu":
                with quiet():
                    self.pretrained.model = self.pretrained.model.dequantize()
            self.pretrained.model.eval()
        self._peft: PeftModel | None = None
        self._hooked: set[int] = set()
        self._names: list[str] = []
        # The same for every architecture: what is computed between the last layer and the logits is kept.
        self._last = torch.zeros(0, dtype=torch.long)
        self.pretrained.model.get_output_embeddings().register_forward_pre_hook(self._only_last)

    @property
    def model(self) -> Any:
        """The transformers model."""
        return self.pretrained.model

    def add(self, name: str, folder: Path) -> None:
        """Put the adapter in ``folder`` on the base, to be asked for as ``name`` (without dots).

        Raises:
            ModelError: it cannot be loaded, or does not fit the base.
        """
        try:
            with quiet():
                if self._peft is None:
                    self._peft = PeftModel.from_pretrained(self.model, str(folder), adapter_name=name)
                else:
                    self._peft.load_adapter(str(folder), adapter_name=name)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            if self._peft is not None and name in self._peft.peft_config:
                self.remove(name)
            raise ModelError(f"cannot load the adapter {folder}: {error}") from error
        finally:
            # Also after a failure, which may leave layers with an adapter that no row must use.
            self.model.eval()
            for layer in self.model.modules():
                if isinstance(layer, LoraLayer) and id(layer) not in self._hooked:
                    layer.register_forward_pre_hook(self._with_names, with_kwargs=True)
                    self._hooked.add(id(layer))

    def remove(self, name: str) -> None:
        """Take an adapter off and free its memory."""
        if self._peft is None:
            raise RuntimeError(f"no adapter {name!r} is on this base")
        with quiet():
            self._peft.delete_adapter(name)

    def logits(self, adapters: Sequence[str | None], last: torch.Tensor, **inputs: Any) -> torch.Tensor:
        """Logits [rows, vocabulary], float32, at token ``last[row]`` of each row of the pass.

        Args:
            adapters: for each row the name of its adapter; ``None`` for the base.
            last: [rows].
            inputs: for the transformers model.
        """
        self._names = [name or _BASE for name in adapters]
        self._last = last
        found: torch.Tensor = self.model(**inputs).logits[:, -1].float()
        return found

    def _only_last(self, head: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        hidden = inputs[0]
        return (hidden[torch.arange(len(hidden), device=hidden.device), self._last].unsqueeze(1),)

    def _with_names(
        self, layer: torch.nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return inputs, {**options, "adapter_names": self._names}
