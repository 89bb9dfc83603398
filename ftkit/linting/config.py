"""Settings of the linter in ``pyproject.toml``: the table ``[tool.ftkit.lint]``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ftkit.errors import ConfigError
from ftkit.named_files import read_small_text

__all__ = ["LintConfig", "load_lint_config"]


class LintConfig(BaseModel):
    """The keys of the table. Each has the name of a command-line option."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    select: list[str] = []
    ignore: list[str] = []
    ignore_rows: dict[str, list[str]] = Field(default={}, alias="ignore-rows")
    """By row id, codes (or prefixes, or ``ALL``) that are not reported for that row."""
    backends: list[str] = []
    fail_on: Literal["error", "warning", "info"] = Field(default="warning", alias="fail-on")
    task: Path | None = None
    """Relative to the folder of ``pyproject.toml``."""
    target: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    margin: str | None = None
    label: str | None = None
    row_format: str = Field(default="auto", alias="row-format")
    columns: dict[str, str] = {}
    id: str | None = None
    group: str | None = None


def load_lint_config(start: Path | None = None) -> LintConfig:
    """Load the settings from the nearest ``pyproject.toml``.

    Args:
        start: the folder to start from, and then its parents; the current folder by default.

    Returns:
        The settings; the defaults if there is no such file or no such table.

    Raises:
        ConfigError: the file is not valid TOML, or the table has an unknown key or an invalid value.
    """
    folder = (start or Path.cwd()).absolute()
    file = next(
        (each / "pyproject.toml" for each in (folder, *folder.parents) if (each / "pyproject.toml").is_file()), None
    )
    if file is None:
        return LintConfig()
    try:
        content: dict[str, Any] = tomllib.loads(read_small_text(file))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    table: Any = content
    for name in ("tool", "ftkit", "lint"):
        table = table.get(name, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{file}: {name} must be a table, as in [tool.ftkit.lint]")
    try:
        config = LintConfig.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        keys = ", ".join(field.alias or name for name, field in LintConfig.model_fields.items())
        problem = f"there is no such key; use {keys}" if first["type"] == "extra_forbidden" else first["msg"]
        raise ConfigError(f"{file}: [tool.ftkit.lint] {key}: {problem}") from None
    return config if config.task is None else config.model_copy(update={"task": file.parent / config.task})
