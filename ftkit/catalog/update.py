"""Update the catalogue from a file or an address: LiteLLM's price map, or rows in the form of ftkit's own files."""

from __future__ import annotations

import json
import time
import tomllib
import zlib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from ftkit.catalog.catalog import Catalog
from ftkit.catalog.catalog_files import KINDS, UPDATES, built_in_catalog, make_row, read_updates, user_rows
from ftkit.catalog.fact import Fact
from ftkit.catalog.litellm_prices import is_price_map, price_map_rows
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError
from ftkit.extras import require
from ftkit.files import home, write_atomically
from ftkit.named_files import read_small_text

__all__ = ["CatalogUpdate", "update_catalog"]

_MAX_BYTES = 16 * 1024 * 1024
_MAX_SECONDS = 60.0
_MAX_REDIRECTS = 5
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ORIGIN = frozenset({"source", "as_of", "trust", "note", "readings"})
"""Fields that say where a fact comes from, and not what it is."""


@dataclass(frozen=True, slots=True)
class CatalogUpdate:
    """What an update did.

    Attributes:
        added: number of rows that the catalogue did not have.
        changed: number of rows with another value than before.
        agreeing: number of rows that say what the catalogue says already; they are not stored.
        older: number of rows that were read before what the catalogue has; they are not stored.
        overridden: number of stored rows that the user's own rows take precedence over.
        disagreements: what sources say differently, in sentences.
        problems: entries that could not be read, in sentences.
        path: the file of updates.
    """

    added: int
    changed: int
    agreeing: int
    older: int
    overridden: int
    disagreements: tuple[str, ...]
    problems: tuple[str, ...]
    path: Path


def update_catalog(
    origin: str, *, source: str | None = None, as_of: date | None = None, today: date | None = None
) -> CatalogUpdate:
    """Store the rows of a file or an address beside the catalogue's own. The user's rows keep their precedence.

    A row that says what the catalogue says already changes nothing. A price of a price map that differs from the
    catalogue's is stored as ``unsure`` with both readings.

    Args:
        origin: path of a file, or an ``https://`` address.
        source: URL of what a file holds, for a price map, whose entries do not name it. Default: ``origin`` if it is an
            address.
        as_of: date on which a file was read at its source. Default: today if ``origin`` is an address.
        today: the current date; default: the computer's.

    Returns:
        What was done.

    Raises:
        ConfigError: the origin cannot be read, has neither form, or a row has no source or no date.
    """
    if source is not None and not _is_address(source):
        raise ConfigError(ErrorText(Argument("source"), f" {source[:200]!r} is no address; write e.g. https://…"))
    today = today or date.today()
    remote = "://" in origin
    text = _download(origin) if remote else _read(origin)
    if remote:
        source, as_of = source or origin, as_of or today
    if as_of is not None and as_of > today:
        raise ConfigError(f"{origin}: the date {as_of} is in the future")
    path = home() / UPDATES
    with FileLock(path.with_suffix(".lock"), timeout=30):
        stored = read_updates(path)
        known = _merged(built_in_catalog(), stored)
        tables, problems, priced = _rows(origin, text, known, source, as_of)
        counts = {"added": 0, "changed": 0, "agreeing": 0, "older": 0}
        disagreements: list[str] = []
        mine = user_rows()
        overridden = 0
        for name, field in Catalog.model_fields.items():
            kind = str(field.alias)
            before = {row.key: row for row in getattr(known, name)}
            rows = {row.key: row for row in stored.get(kind, [])}
            for row in tables.get(kind, []):
                if row.as_of > today:
                    raise ConfigError(f"{origin}: {kind}: the date {row.as_of} is in the future")
                what, merged = _compare(before.get(row.key), row, priced)
                counts[what] += 1
                if merged is None:
                    continue
                rows[row.key] = merged
                overridden += (kind, row.key) in mine
                if merged.readings:
                    disagreements.append(f"{' '.join(map(str, filter(None, row.key)))}: {merged.disagreement}")
            stored[kind] = list(rows.values())
        _write(path, stored)
    return CatalogUpdate(
        **counts, overridden=overridden, disagreements=tuple(disagreements), problems=tuple(problems), path=path
    )


def _rows(
    origin: str, text: str, known: Catalog, source: str | None, as_of: date | None
) -> tuple[dict[str, list[Fact]], list[str], bool]:
    """The rows of a text by table, what could not be read, and whether they come from a price map."""
    tables: dict[str, Any]
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if is_price_map(data):
        if source is None or as_of is None:
            raise ConfigError(
                f"{origin} is a price map, whose prices name no date: say where it was read and when (source= and "
                "as_of=; --source URL --as-of DATE), because facts without a source or a date are not loaded"
            )
        tables, problems = price_map_rows(data, known, source=source, as_of=as_of)
        return {kind: _made(origin, kind, rows) for kind, rows in tables.items()}, problems, True
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError):  # of TOML, or of a number with thousands of digits
        raise ConfigError(f"{origin} is neither LiteLLM's price map (JSON) nor rows of the catalogue (TOML)") from None
    unknown = sorted(set(tables) - set(KINDS))
    if unknown:
        raise ConfigError(f"{origin}: there is no table {unknown[0]!r}; the tables are {', '.join(KINDS)}")
    return {kind: _made(origin, kind, rows) for kind, rows in tables.items()}, [], False


def _made(origin: str, kind: str, rows: Any) -> list[Fact]:
    given = rows if isinstance(rows, list) else [rows]
    return [make_row(f"{origin}: {kind} row {number}", KINDS[kind], row, {}) for number, row in enumerate(given, 1)]


def _compare(before: Fact | None, row: Fact, priced: bool) -> tuple[str, Fact | None]:
    """What a row does to the catalogue, and the row to store."""
    if before is None:
        return "added", row
    differs = {
        name: getattr(before, name)
        for name in type(row).model_fields
        if name not in _ORIGIN
        and getattr(before, name) != getattr(row, name)
        and (not priced or name in row.model_fields_set)  # a price map does not say everything
    }
    if not differs:
        return "agreeing", None
    if row.as_of < before.as_of:
        return "older", None
    if not priced:
        return "changed", row
    other = {name: "none" if value is None else value for name, value in differs.items()}
    reading = {"values": other, "source": before.source, "as_of": before.as_of, "note": before.note}
    given = before.model_dump() | row.model_dump(exclude_unset=True)
    return "changed", type(row).model_validate(given | {"trust": "unsure", "note": "", "readings": [reading]})


def _merged(known: Catalog, stored: dict[str, list[Fact]]) -> Catalog:
    tables: dict[str, Any] = {}
    for name, field in Catalog.model_fields.items():
        rows = {row.key: row for row in getattr(known, name)}
        rows |= {row.key: row for row in stored.get(str(field.alias), [])}
        tables[str(field.alias)] = tuple(rows.values())
    return Catalog.model_validate(tables)


def _write(path: Path, stored: dict[str, list[Fact]]) -> None:
    tables = {kind: [row.model_dump(mode="json", exclude_unset=True) for row in rows] for kind, rows in stored.items()}
    write_atomically(path, json.dumps({kind: rows for kind, rows in tables.items() if rows}, indent=1) + "\n")


def _read(origin: str) -> str:
    try:
        return read_small_text(origin)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"{origin}: cannot be read: {reason or error}") from None


def _download(url: str) -> str:
    """The text at an address; at most 16 MiB, within a minute, over HTTPS at every step."""
    httpx: Any = require("httpx", extra="openai", needed_for="reading the catalogue from an address")
    until = time.monotonic() + _MAX_SECONDS
    try:
        headers = {"accept-encoding": "identity"}
        with httpx.Client(timeout=20.0, follow_redirects=False, headers=headers) as client:
            local = urlsplit(url).scheme == "http"  # another machine must not lead to this one
            for _ in range(_MAX_REDIRECTS + 1):
                _check_address(url, local=local)
                with client.stream("GET", url) as response:
                    if response.is_redirect:
                        url = str(response.url.join(response.headers["location"]))
                        continue
                    if response.status_code != 200:
                        raise ConfigError(f"{url}: the server answered {response.status_code}")
                    return _body(response, url, until).decode("utf-8-sig")
    except httpx.HTTPError as error:
        raise ConfigError(f"{url}: cannot be read: {error or type(error).__name__}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{url}: it is not UTF-8") from None
    raise ConfigError(f"{url}: more than {_MAX_REDIRECTS} redirects")


def _body(response: Any, url: str, until: float) -> bytes:
    """The content of a response, expanded piece by piece, so that a small one cannot become a large one."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise ConfigError(f"{url}: it is compressed as {encoding[:40]!r}, which was not asked for")
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 16) if encoding.endswith("gzip") else None
    content = bytearray()
    for chunk in response.iter_raw():
        try:
            content += chunk if decoder is None else decoder.decompress(chunk, _MAX_BYTES + 1 - len(content))
        except zlib.error as error:
            raise ConfigError(f"{url}: it cannot be expanded: {error}") from None
        if len(content) > _MAX_BYTES:
            raise ConfigError(f"{url}: it is larger than {_MAX_BYTES >> 20} MiB")
        if time.monotonic() > until:
            raise ConfigError(f"{url}: it was not read within {_MAX_SECONDS:g} seconds")
    if decoder is not None and not decoder.eof:
        raise ConfigError(f"{url}: it ended in the middle")
    return bytes(content)


def _check_address(url: str, *, local: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (local and parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ConfigError(f"{url.partition('?')[0][:200]}: prices are read over https:// only")
    if "@" in parts.netloc:
        raise ConfigError(
            "the address contains a user name or a password; it would be stored as the source of every row"
        )


def _is_address(source: str) -> bool:
    try:
        parts = urlsplit(source)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:  # brackets that are not closed
        return False
