"""The base of frozen plain data: how it says that it cannot be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ftkit.errors import ConfigError
from ftkit.schema.validation_errors import unknown_field

__all__ = ["Frozen"]


class Frozen(BaseModel):
    """Plain data whose fields cannot be set or deleted once it is made; a copy with changes is made instead.

    Raises:
        ConfigError: a field is set or deleted; says how to make the copy.
    """

    model_config = ConfigDict(frozen=True)

    if not TYPE_CHECKING:  # type checkers know from the config that the fields are read-only

        def __setattr__(self, name: str, value: Any) -> None:
            try:
                super().__setattr__(name, value)
            except ValidationError:
                raise ConfigError(self._refusal(name, repr(value))) from None

        def __delattr__(self, name: str) -> None:
            try:
                super().__delattr__(name)
            except ValidationError:
                raise ConfigError(self._refusal(name, "…")) from None

    def _refusal(self, name: str, value: str) -> str:
        kind = type(self).__name__
        if name not in type(self).model_fields:
            return f"{kind}: {name}: {unknown_field(name, type(self))}"
        shown = value if len(value) <= 60 else "…"
        return (
            f"{kind} is frozen, so {name} cannot be changed; make a changed copy: "
            f'.model_copy(update={{"{name}": {shown}}})'
        )
