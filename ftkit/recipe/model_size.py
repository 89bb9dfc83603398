"""The size of a model, on which the best learning rate depends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ModelSize"]

_BASE = 2_000
_SMALLEST = 512
_QWEN, _LLAMA = 0.0775, 0.781


@dataclass(frozen=True, slots=True)
class ModelSize:
    """The size of a model.

    Attributes:
        hidden_size: width of the residual stream; None if it is not known, as of a host's model.
        family: ``model_type`` of the config; None if it is not known.
    """

    hidden_size: int | None = None
    family: str | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any] | None) -> ModelSize:
        """Read the size from a model's config.

        Args:
            config: the parsed ``config.json``, or a transformers config's ``to_dict()``; None if there is none.

        Returns:
            The size; what the config does not say is None.
        """
        whole = config or {}
        nested = whole.get("text_config")
        text = nested if isinstance(nested, Mapping) else whole
        width, family = text.get("hidden_size", text.get("n_embd")), text.get("model_type")
        return cls(
            width if isinstance(width, int) and not isinstance(width, bool) and width > 0 else None,
            family if isinstance(family, str) else None,
        )

    @property
    def rate_factor(self) -> float:
        """What a learning rate that is best at a hidden size of 2,000 is multiplied by.

        It is (2,000 / hidden size)^p, where p is 0.781 for Llama and 0.0775 for Qwen: the values of tinker-cookbook
        (``hyperparam_utils.get_lr``). Families that are not called Qwen get Llama's. Below a hidden size of 512 it
        rises no further, and without one it is 1.
        """
        if self.hidden_size is None:
            return 1.0
        exponent = _QWEN if (self.family or "").startswith("qwen") else _LLAMA
        return float((_BASE / max(self.hidden_size, _SMALLEST)) ** exponent)
