"""Which recipe fields a host supports, and the refusals that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ftkit.errors import RefusedError
from ftkit.recipe import Recipe

__all__ = [
    "HOST_CHOOSES",
    "LEARNS_ALL",
    "LOCAL_ONLY",
    "UNKNOWN_FIELD",
    "FieldSupport",
    "FieldSupportTable",
    "check_fields",
    "flatten_recipe",
    "fractional_alpha",
]

Support = Literal["honoured", "translated", "refused", "no effect"]


@dataclass(frozen=True, slots=True)
class FieldSupport:
    """How a host supports one recipe field.

    Attributes:
        how: ``"honoured"``: the value is sent unchanged. ``"translated"``: the value is sent in the host's terms.
            ``"no effect"``: the field only says how this machine computes. ``"refused"``: the host chooses the value
            itself; only the field's default is accepted.
        why: the name of the field at the host, or the reason for the refusal.
        takes: the only values that are accepted. None: all values that ``how`` allows.
    """

    how: Support
    why: str
    takes: tuple[Any, ...] | None = None

    def allows(self, value: Any, default: Any) -> bool:
        """Return whether the host accepts a value.

        Args:
            value: the value of the field.
            default: the field's default.

        Returns:
            Whether it is accepted.
        """
        if self.takes is not None:
            return value in self.takes
        return self.how != "refused" or bool(value == default)


HOST_CHOOSES = FieldSupport("refused", "the host chooses the value and has no parameter for it")
LEARNS_ALL = FieldSupport("refused", "the host learns whole turns")
LOCAL_ONLY = FieldSupport("no effect", "says how this machine computes, and changes no result")
UNKNOWN_FIELD = FieldSupport("refused", "ftkit does not know how to send this field to the host")
"""Support for a field that a host's table does not list."""

FieldSupportTable = Mapping[str, FieldSupport]
"""By the field's dotted name, e.g. ``"adapter.rank"``."""

_REQUIRED = object()
"""Default of a field that has none; equal to no value."""


def flatten_recipe(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe's fields by dotted name.

    Args:
        recipe: the recipe.

    Returns:
        Values by name, e.g. ``"adapter.rank"``; ``kind`` is left out, ``adapter.kind`` is not.
    """
    fields: dict[str, Any] = {}
    for name, value in recipe.model_dump().items():
        if name == "adapter":
            fields |= {f"adapter.{inner}": held for inner, held in value.items()}
        elif name != "kind":
            fields[name] = value
    return fields


def check_fields(recipe: Recipe, table: FieldSupportTable, backend: str, model: str = "") -> None:
    """Refuse the fields that a host does not support.

    Args:
        recipe: the recipe.
        table: the host's support of each field of this kind of recipe. A field that it does not list is accepted with
            its default only.
        backend: name of the backend.
        model: the model, for the message.

    Raises:
        RefusedError: fields are not supported; names all of them.
    """
    values, defaults = flatten_recipe(recipe), _defaults(recipe)
    if not table.get("adapter.kind", UNKNOWN_FIELD).allows(values["adapter.kind"], _default_adapter(recipe)):
        # The fields of an adapter that the host does not train need no refusal of their own.
        values = {name: value for name, value in values.items() if not name.startswith("adapter.")} | {
            "adapter.kind": values["adapter.kind"]
        }
        defaults = defaults | {"adapter.kind": _default_adapter(recipe)}
    refused = {
        name: support
        for name, value in values.items()
        if not (support := table.get(name, UNKNOWN_FIELD)).allows(value, defaults[name])
    }
    if refused:
        reasons = "; ".join(f"{name}={values[name]!r}: {support.why}" for name, support in refused.items())
        raise RefusedError(
            f"{backend}{model and f':{model}'} cannot honour the recipe. {reasons}. Leave these fields at their "
            "defaults, or train elsewhere",
            backend=backend,
            fields=tuple(refused),
        )


def _defaults(recipe: Recipe) -> dict[str, Any]:
    """Defaults of the recipe's fields by dotted name; those of the adapter are its own class's."""
    adapter = recipe.adapter
    found = {name: _default(field) for name, field in type(recipe).model_fields.items() if name != "kind"}
    found.pop("adapter", None)
    found |= {f"adapter.{name}": _default(field) for name, field in type(adapter).model_fields.items()}
    return found | {"adapter.kind": adapter.kind}


def _default(field: Any) -> Any:
    if field.is_required():
        return _REQUIRED
    value = field.get_default(call_default_factory=True)
    return value.model_dump() if hasattr(value, "model_dump") else value


def _default_adapter(recipe: Recipe) -> str:
    default = type(recipe).model_fields["adapter"].get_default(call_default_factory=True)
    return str(getattr(default, "kind", ""))


def fractional_alpha(recipe: Recipe) -> dict[str, str]:
    """Check ``lora_alpha`` for hosts that take a whole number.

    Args:
        recipe: the recipe.

    Returns:
        By dotted name, what the host accepts; empty if it accepts the value.
    """
    alpha: Any = getattr(recipe.adapter, "lora_alpha", "auto")
    if alpha == "auto" or (alpha >= 1 and float(alpha).is_integer()):
        return {}
    return {"adapter.lora_alpha": "the host takes a whole number from 1 on"}
