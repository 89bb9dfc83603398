"""Settings of the server, from arguments or a TOML file."""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ftkit.backends.engines import DEFAULT_ENGINE, Engine, engine_from_settings
from ftkit.backends.grading import embedder_of
from ftkit.errors import ConfigError
from ftkit.inference.limits import ServingLimits
from ftkit.modeling.embedded_model import EMBEDDED
from ftkit.named_files import read_small_text
from ftkit.recipe import LOSSES, Recipe
from ftkit.schema.validation_errors import refusals

__all__ = ["Settings", "load_settings"]

_ANY_GRADER = {"type": "string_check", "input": "", "reference": "", "operation": "eq"}
"""Grader with which the ``reinforcement`` settings are validated; each job brings its own."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@-]{0,127}")


class Settings(BaseModel):
    """Settings of the server. A TOML file has the same names."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, arbitrary_types_allowed=True, validate_default=True
    )

    host: str = "127.0.0.1"
    """Address to listen on. Any other than the loopback address requires API keys."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 selects a free one."""
    organization: str = Field(default="local", pattern=r"^[a-z0-9-]{1,40}$")
    """Part of the names of fine-tuned models: ``ft:<base>:<organization>:<suffix>:<id>``."""
    models: dict[str, str] = Field(default_factory=lambda: {EMBEDDED: EMBEDDED})
    """Models to serve and fine-tune: the client's name → a folder, a hub id, or the id of a local run."""
    aliases: dict[str, str] = Field(default_factory=dict)
    """Further names: with ``"gpt-4.1-mini-2025-04-14" = "smollm2-135m"`` existing code runs unchanged."""
    recipe: dict[str, Any] = Field(default_factory=dict)
    """Recipe fields of every job, e.g. ``adapter = {kind = "qlora"}``. Hyperparameters of a job take precedence."""
    reinforcement: dict[str, Any] = Field(default_factory=dict)
    """Recipe fields of reinforcement jobs, e.g. ``max_output_tokens = 512``. ``allow_python = true`` allows Python
    graders, which run in a sandbox; ``embedder = "local:NAME"`` enables ``cosine`` graders."""
    concurrent_jobs: int = Field(default=1, ge=1)
    """Jobs that train at the same time; others wait in a queue."""
    max_file_bytes: int = Field(default=512 * 2**20, ge=1)
    """Largest file in one request (OpenAI: 512 MB)."""
    max_upload_bytes: int = Field(default=8 * 2**30, ge=1)
    """Largest file uploaded in parts (OpenAI: 8 GB)."""
    max_part_bytes: int = Field(default=64 * 2**20, ge=1)
    """Largest part (OpenAI: 64 MB)."""
    max_body_bytes: int = Field(default=8 * 2**20, ge=1024)
    """Largest JSON body."""
    engine: Engine = Field(default=DEFAULT_ENGINE)  # type: ignore[assignment]
    """What runs the models that answer: ``"torch"``, which is ftkit's own engine, ``"vllm"``, or a table with its
    kind and its settings, e.g. ``{kind = "vllm", max_num_seqs = 16}``. Jobs train with ftkit's own training."""
    memory_bytes: int | None = Field(default=None, ge=1)
    """Memory for all loaded models with their adapters and caches. Default: three quarters of the free memory."""
    cache_bytes: int | None = Field(default=None, ge=1)
    """KV cache of each base model, and as much again for cached prefixes. Default: 1/16 of ``memory_bytes``."""
    batch_answers: int | None = Field(default=None, ge=1)
    """Largest batch of answers per base model. Default: 32, or what the engine's settings say."""
    max_answers: int = Field(default=256, ge=1)
    """Answers in progress or waiting, over all models. Further requests get status 429."""
    body_patience_s: float = Field(default=30.0, gt=0.0)
    """Seconds that a client may take for a request's headers, and for its body in addition to 1 s per 16 KiB."""
    max_connections: int = Field(default=512, ge=1)
    """Open connections. Further ones get status 503."""
    shutdown_patience_s: int = Field(default=30, ge=0)
    """Seconds that answers in progress may take when the server stops. Clients then get an error, and five seconds
    later the connections are closed."""

    @field_validator("models", "aliases")
    @classmethod
    def _names(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if not _NAME.fullmatch(name):
                raise ValueError(f"invalid model name {name!r}: use only letters, digits and . _ / @ -")
        return value

    @field_validator("engine", mode="before")
    @classmethod
    def _engine(cls, value: Any) -> Engine:
        try:
            return engine_from_settings(value)
        except ConfigError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _check_consistency(self) -> Settings:
        for alias, name in self.aliases.items():
            if name not in self.models:
                raise ValueError(f"aliases: {alias!r} refers to {name!r}, which is not in models")
            if alias in self.models:
                raise ValueError(f"aliases: {alias!r} is already the name of a model")
        if "grader" in self.reinforcement:
            raise ValueError("reinforcement: grader: each job brings its own")
        if self.reinforcement.get("embedder") is not None:
            try:
                embedder_of(str(self.reinforcement["embedder"]))
            except ConfigError as error:
                raise ValueError(f"reinforcement: {error}") from None
        for kind in ("sft", "dpo", "rft"):
            fields = {"grader": _ANY_GRADER} if kind == "rft" else {}
            try:
                self.recipe_of(kind, **fields)
            except ValidationError as error:
                first = error.errors()[0]["loc"]
                table = "reinforcement" if first and first[0] in self.reinforcement else "recipe"
                values = self.recipe | (self.reinforcement if kind == "rft" else {}) | fields
                problem = refusals(error, LOSSES.get(kind), values)
                raise ValueError(f"{table}: {problem} (in a recipe for {kind})") from None
        return self

    def recipe_of(self, kind: str, **fields: Any) -> Recipe:
        """Build the recipe of a job.

        ``fields`` take precedence over :attr:`reinforcement` (for ``rft``), that over :attr:`recipe`, and that over
        ftkit's defaults.

        Args:
            kind: kind of recipe, e.g. ``"sft"``.
            **fields: fields of the recipe.

        Returns:
            The recipe.

        Raises:
            ValueError: a field is unknown or out of range.
        """
        of_kind = self.reinforcement if kind == "rft" else {}
        return LOSSES.get(kind).model_validate(self.recipe | of_kind | fields)

    @property
    def limits(self) -> ServingLimits:
        """What the models that answer may take."""
        return ServingLimits(self.memory_bytes, self.cache_bytes, batch=self.batch_answers, queue=self.max_answers)

    @property
    def loopback(self) -> bool:
        """Only this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def load_settings(path: str | os.PathLike[str] | None = None, **overrides: Any) -> Settings:
    """Load settings from a TOML file.

    Args:
        path: the file; ``None`` starts with the defaults.
        **overrides: settings that take precedence over the file's. Tables (e.g. ``models``) are merged.

    Returns:
        The settings.

    Raises:
        ConfigError: the file cannot be read or is not TOML, or a setting is unknown or out of range.
    """
    source = "settings" if path is None else str(path)
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(read_small_text(path))
        except OSError as error:
            raise ConfigError(f"{source}: cannot read the settings: {error.strerror}") from None
        except (ValueError, RecursionError) as error:  # also of a number with thousands of digits
            raise ConfigError(f"{source}: not valid TOML: {error}") from None
    for name, value in overrides.items():
        merge = isinstance(value, dict) and isinstance(values.get(name), dict)
        values[name] = values[name] | value if merge else value
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{source}: {refusals(error, Settings, values)}") from None
