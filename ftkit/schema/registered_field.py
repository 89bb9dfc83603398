"""A pydantic field whose class a registry chooses by a tag in the data, so that plug-ins can add classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from ftkit.errors import ConfigError
from ftkit.registry import Registry

__all__ = ["RegisteredField"]


class RegisteredField:
    """Annotate a field with it: ``adapter: Annotated[Adapter, RegisteredField(ADAPTERS, "kind", Adapter)]``.

    The field takes an instance of the base class as it is. It takes a mapping with the tag, and validates the mapping
    with the class that the registry has under that name. It dumps every field of the instance.

    Args:
        registry: classes by name.
        tag: the key of the data that holds the name, e.g. ``"kind"``.
        base: base class of all registered classes.
    """

    def __init__(self, registry: Registry[Any], tag: str, base: type[BaseModel]) -> None:
        self.registry = registry
        self.tag = tag
        self.base = base

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def class_of(self, data: Any) -> type[BaseModel] | None:
        """Return the class that validates some data.

        Args:
            data: what was given for the field.

        Returns:
            The class registered under the data's tag, or None if the data has no known tag.
        """
        name = data.get(self.tag) if isinstance(data, Mapping) else None
        try:
            known: type[BaseModel] | None = self.registry.find(name) if isinstance(name, str) else None
        except ConfigError:  # an installed package's class that cannot be loaded
            return None
        return known

    def _validate(self, value: Any) -> BaseModel:
        """Pydantic puts the field's name before the places that an inner ValidationError names."""
        if isinstance(value, self.base):
            return value
        if not isinstance(value, Mapping):
            raise ValueError(f"should be a mapping with {self.tag}, not {type(value).__name__}")
        if self.tag not in value:
            raise ValueError(f"{self.tag} is missing; known are {', '.join(self.registry.names())}")
        name = value[self.tag]
        try:
            chosen: type[BaseModel] = self.registry.get(name if isinstance(name, str) else repr(name))
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return chosen.model_validate(value)
