"""What becomes of each field of a recipe on a host: a table, and the refusals that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ftkit.errors import RefusedError
from ftkit.recipe import Recipe

__all__ = ["HERE_ONLY", "HOST_CHOOSES", "Treatment", "Treatments", "flat", "refuse"]

How = Literal["honoured", "translated", "refused", "no effect"]


@dataclass(frozen=True, slots=True)
class Treatment:
    """What becomes of one field.

    Attributes:
        how: ``"honoured"``: sent as it is. ``"translated"``: sent in the host's terms. ``"no effect"``: only says how
            this machine computes. ``"refused"``: the host chooses for itself; only the default is taken, which asks
            for nothing.
        why: the name it goes by there, or why not.
        takes: the values that are taken; ``None``: all that ``how`` allows.
    """

    how: How
    why: str
    takes: tuple[Any, ...] | None = None

    def allows(self, value: Any, default: Any) -> bool:
        """Whether the host takes ``value``."""
        if self.takes is not None:
            return value in self.takes
        return self.how != "refused" or value == default


HOST_CHOOSES = Treatment("refused", "the host chooses it and takes no word on it")
HERE_ONLY = Treatment("no effect", "says how this machine computes; changes no number")

Treatments = Mapping[str, Treatment]
"""By the field's dotted name, e.g. ``"adapter.rank"``."""


def flat(recipe: Recipe) -> dict[str, Any]:
    """The recipe's fields by dotted name, without its ``kind``."""
    found: dict[str, Any] = {}
    for name, value in recipe.model_dump().items():
        if name == "adapter":
            found |= {f"adapter.{inner}": held for inner, held in value.items()}
        elif name != "kind":
            found[name] = value
    return found


def refuse(recipe: Recipe, treatments: Treatments, backend: str) -> None:
    """Refuse the fields that a host cannot honour.

    Raises:
        RefusedError: names them all.
    """
    values = flat(recipe)
    # Against the defaults of the same adapter, which are those of the class; what must be given has none.
    must = {name: getattr(recipe, name) for name, field in type(recipe).model_fields.items() if field.is_required()}
    given = {**must, "kind": recipe.kind, "adapter": {"kind": recipe.adapter.kind}}
    defaults = flat(type(recipe).model_validate(given))
    kind = treatments["adapter.kind"]
    if not kind.allows(values["adapter.kind"], None):
        values = {name: value for name, value in values.items() if not name.startswith("adapter.")} | {
            "adapter.kind": values["adapter.kind"]
        }
    wrong = {
        name: treatments[name] for name, value in values.items() if not treatments[name].allows(value, defaults[name])
    }
    if wrong:
        told = "; ".join(f"{name}={values[name]!r}: {found.why}" for name, found in wrong.items())
        raise RefusedError(
            f"{backend} cannot honour the recipe. {told}. Leave these at their defaults, or train elsewhere",
            backend=backend,
            fields=tuple(wrong),
        )
