"""Load the catalogue from the files of this package and the user's own rows."""

from __future__ import annotations

import os
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ftkit.catalog.catalog import Catalog
from ftkit.catalog.facts import Fact
from ftkit.errors import ConfigError
from ftkit.files import home

__all__ = ["OVERRIDE", "load_catalog"]

OVERRIDE = "catalog.toml"
"""Name of the user's file in ftkit's home. The file that ``FTKIT_CATALOG`` names overrides it."""

_KINDS: dict[str, type[Fact]] = {
    str(field.alias): field.annotation.__args__[0]  # type: ignore[union-attr]  # every field is tuple[Row, ...]
    for field in Catalog.model_fields.values()
}


def load_catalog(override: Path | None = None) -> Catalog:
    """Load the catalogue with the user's rows.

    The user's rows have the form of this package's files. A row with the key of a built-in row (provider and model, and
    for prices what they apply to) changes the fields that it names; any other row is added.

    Args:
        override: the user's file. Default: ``catalog.toml`` in ftkit's home, and over it the file that
            ``FTKIT_CATALOG`` names. Neither needs to exist.

    Returns:
        The catalogue.

    Raises:
        ConfigError: the user's file cannot be read; the message names the table, the row and the field.
    """
    named = os.environ.get("FTKIT_CATALOG")
    paths = [home() / OVERRIDE, *([Path(named)] if named else [])] if override is None else [override]
    texts = []
    for path in paths:
        try:
            texts.append((path, path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            pass
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot read the catalogue file: {error}") from None
    return _with_overrides(tuple(texts))


@cache
def _built_in() -> Catalog:
    tables: dict[str, list[dict[str, Any]]] = {kind: [] for kind in _KINDS}
    for file in sorted(files("ftkit.catalog").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            for kind, rows in tomllib.loads(file.read_text(encoding="utf-8")).items():
                tables[kind] += rows
    return Catalog.model_validate(tables)


@cache
def _with_overrides(texts: tuple[tuple[Path, str], ...]) -> Catalog:
    known = _built_in()
    for path, text in texts:
        known = _with_override(known, path, text)
    return known


def _with_override(known: Catalog, path: Path, text: str) -> Catalog:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    merged: dict[str, Any] = {}
    for name, field in Catalog.model_fields.items():
        rows: dict[tuple[Any, ...], Fact] = {row.key: row for row in getattr(known, name)}
        own = tables.pop(str(field.alias), [])
        for number, row in enumerate(own if isinstance(own, list) else [own], 1):
            made = _row(f"{path}: {field.alias} row {number}", _KINDS[str(field.alias)], row, rows)
            rows[made.key] = made
        merged[str(field.alias)] = tuple(rows.values())
    if tables:
        raise ConfigError(f"{path}: there is no table {min(tables)!r}; the tables are {', '.join(_KINDS)}")
    return Catalog.model_validate(merged)


def _row(place: str, kind: type[Fact], given: Any, rows: dict[tuple[Any, ...], Fact]) -> Fact:
    if not isinstance(given, dict):
        raise ConfigError(f"{place}: a row is a table, written under [[…]]")
    defaults = {name: kind.model_fields[name].default for name in kind.key_fields if name not in given}
    key = tuple(
        tuple(value) if isinstance(value, list) else value
        for value in (given.get(name, defaults.get(name)) for name in kind.key_fields)
    )
    before = rows.get(key)
    try:
        return kind.model_validate(({} if before is None else before.model_dump()) | given)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'row'}: {item['msg']}" for item in error.errors())
        raise ConfigError(f"{place}: {problems}") from None
