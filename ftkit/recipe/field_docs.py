"""The fields of a recipe or adapter, for its docstring and for the tables in the documentation."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

__all__ = ["field_lines", "with_fields"]


def with_fields(kind: type[BaseModel]) -> None:
    """Append the fields of a class to its docstring, so that ``help`` and editors show them.

    Args:
        kind: a recipe or an adapter; its docstring is changed.
    """
    lines = [f"        {name} ({default}): {what}" for name, default, what in field_lines(kind)]
    if kind.__doc__ and lines:  # there is no docstring under `python -OO`
        kind.__doc__ = "\n".join([kind.__doc__.rstrip(), "", "    Fields:", *lines, "    "])


def field_lines(kind: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    """Describe the fields of a class.

    Args:
        kind: a recipe or an adapter.

    Yields:
        Name, default and description of each field but ``kind``, the description on one line.
    """
    for name, field in kind.model_fields.items():
        if name == "kind":
            continue
        yield name, _default(field), " ".join((field.description or "").split())


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    return f"default {f'{type(value).__name__}()' if isinstance(value, BaseModel) else _literal(value)}"


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)
