"""Backends by name: ``"local:smollm2-135m"``, ``"openai:gpt-4.1-mini"``.

An installed package adds a backend through the entry-point group ``ftkit.backends``, and a host that speaks OpenAI's
fine-tuning jobs API through ``ftkit.hosts``. ftkit's own are registered in the same way.
"""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from ftkit.arguments import check_kind
from ftkit.backends.engines import Engine
from ftkit.backends.hosted.host_profile import HostProfile
from ftkit.backends.protocol import Backend
from ftkit.errors import ConfigError, FtkitError, RefusedError
from ftkit.modeling.model_source import with_template
from ftkit.registry import Registry

__all__ = ["BACKENDS", "HOSTS", "backend_of", "known_backends"]


_HOSTED_RECIPES = ("sft", "dpo", "rft")
"""Kinds of recipes whose fields ftkit knows how to send to a host of OpenAI's jobs API."""


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
    without_fields = [kind for kind in item.recipes if kind not in _HOSTED_RECIPES and kind not in item.field_support]
    if without_fields:
        raise ConfigError(
            f"ftkit does not send {', '.join(without_fields)} recipes to hosts; say in the profile's field_support "
            "which of their fields the host supports"
        )
    untrained = [kind for kind in item.field_support if kind not in item.recipes]
    if untrained:
        raise ConfigError(f"field_support has {', '.join(untrained)}, which the profile's recipes do not list")
    return item


_OWN_BACKENDS = {
    "local": "ftkit.backends.local:LocalBackend",
    "ray": "ftkit.backends.ray:Ray",
    "ssh": "ftkit.backends.ssh:SSH",
    "together": "ftkit.backends.together:Together",
    "fireworks": "ftkit.backends.fireworks:Fireworks",
}
_OWN_HOSTS = {
    name: f"ftkit.backends.openai_jobs.profiles:{name.replace('-', '_').upper()}"
    for name in ("openai", "azure", "nebius", "crusoe", "bedrock-mantle", "litellm", "compatible")
}

BACKENDS: Registry[Callable[[str], Backend]] = Registry(
    "backend",
    group="ftkit.backends",
    built_in=_OWN_BACKENDS,
    check=_check_backend,
    reserved=_OWN_HOSTS,
)
"""Backends: callables that take a model's name and return a :class:`~ftkit.backends.Backend`."""

HOSTS: Registry[HostProfile] = Registry(
    "host",
    group="ftkit.hosts",
    built_in=_OWN_HOSTS,
    check=_check_host,
    reserved=_OWN_BACKENDS,
)
"""Hosts that speak OpenAI's fine-tuning jobs API. Each is a backend of its name."""


def backend_of(
    spec: str | Backend, *, chat_template: str | os.PathLike[str] | None = None, engine: str | Engine | None = None
) -> Backend:
    """Return the backend that a name stands for.

    Args:
        spec: ``"name:model"``, or a backend, which is returned unchanged.
        chat_template: file of a Jinja template that replaces the model's own, for models on this machine.
        engine: what runs a model of this machine: the name of an engine, or one with its settings; None for the
            default.

    Returns:
        The backend.

    Raises:
        ConfigError: ``spec`` is not of this form, or no backend or engine has this name, or there is no file of the
            template.
        RefusedError: the backend takes no other chat template, or no engine.
    """
    if chat_template is not None:
        spec = _templated(spec, chat_template)
    if not isinstance(spec, str):
        if engine is not None:
            raise ConfigError("engine is for a model given by name; give it to LocalBackend(…, engine=…) instead")
        if not (hasattr(spec, "name") and hasattr(spec, "model")):
            check_kind(spec, str, "backend", 'it as "name:model", e.g. "local:smollm2-135m"')
        return spec
    name, colon, model = spec.partition(":")
    if not colon or not model:
        raise ConfigError(f'backend {spec!r}: write it as "name:model", e.g. "local:smollm2-135m"')
    return _create(name, model) if engine is None else _with_engine(name, model, engine)


def _with_engine(name: str, model: str, engine: str | Engine) -> Backend:
    """A model of this machine with the engine that runs it. Engines share what they load among backends."""
    if name != "local":
        raise RefusedError(
            f"{name} runs its models itself; only models on this machine take an engine",
            backend=name,
            fields=("engine",),
        )
    backend: Backend = pkgutil.resolve_name(_OWN_BACKENDS[name])(model, engine=engine)
    return backend


def _templated(spec: str | Backend, chat_template: str | os.PathLike[str]) -> str:
    """The name of a model with another chat template."""
    if not isinstance(spec, str):
        raise ConfigError("chat_template replaces that of a model given by name; give it to LocalBackend(…) instead")
    name, colon, model = spec.partition(":")
    if name != "local":
        raise RefusedError(
            f"{name} renders prompts with its own chat template; only models on this machine take another",
            backend=name,
            fields=("chat_template",),
        )
    if not Path(chat_template).expanduser().is_file():
        raise ConfigError(f"chat_template: there is no file {os.fspath(chat_template)!r} with a Jinja template")
    return name + colon + with_template(model, chat_template)


def known_backends() -> frozenset[str]:
    """List the names of backends and hosts.

    Returns:
        The names that may precede a model's.
    """
    return frozenset((*BACKENDS.names(), *HOSTS.names()))


def _create(name: str, model: str) -> Backend:
    factory = BACKENDS.find(name)
    profile = HOSTS.find(name) if factory is None else None
    if factory is None and profile is None:
        raise ConfigError(f"there is no backend {name!r}; known are {', '.join(sorted(known_backends()))}")
    return _created(name, model, _Identity(profile if factory is None else factory))


class _Identity:
    """What a name stands for, compared by identity: a script may register the name again."""

    def __init__(self, registered: Any) -> None:
        self.registered = registered

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.registered is other.registered

    def __hash__(self) -> int:
        return id(self.registered)


@lru_cache(maxsize=128)
def _created(name: str, model: str, source: _Identity) -> Backend:
    # One object for one model, so that everything that uses a model shares its client and its limits.
    registered = source.registered
    if isinstance(registered, HostProfile):
        backend: Backend = pkgutil.resolve_name(registered.backend_class)(model, profile=registered)
        return backend
    try:
        backend = registered(model)
    except FtkitError:
        raise
    except Exception as error:  # a package's constructor may raise anything
        raise ConfigError(f"the backend {name!r} cannot be created: {type(error).__name__}: {error}") from error
    return backend
