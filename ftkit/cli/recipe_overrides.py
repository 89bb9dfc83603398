"""Override fields of a recipe: ``--set epochs=1 --set adapter.rank=8 --adapter dora``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from ftkit.errors import ConfigError
from ftkit.recipe import ADAPTERS, Recipe
from ftkit.schema.validation_errors import refusals
from ftkit.yaml_text import read_yaml_value

__all__ = ["override_recipe"]


def override_recipe(recipe: Recipe, assignments: Sequence[str], adapter: str | None = None) -> Recipe:
    """Return a recipe with some fields changed, and validate it.

    Args:
        recipe: the recipe, which is not modified.
        assignments: ``"field=value"`` or ``"adapter.field=value"`` with values in YAML. The last assignment of a field
            counts. ``adapter={kind: full}`` replaces the whole adapter.
        adapter: short for ``"adapter.kind=…"``. The new adapter keeps the fields that both kinds have. Other fields are
            dropped if they have their default value.

    Returns:
        The changed recipe.

    Raises:
        ConfigError: an assignment is malformed, a field does not exist or its value is invalid, or the new kind of
            adapter lacks a field that was set.
    """
    changes = [_assignment(text) for text in assignments]
    if adapter is not None:
        changes.append((("adapter", "kind"), adapter, f"--adapter {adapter}"))
    data = recipe.model_dump(mode="json")
    # The adapter's kind first: it determines the other fields.
    for path, value, text in sorted(
        changes, key=lambda item: (item[0] != ("adapter",), item[0] != ("adapter", "kind"))
    ):
        if path == ("adapter", "kind"):
            data["adapter"] = _with_kind(data["adapter"], value, text)
        else:
            _set(data, path, value, text)
    if data["kind"] != recipe.kind:
        raise ConfigError(f"--set kind={data['kind']}: cannot change the kind of a recipe; use another file")
    try:
        return type(recipe).model_validate(data)
    except ValidationError as error:
        raise ConfigError(refusals(error, type(recipe), data)) from None


def _assignment(text: str) -> tuple[tuple[str, ...], Any, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ConfigError(f"--set {text}: write it as field=value, e.g. --set epochs=2 or --set adapter.rank=8")
    try:
        read = read_yaml_value(value, f"--set {name}")
    except ConfigError:
        raise ConfigError(f"--set {text}: the value is not valid YAML; put it in quotes") from None
    return tuple(name.strip().split(".")), read, f"--set {text}"


def _set(data: dict[str, Any], path: tuple[str, ...], value: Any, text: str) -> None:
    *parents, last = path
    inside: Any = data
    for step in parents:
        if step in inside and inside[step] is None:
            inside[step] = {}  # a part that is off, such as preserve: setting one of its fields turns it on
        inside = inside.get(step)
        if not isinstance(inside, dict):
            raise ConfigError(f"{text}: {step} has no fields")
    inside[last] = value


def _with_kind(old: Any, kind: Any, text: str) -> dict[str, Any]:
    if not isinstance(kind, str) or kind not in ADAPTERS:
        raise ConfigError(f"{text}: there is no adapter {kind!r}; the adapters are {', '.join(ADAPTERS.names())}")
    if not isinstance(old, dict) or old.get("kind") not in ADAPTERS:
        raise ConfigError(f"{text}: the adapter is {old!r}, but an adapter is written as {{kind: {kind}}}")
    if old["kind"] == kind:
        return old
    defaults = {name: field.default for name, field in ADAPTERS.get(old["kind"]).model_fields.items()}
    chosen = {name: value for name, value in old.items() if name != "kind" and value != defaults.get(name)}
    missing = [name for name in chosen if name not in ADAPTERS.get(kind).model_fields]
    if missing:
        listed = ", ".join(f"{name}={chosen[name]}" for name in missing)
        raise ConfigError(
            f"{text}: the recipe's {old['kind']} adapter has {listed}, which {kind} does not have. To start from a "
            f"default {kind} adapter, write --set 'adapter={{kind: {kind}}}'"
        )
    return {"kind": kind, **chosen}
