"""Finding and loading models: the embedded one, a local folder, a hub id, or what an earlier run produced."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from ftkit.engine.attention import TREE_ATTENTION
from ftkit.engine.embedded import EMBEDDED, embedded_folder
from ftkit.engine.machine import torch_dtype
from ftkit.engine.quiet import quiet
from ftkit.engine.rendering import Renderer
from ftkit.errors import ModelError
from ftkit.recipe import QLoRA

__all__ = ["Pretrained", "Quantisation", "Source", "find_source", "load_config", "load_pretrained"]


@dataclass(frozen=True, slots=True)
class Quantisation:
    """How frozen weights are held in 4 bits."""

    quant_type: Literal["nf4", "fp4"]
    double_quant: bool

    @classmethod
    def of(cls, adapter: object) -> Quantisation | None:
        """That of an adapter; ``None`` unless it is :class:`~ftkit.recipe.QLoRA`."""
        return cls(adapter.quant_type, adapter.double_quant) if isinstance(adapter, QLoRA) else None


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model's files are.

    Attributes:
        name: as the user wrote it.
        base: folder or hub id of the (base) model.
        adapter: folder of a PEFT adapter on top of it, if any.
        quantisation: how the base was held when the adapter was trained.
    """

    name: str
    base: str
    adapter: Path | None = None
    quantisation: Quantisation | None = None


@dataclass(slots=True)
class Pretrained:
    """A loaded model with its tokenizer."""

    source: Source
    model: Any
    tokenizer: Any
    renderer: Renderer
    precision: Literal["bf16", "fp32"]

    @property
    def max_length(self) -> int | None:
        """Longest sequence the model was made for, in tokens; ``None`` when its config does not say."""
        return context_length(self.model.config)


def context_length(config: Any) -> int | None:
    """Longest sequence a model's config states, in tokens."""
    for key in ("max_position_embeddings", "n_positions", "seq_length"):
        value = getattr(config, key, None)
        if isinstance(value, int):
            return value
    return None


def find_source(name: str) -> Source:
    """Where the model ``name`` is: the embedded model, a folder (plain or one made by ftkit), else a hub id.

    Raises:
        ModelError: a path that holds no model, or weights that are not installed.
    """
    if name == EMBEDDED:
        return Source(name, str(embedded_folder()))
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _folder_source(name, folder.resolve())
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(f"no folder {name!r}; a local model is a folder with a config.json")
    return Source(name, name)


def _folder_source(name: str, folder: Path) -> Source:
    settings = folder / "adapter_config.json"
    if settings.is_file():
        adapter = json.loads(settings.read_text(encoding="utf-8"))
        record = folder / "ftkit.json"
        known = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
        base = adapter.get("base_model_name_or_path")
        if known.get("base_name"):
            base = find_source(known["base_name"]).base
        if not base:
            raise ModelError(f"{settings}: base_model_name_or_path is empty, so the base model is not known")
        held = known.get("quantisation")
        return Source(name, base, folder, Quantisation(**held) if held else None)
    if (folder / "config.json").is_file():
        return Source(name, str(folder))
    raise ModelError(f"{folder} holds no model: neither config.json nor adapter_config.json is there")


def load_config(source: Source) -> Any:
    """The base model's config, without loading any weights."""
    try:
        return AutoConfig.from_pretrained(source.base)
    except (OSError, ValueError) as error:
        raise _not_loaded(source, error) from error


def load_pretrained(
    source: Source,
    *,
    precision: Literal["bf16", "fp32"],
    device: torch.device,
    quantisation: Quantisation | None = None,
    attention: str = TREE_ATTENTION,
) -> Pretrained:
    """Load the base model of ``source`` (not its adapter) with its tokenizer.

    Args:
        precision: type of the weights, or of the arithmetic when they are held in 4 bits.
        quantisation: hold the linear layers in 4 bits.
        attention: name of the attention implementation, see :mod:`ftkit.engine.attention`.

    Raises:
        ModelError: files missing or unreadable, the hub out of reach, or an architecture that generates no text.
    """
    dtype = torch_dtype(precision)
    extra: dict[str, Any] = {}
    if quantisation is not None:
        extra["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=quantisation.quant_type,
            bnb_4bit_use_double_quant=quantisation.double_quant,
            bnb_4bit_compute_dtype=dtype,
        )
    try:
        with quiet():
            model = AutoModelForCausalLM.from_pretrained(
                source.base, dtype=dtype, attn_implementation=attention, device_map={"": device}, **extra
            )
            tokenizer = AutoTokenizer.from_pretrained(source.adapter or source.base)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise _not_loaded(source, error) from error
    model.eval()
    return Pretrained(source, model, tokenizer, Renderer(tokenizer, stop_ids(model.generation_config)), precision)


def stop_ids(generation_config: Any) -> tuple[int, ...]:
    """Token ids at which the model's own generation config stops."""
    eos = getattr(generation_config, "eos_token_id", None)
    return () if eos is None else (int(eos),) if isinstance(eos, int) else tuple(int(one) for one in eos)


def _not_loaded(source: Source, error: Exception) -> ModelError:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ModelError(
        f"cannot load the model {source.name!r}: {first} (give a local folder, a hub id that is in the local cache or "
        f'reachable, or "{EMBEDDED}" for the embedded model)'
    )
