"""Limits on the memory that loaded models take. This module imports nothing heavy."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from ftkit.errors import ConfigError

__all__ = [
    "DEFAULT_BATCH",
    "MAX_BATCH_SIZE",
    "PASS_TOKENS",
    "STEP_TOKENS",
    "LoadedModelLimits",
    "ServingLimits",
    "loaded_model_limits",
    "set_loaded_model_limits",
]

DEFAULT_BATCH = 32
"""Answers of one base model that a server generates together, if nothing else is said."""

MAX_BATCH_SIZE = 32
"""Answers generated together, outside of a server."""

PASS_TOKENS = 2_048
"""Prompt tokens computed in one forward pass, outside of a server."""

STEP_TOKENS = 16_384
"""Prompt tokens computed between two generated tokens of the running answers, outside of a server."""


@dataclass(frozen=True, slots=True)
class ServingLimits:
    """What a server may take of the machine.

    Attributes:
        memory_bytes: memory of all loaded models with their adapters and caches; None takes three quarters of what is
            free on the device when the first model is loaded.
        cache_bytes: memory for keys and values of the running answers of each base model, and as much again for its
            prefix cache; None takes a sixteenth of ``memory_bytes``.
        batch: answers of one base model that are generated together; None takes the engine's own default.
        queue: answers that are running or waiting, over all models; more requests are refused.
    """

    memory_bytes: int | None = None
    cache_bytes: int | None = None
    batch: int | None = None
    queue: int = 256


@dataclass(frozen=True, slots=True)
class LoadedModelLimits:
    """How many local models stay loaded in this process for :class:`ftkit.Model` and :class:`ftkit.Scorer`.

    A model that is not in use is unloaded when another one needs its place, the least recently used first. A model in
    use is never unloaded, so a process that uses more at the same time exceeds the limits meanwhile.

    Attributes:
        max_models: number of models. Default 4, or the environment variable ``FTKIT_MAX_LOADED_MODELS``.
        max_bytes: bytes of their weights and prefix caches; None takes half of the memory that is free when the first
            model is loaded. Default None, or the environment variable ``FTKIT_MAX_LOADED_BYTES``.
    """

    max_models: int = 4
    max_bytes: int | None = None


_set: LoadedModelLimits | None = None


def loaded_model_limits() -> LoadedModelLimits:
    """Return the limits in force.

    Returns:
        What :func:`set_loaded_model_limits` set, else what the environment variables say.

    Raises:
        ConfigError: an environment variable does not hold a positive whole number.
    """
    if _set is not None:
        return _set
    models, size = _environment("FTKIT_MAX_LOADED_MODELS"), _environment("FTKIT_MAX_LOADED_BYTES")
    return LoadedModelLimits(models or LoadedModelLimits().max_models, size)


def set_loaded_model_limits(*, max_models: int | None = None, max_bytes: int | None = None) -> None:
    """Set how many local models stay loaded in this process; takes effect when a model is next used.

    Args:
        max_models: number of models, at least 1; None leaves it as it is.
        max_bytes: bytes of their weights and prefix caches, at least 1; None leaves it as it is.

    Raises:
        ConfigError: a limit below 1.
    """
    global _set
    given = {"max_models": max_models, "max_bytes": max_bytes}
    changes = {name: value for name, value in given.items() if value is not None}
    for name, value in changes.items():
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, not {value}")
    _set = replace(loaded_model_limits(), **changes)


def _environment(name: str) -> int | None:
    text = os.environ.get(name)
    if text is None:
        return None
    if not text.isdigit() or int(text) < 1:
        raise ConfigError(f"the environment variable {name} must hold a whole number above 0, not {text!r}")
    return int(text)
