"""The fields of a recipe or adapter in words: for its docstring, and for the table in the documents."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

__all__ = ["field_lines", "with_fields"]


def with_fields(kind: type[BaseModel]) -> None:
    """Let the docstring of ``kind`` end with its fields, so that ``help`` and editors show them."""
    lines = [f"        {name} ({default}): {what}" for name, default, what in field_lines(kind)]
    if kind.__doc__ and lines:  # there is no docstring under `python -OO`
        kind.__doc__ = "\n".join([kind.__doc__.rstrip(), "", "    Fields:", *lines, "    "])


def field_lines(kind: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    """Name, default and meaning of each field but ``kind``, on one line each."""
    for name, field in kind.model_fields.items():
        if name == "kind":
            continue
        yield name, _default(field), " ".join((field.description or "").split())


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    made = field.get_default(call_default_factory=True, validated_data={})
    return f"default {f'{type(made).__name__}()' if isinstance(made, BaseModel) else _literal(made)}"


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)
