"""What a server is told when it starts: arguments, or a TOML file."""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ftkit.backends.grading import embedder_of
from ftkit.errors import ConfigError
from ftkit.modeling.embedded_model import EMBEDDED
from ftkit.recipe import LOSSES, Recipe
from ftkit.schema.validation_errors import refusals

__all__ = ["Settings", "load_settings"]

_ANY_GRADER = {"type": "string_check", "input": "", "reference": "", "operation": "eq"}
"""With which the settings of reinforcement are tried; every job has a grader of its own."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@-]{0,127}")


class Settings(BaseModel):
    """How the server runs. The same names in TOML, without a table for the plain ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    host: str = "127.0.0.1"
    """Address to listen on. Any but the loopback's needs API keys."""
    port: int = Field(default=8000, ge=0, le=65535)
    """0 takes a free one."""
    organization: str = Field(default="local", pattern=r"^[a-z0-9-]{1,40}$")
    """Goes into the names of tuned models: ``ft:<base>:<organization>:<suffix>:<id>``."""
    models: dict[str, str] = Field(default_factory=lambda: {EMBEDDED: EMBEDDED})
    """Models that are served and tuned: the name that clients use → a folder, a hub id, or the id of a run here."""
    aliases: dict[str, str] = Field(default_factory=dict)
    """Other names: ``"gpt-4.1-mini-2025-04-14" = "smollm2-135m"`` lets old code run unchanged."""
    recipe: dict[str, Any] = Field(default_factory=dict)
    """Fields of the recipe of every job, e.g. ``adapter = {kind = "qlora"}``; what a job says itself goes before."""
    reinforcement: dict[str, Any] = Field(default_factory=dict)
    """The same of reinforcement jobs only, e.g. ``max_output_tokens = 512``. With ``allow_python = true`` clients may
    send Python graders, which run in a sandbox; with ``embedder = "local:NAME"`` graders of ``cosine``."""
    concurrent_jobs: int = Field(default=1, ge=1)
    """Jobs that train at once; the others wait in a queue."""
    max_file_bytes: int = Field(default=512 * 2**20, ge=1)
    """Largest file in one request; OpenAI's is 512 MB."""
    max_upload_bytes: int = Field(default=8 * 2**30, ge=1)
    """Largest file in parts; OpenAI's is 8 GB."""
    max_part_bytes: int = Field(default=64 * 2**20, ge=1)
    """Largest part; OpenAI's is 64 MB."""
    max_body_bytes: int = Field(default=8 * 2**20, ge=1024)
    """Largest JSON body."""
    memory_bytes: int | None = Field(default=None, ge=1)
    """Memory for all models that answer, with their adapters and caches; three quarters of what is free by default."""
    cache_bytes: int | None = Field(default=None, ge=1)
    """Of each base for its answers on their way, and as much again for beginnings; by default a sixteenth of all."""
    batch_answers: int = Field(default=32, ge=1)
    """Answers of one base that are computed together."""
    max_answers: int = Field(default=256, ge=1)
    """Answers on their way or waiting, all models together; beyond that requests are answered 429."""
    body_patience_s: float = Field(default=30.0, gt=0.0)
    """Seconds a client may take to send a request's head, and for its body beyond one second per 16 KiB."""
    max_connections: int = Field(default=512, ge=1)
    """Connections at once; more are answered 503."""
    shutdown_patience_s: int = Field(default=30, ge=0)
    """Seconds that answers under way may take when the server is told to stop; then their clients are told that it
    does, and five seconds later connections are cut."""

    @field_validator("models", "aliases")
    @classmethod
    def _names(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name for a model: letters, digits and . _ / @ - only")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Settings:
        for alias, name in self.aliases.items():
            if name not in self.models:
                raise ValueError(f"aliases: {alias!r} stands for {name!r}, which is none of models")
            if alias in self.models:
                raise ValueError(f"aliases: {alias!r} is the name of a model already")
        if "grader" in self.reinforcement:
            raise ValueError("reinforcement: grader: each job brings its own")
        if self.reinforcement.get("embedder") is not None:
            try:
                embedder_of(str(self.reinforcement["embedder"]))
            except ConfigError as error:
                raise ValueError(f"reinforcement: {error}") from None
        for kind in ("sft", "dpo", "rft"):
            said = {"grader": _ANY_GRADER} if kind == "rft" else {}
            try:
                self.recipe_of(kind, **said)
            except ValidationError as error:
                first = error.errors()[0]["loc"]
                table = "reinforcement" if first and first[0] in self.reinforcement else "recipe"
                given = self.recipe | (self.reinforcement if kind == "rft" else {}) | said
                what = refusals(error, LOSSES.get(kind), given)
                raise ValueError(f"{table}: {what} (in a recipe for {kind})") from None
        return self

    def recipe_of(self, kind: str, **said: Any) -> Recipe:
        """The recipe of a job: what it says itself, then :attr:`reinforcement` if it is one, then :attr:`recipe`, then
        ftkit's defaults.

        Raises:
            ValueError: a field that is unknown or out of range.
        """
        of_kind = self.reinforcement if kind == "rft" else {}
        return LOSSES.get(kind).model_validate(self.recipe | of_kind | said)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def load_settings(path: str | os.PathLike[str] | None = None, **said: Any) -> Settings:
    """The settings in a TOML file, with ``said`` over them; models and aliases are added, all else is replaced.

    Raises:
        ConfigError: no such file, not TOML, or a setting that is unknown or out of range.
    """
    where = "settings" if path is None else str(path)
    found: dict[str, Any] = {}
    if path is not None:
        try:
            found = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{where}: cannot read the settings: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{where}: not valid TOML: {error}") from None
    for name, value in said.items():
        added = isinstance(value, dict) and isinstance(found.get(name), dict)
        found[name] = found[name] | value if added else value
    try:
        return Settings.model_validate(found)
    except ValidationError as error:
        raise ConfigError(f"{where}: {refusals(error, Settings, found)}") from None
