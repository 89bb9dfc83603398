"""Backends by name: ``"local:smollm2-135m"``, ``"openai:gpt-4.1-mini"``.

An installed package adds a backend through the entry-point group ``ftkit.backends``, and a host that speaks OpenAI's
fine-tuning jobs API through ``ftkit.hosts``. ftkit's own are registered in the same way.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ftkit.backends.hosted.host_profile import HostProfile
from ftkit.backends.protocol import Backend
from ftkit.errors import ConfigError
from ftkit.registry import Registry
from ftkit.type_checks import check_kind

__all__ = ["BACKENDS", "HOSTS", "backend_of", "known_backends"]


def _check_backend(name: str, item: Any) -> Callable[[str], Backend]:
    if not callable(item):
        raise ConfigError(f"{type(item).__name__} is not a backend; register a callable that takes a model's name")
    factory: Callable[[str], Backend] = item
    return factory


def _check_host(name: str, item: Any) -> HostProfile:
    if not isinstance(item, HostProfile):
        raise ConfigError(f"{type(item).__name__} is not a host; register a ftkit.backends.openai_jobs.HostProfile")
    if item.name != name:
        raise ConfigError(f"the profile's name is {item.name!r}; register it under this name")
    return item


BACKENDS: Registry[Callable[[str], Backend]] = Registry(
    "backend",
    group="ftkit.backends",
    built_in={
        "local": "ftkit.backends.local:LocalBackend",
        "together": "ftkit.backends.together:Together",
        "fireworks": "ftkit.backends.fireworks:Fireworks",
    },
    check=_check_backend,
)
"""Backends: callables that take a model's name and return a :class:`~ftkit.backends.Backend`."""

HOSTS: Registry[HostProfile] = Registry(
    "host",
    group="ftkit.hosts",
    built_in={
        name: f"ftkit.backends.openai_jobs.profiles:{name.replace('-', '_').upper()}"
        for name in ("openai", "azure", "nebius", "crusoe", "bedrock-mantle", "litellm", "compatible")
    },
    check=_check_host,
)
"""Hosts that speak OpenAI's fine-tuning jobs API. Each is a backend of its name."""


def backend_of(spec: str | Backend) -> Backend:
    """Return the backend that a name stands for.

    Args:
        spec: ``"name:model"``, or a backend, which is returned unchanged.

    Returns:
        The backend.

    Raises:
        ConfigError: ``spec`` is not of this form, or no backend has this name.
    """
    if not isinstance(spec, str):
        if not (hasattr(spec, "name") and hasattr(spec, "model")):
            check_kind(spec, str, "backend", 'it as "name:model", e.g. "local:smollm2-135m"')
        return spec
    name, colon, model = spec.partition(":")
    if not colon or not model:
        raise ConfigError(f'backend {spec!r}: write it as "name:model", e.g. "local:smollm2-135m"')
    return _create(name, model)


def known_backends() -> frozenset[str]:
    """List the names of backends and hosts.

    Returns:
        The names that may precede a model's.
    """
    return frozenset((*BACKENDS.names(), *HOSTS.names()))


@lru_cache(maxsize=128)
def _create(name: str, model: str) -> Backend:
    # One object for one model, so that everything that uses a model shares its client and its limits.
    factory = BACKENDS.find(name)
    if factory is not None:
        return factory(model)
    profile = HOSTS.find(name)
    if profile is None:
        raise ConfigError(f"there is no backend {name!r}; known are {', '.join(sorted(known_backends()))}")
    backend: Backend = pkgutil.resolve_name(profile.backend_class)(model, profile=profile)
    return backend
