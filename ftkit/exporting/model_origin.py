"""The model that is exported: its files and its training record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ftkit.backends.local import LocalBackend
from ftkit.exporting.export_result import Base
from ftkit.modeling.model_source import ModelSource, find_source, read_object, split_template
from ftkit.recipe import ADAPTERS

__all__ = ["Origin"]

_COMMON_RANK = 16
"""Largest LoRA rank that servers accept by default."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A model's files and metadata.

    Attributes:
        source: where the base and the adapter are.
        settings: the content of ``adapter_config.json``; empty for a whole model.
    """

    source: ModelSource
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, name: str) -> Origin:
        """Find a model of the local backend.

        Args:
            name: a run's id, or any name that :func:`find_source` takes.

        Returns:
            The model.

        Raises:
            ModelError: there is no such model, or its files cannot be read.
        """
        source = find_source(LocalBackend(name).source_name())
        return cls(source, read_object(source.adapter / "adapter_config.json") if source.adapter else {})

    @property
    def record(self) -> Mapping[str, Any]:
        """The content of ``ftkit.json``; empty if ftkit did not train the model."""
        return self.source.record

    @property
    def adapter(self) -> str:
        """Kind of the trained adapter, as in a recipe, or ``"none"``."""
        recipe = self.record.get("recipe")
        if isinstance(recipe, Mapping):
            return str(recipe["adapter"]["kind"])
        if self.source.adapter is None:
            return "none"
        quantised = self.source.quantisation is not None
        for kind, adapter in ADAPTERS.items():
            if adapter.matches_peft_config(self.settings, quantised=quantised):
                return kind
        return str(self.settings.get("peft_type", "none")).lower()

    @property
    def base_name(self) -> str:
        """The base model's name."""
        own = split_template(self.source.name)[0]
        return str(self.record.get("trained_from") or self.settings.get("base_model_name_or_path") or own)

    @property
    def modules_to_save(self) -> tuple[str, ...]:
        """Names of the full layers that were trained beside the adapter (PEFT's ``modules_to_save``)."""
        return tuple(self.settings.get("modules_to_save") or ())

    @property
    def traits(self) -> frozenset[str]:
        """Properties that decide which servers take the model; see :func:`ftkit.exporting.servers.servers_for`."""
        found = {
            "rslora": self.settings.get("use_rslora"),
            "modules_to_save": self.modules_to_save,
            "high_rank": int(self.settings.get("r") or 0) > _COMMON_RANK,
        }
        return frozenset(name for name, there in found.items() if there)

    def standing_on(self, base: Base) -> Base | None:
        """Return the base to export on, or None if the model has no 4-bit weights.

        Args:
            base: the base that the user asked for.

        Returns:
            ``base`` for a QLoRA model, else None.
        """
        return None if self.source.quantisation is None else base
