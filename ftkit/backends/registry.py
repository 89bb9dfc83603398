"""Backends by name: ``"local:smollm2-135m"``. Others plug in through the entry-point group ``ftkit.backends``."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points

from ftkit.backends.protocol import Backend
from ftkit.errors import ConfigError
from ftkit.type_checks import check_kind

__all__ = ["backend_of", "known_backends"]

GROUP = "ftkit.backends"
"""Entry points of this group are callables that take a model's name and return a :class:`Backend`."""

_BUILT_IN = {
    "local": "ftkit.backends.local:LocalBackend",
    "together": "ftkit.backends.together:Together",
    "fireworks": "ftkit.backends.fireworks:Fireworks",
    **{
        name: f"ftkit.backends.openai_jobs:{name.replace('-', '_')}"
        for name in ("openai", "azure", "nebius", "crusoe", "bedrock-mantle", "litellm", "compatible")
    },
}


def backend_of(spec: str | Backend) -> Backend:
    """The backend that ``"name:model"`` stands for; a backend object is returned as it is.

    Raises:
        ConfigError: not of that form, or no backend of that name.
    """
    if not isinstance(spec, str):
        if not (hasattr(spec, "name") and hasattr(spec, "model")):
            check_kind(spec, str, "backend", 'it as "name:model", e.g. "local:smollm2-135m"')
        return spec
    name, colon, model = spec.partition(":")
    if not colon or not model:
        raise ConfigError(f'backend {spec!r}: write it as "name:model", e.g. "local:smollm2-135m"')
    return _make(name, model)


def known_backends() -> frozenset[str]:
    """The names that stand before a model's."""
    return frozenset((*_BUILT_IN, *(point.name for point in entry_points(group=GROUP))))


@cache
def _make(name: str, model: str) -> Backend:
    # One object for one model, so that a loaded model is shared by all who ask it.
    factory = _factory(name)
    return factory(model)


def _factory(name: str) -> Callable[[str], Backend]:
    if name in _BUILT_IN:
        module, _, attribute = _BUILT_IN[name].partition(":")
        built_in: Callable[[str], Backend] = getattr(importlib.import_module(module), attribute)
        return built_in
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        raise ConfigError(f"there is no backend {name!r}; known are {', '.join(sorted(known_backends()))}")
    try:
        plugged_in: Callable[[str], Backend] = found[name].load()
    except Exception as error:  # whatever a plug-in's import raises
        raise ConfigError(f"the backend {name!r} ({found[name].value}) cannot be loaded: {error}") from error
    return plugged_in
