"""Load the catalogue from the files of this package, downloaded updates, and the user's own rows."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ftkit.catalog.catalog import Catalog
from ftkit.catalog.fact import Fact
from ftkit.errors import ConfigError
from ftkit.files import home
from ftkit.named_files import read_small_text

__all__ = [
    "KINDS",
    "OVERRIDE",
    "UPDATES",
    "built_in_catalog",
    "catalog_overrides",
    "load_catalog",
    "make_row",
    "read_updates",
    "user_rows",
    "write_catalog_overrides",
]

OVERRIDE = "catalog.toml"
"""Name of the user's file in ftkit's home. The file that ``FTKIT_CATALOG`` names overrides it."""

UPDATES = "catalog-updates.json"
"""Name of the file in ftkit's home that ``ftkit catalog update`` writes. The user's own file overrides it."""

_NAMED = "catalog-named.toml"
"""What the file that ``FTKIT_CATALOG`` names is called on another machine."""

KINDS: dict[str, type[Fact]] = {
    str(field.alias): field.annotation.__args__[0]  # type: ignore[union-attr]  # every field is tuple[Row, ...]
    for field in Catalog.model_fields.values()
}
"""The class of the rows of each table."""

_NOT_INHERITED = ("trust", "note", "readings")
"""Fields that speak of the source of a row, so that a row with another source does not take them over."""


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
    paths = _user_paths() if override is None else [override]
    updates = None if override is not None else _text(home() / UPDATES)
    return _with_overrides(updates, tuple((path, text) for path in paths if (text := _text(path)) is not None))


def user_rows() -> set[tuple[str, tuple[Any, ...]]]:
    """List the keys of the user's own rows.

    Returns:
        Pairs of a table's name and a row's key.

    Raises:
        ConfigError: the user's file cannot be read.
    """
    known = built_in_catalog()
    keys: set[tuple[str, tuple[Any, ...]]] = set()
    for path in _user_paths():
        text = _text(path)
        if text is not None:
            changed = _with_override(known, path, text)
            for name, field in Catalog.model_fields.items():
                rows = {row.key: row for row in getattr(known, name)}
                keys |= {(str(field.alias), row.key) for row in getattr(changed, name) if rows.get(row.key) is not row}
    return keys


def read_updates(path: Path) -> dict[str, list[Fact]]:
    """Read the rows that updates have stored.

    Args:
        path: the file; it does not need to exist.

    Returns:
        Rows by table.

    Raises:
        ConfigError: the file cannot be read.
    """
    text = _text(path)
    return {} if text is None else _parse_updates(path, text)


def catalog_overrides() -> dict[str, str]:
    """Read the files that change the catalogue here, for a process on another machine.

    Returns:
        Their texts by the names under which :func:`write_catalog_overrides` writes them.

    Raises:
        ConfigError: one of them cannot be read.
    """
    named = os.environ.get("FTKIT_CATALOG")
    paths = {UPDATES: home() / UPDATES, OVERRIDE: home() / OVERRIDE, **({_NAMED: Path(named)} if named else {})}
    return {name: text for name, path in paths.items() if (text := _text(path)) is not None}


def write_catalog_overrides(texts: Mapping[str, str], folder: Path) -> None:
    """Make the catalogue of this process that of the process that called :func:`catalog_overrides`.

    Args:
        texts: what that returned.
        folder: ftkit's home of this process.
    """
    for name in (UPDATES, OVERRIDE, _NAMED):
        if name in texts:
            (folder / name).write_text(texts[name], encoding="utf-8")
    os.environ.pop("FTKIT_CATALOG", None)
    if _NAMED in texts:
        os.environ["FTKIT_CATALOG"] = str(folder / _NAMED)


def _user_paths() -> list[Path]:
    named = os.environ.get("FTKIT_CATALOG")
    return [home() / OVERRIDE, *([Path(named)] if named else [])]


def _text(path: Path) -> str | None:
    try:
        return read_small_text(path)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot read the catalogue file: {error}") from None


def _parse_updates(path: Path, text: str) -> dict[str, list[Fact]]:
    try:
        tables = json.loads(text)
        if not isinstance(tables, dict) or not all(isinstance(rows, list) for rows in tables.values()):
            raise ValueError("it is no object of lists")
        return {
            kind: [make_row(f"{kind} row {number}", KINDS[kind], row, {}) for number, row in enumerate(rows, 1)]
            for kind, rows in tables.items()
            if kind in KINDS  # a newer ftkit may know more kinds
        }
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{path}: this file of downloaded prices cannot be read ({error}); delete it, and run `ftkit catalog "
            "update` again"
        ) from None


@cache
def built_in_catalog() -> Catalog:
    """Load the rows of this package's files.

    Returns:
        The catalogue without updates and the user's rows.
    """
    tables: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for file in sorted(files("ftkit.catalog").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            for kind, rows in tomllib.loads(file.read_text(encoding="utf-8")).items():
                tables[kind] += rows
    return Catalog.model_validate(tables)


@cache
def _with_overrides(updates: str | None, texts: tuple[tuple[Path, str], ...]) -> Catalog:
    known = built_in_catalog()
    if updates is not None:
        stored = _parse_updates(home() / UPDATES, updates)
        tables: dict[str, Any] = {}
        for name, field in Catalog.model_fields.items():
            rows = {row.key: row for row in getattr(known, name)}
            for row in stored.get(str(field.alias), []):
                if row.key not in rows or rows[row.key].as_of <= row.as_of:  # a newer ftkit may know better
                    rows[row.key] = row
            tables[str(field.alias)] = tuple(rows.values())
        known = Catalog.model_validate(tables)
    for path, text in texts:
        known = _with_override(known, path, text)
    return known


def _with_override(known: Catalog, path: Path, text: str) -> Catalog:
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # of TOML, or of a number with thousands of digits
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    merged: dict[str, Any] = {}
    for name, field in Catalog.model_fields.items():
        rows: dict[tuple[Any, ...], Fact] = {row.key: row for row in getattr(known, name)}
        own = tables.pop(str(field.alias), [])
        for number, row in enumerate(own if isinstance(own, list) else [own], 1):
            made = make_row(f"{path}: {field.alias} row {number}", KINDS[str(field.alias)], row, rows)
            rows[made.key] = made
        merged[str(field.alias)] = tuple(rows.values())
    if tables:
        raise ConfigError(f"{path}: there is no table {min(tables)!r}; the tables are {', '.join(KINDS)}")
    return Catalog.model_validate(merged)


def make_row(place: str, kind: type[Fact], given: Any, rows: dict[tuple[Any, ...], Fact]) -> Fact:
    """Make a row of a table. A row with the key of a known one changes the fields that it names.

    Args:
        place: where the row is written, for messages.
        kind: the class of the table's rows.
        given: the row as it was parsed.
        rows: the known rows by key.

    Returns:
        The row.

    Raises:
        ConfigError: it is no table, has an invalid field, or does not say where and when it was read.
    """
    if not isinstance(given, dict):
        raise ConfigError(f"{place}: a row is a table, written under [[…]]")
    defaults = {name: kind.model_fields[name].default for name in kind.key_fields if name not in given}
    key = tuple(
        tuple(value) if isinstance(value, list) else value
        for value in (given.get(name, defaults.get(name)) for name in kind.key_fields)
    )
    try:
        before = rows.get(key)
    except TypeError:  # a key that is a table
        before = None
    inherited = {} if before is None else before.model_dump(exclude={"source", "as_of", *_NOT_INHERITED})
    try:
        return kind.model_validate(inherited | given)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'row'}: {item['msg']}" for item in error.errors())
        hint = ""
        if {item["loc"] for item in error.errors()} & {("source",), ("as_of",)}:
            hint = ". Every fact needs a source (where it was read) and as_of (the date)"
        raise ConfigError(f"{place}: {problems}{hint}") from None
