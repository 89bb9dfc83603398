"""The base of what users declare beside a task: recipes, adapters, sampling, prices, probes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import ConfigDict, ValidationError

from ftkit.schema.frozen_model import Frozen
from ftkit.schema.validation_errors import config_error

__all__ = ["Declared"]


class Declared(Frozen):
    """Frozen plain data whose fields are all known.

    Raises:
        ConfigError: a field that does not exist, or a value that makes no sense; names each.
    """

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise config_error(error, type(self), fields) from None

    # Pydantic then reads a nested one without this constructor, so that all refused fields are named together.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some fields changed, validated like a new object (pydantic's own copy would not be)."""
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, **(update or {})})
