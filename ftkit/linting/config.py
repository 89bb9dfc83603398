"""What ``pyproject.toml`` says about linting: the table ``[tool.ftkit.lint]``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ftkit.errors import ConfigError

__all__ = ["Configuration", "configuration"]


class Configuration(BaseModel):
    """The table's keys; each is the command's option of that name."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    select: list[str] = []
    ignore: list[str] = []
    ignore_rows: dict[str, list[str]] = Field(default={}, alias="ignore-rows")
    """By row id, codes (or beginnings, or ``ALL``) that are not reported for that row."""
    backends: list[str] = []
    fail_on: Literal["error", "warning", "info"] = Field(default="warning", alias="fail-on")
    task: Path | None = None
    """From the folder of ``pyproject.toml``."""
    target: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    margin: str | None = None
    row_format: str = Field(default="auto", alias="row-format")
    columns: dict[str, str] = {}
    id: str | None = None
    group: str | None = None


def configuration(start: Path | None = None) -> Configuration:
    """That of the nearest ``pyproject.toml`` at or above ``start`` (the current folder), or the defaults.

    Raises:
        ConfigError: the file is not TOML, or the table has a key or a value that makes no sense.
    """
    folder = (start or Path.cwd()).absolute()
    file = next(
        (each / "pyproject.toml" for each in (folder, *folder.parents) if (each / "pyproject.toml").is_file()), None
    )
    if file is None:
        return Configuration()
    try:
        content: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    table: Any = content
    for name in ("tool", "ftkit", "lint"):
        table = table.get(name, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{file}: {name} must be a table, as in [tool.ftkit.lint]")
    try:
        found = Configuration.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        keys = ", ".join(field.alias or name for name, field in Configuration.model_fields.items())
        what = f"there is no such key; use {keys}" if first["type"] == "extra_forbidden" else first["msg"]
        raise ConfigError(f"{file}: [tool.ftkit.lint] {where}: {what}") from None
    return found if found.task is None else found.model_copy(update={"task": file.parent / found.task})
