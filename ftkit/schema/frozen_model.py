"""The bases of frozen plain data, with error messages that name the field and say what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from typing_extensions import override

from ftkit.errors import ConfigError
from ftkit.schema.validation_errors import config_error, unknown_field

__all__ = ["DeclaredModel", "FrozenModel"]


class FrozenModel(BaseModel):
    """Plain data whose fields cannot be set or deleted after creation; a changed copy is made instead.

    Raises:
        ConfigError: a field is set or deleted; says how to make the copy.
    """

    model_config = ConfigDict(frozen=True)

    if not TYPE_CHECKING:  # type checkers know from the config that the fields are read-only

        def __setattr__(self, name: str, value: Any) -> None:
            try:
                super().__setattr__(name, value)
            except ValidationError:
                raise ConfigError(self._frozen_message(name, repr(value))) from None

        def __delattr__(self, name: str) -> None:
            try:
                super().__delattr__(name)
            except ValidationError:
                raise ConfigError(self._frozen_message(name, "…")) from None

    def _frozen_message(self, name: str, value: str) -> str:
        kind = type(self).__name__
        if name not in type(self).model_fields:
            return f"{kind}: {name}: {unknown_field(name, type(self))}"
        shown = value if len(value) <= 60 else "…"
        return (
            f"{kind} is frozen, so {name} cannot be changed; make a changed copy: "
            f'.model_copy(update={{"{name}": {shown}}})'
        )


class DeclaredModel(FrozenModel):
    """The base of what users declare beside a task: recipes, adapters, sampling, prices, probes.

    Raises:
        ConfigError: a field does not exist, or has an invalid value; names each.
    """

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    def __init__(self, *values: Any, **fields: Any) -> None:
        if values:
            kind = type(self).__name__
            name = next((name for name in type(self).model_fields if name not in ("kind", "type")), "…")
            raise ConfigError(f"{kind} takes its fields by name: {kind}({name}={values[0]!r:.40})")
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise config_error(error, type(self), fields) from None

    # Pydantic then creates a nested model without this constructor, so that all refused fields are named together.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @override
    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        # Validated like a new object, which pydantic's own copy is not.
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, **(update or {})})
