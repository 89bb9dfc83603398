"""What runs the models of this machine when they answer: ftkit's own engine, vLLM, or one of a package.

An installed package adds an engine through the entry-point group ``ftkit.engines``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ftkit.errors import ConfigError
from ftkit.inference.limits import ServingLimits
from ftkit.registry import Registry
from ftkit.schema import DeclaredModel

if TYPE_CHECKING:
    from ftkit.backends.local.engine_answerer import EngineAnswerer
    from ftkit.inference.leases import LeasePool

__all__ = ["DEFAULT_ENGINE", "ENGINES", "Engine", "check_engine", "engine_from_settings", "engine_of"]

DEFAULT_ENGINE = "torch"


@runtime_checkable
class Engine(Protocol):
    """Runs models of this machine."""

    def answerer(self, model: str) -> EngineAnswerer:
        """Return what answers with a model. Nothing is loaded until it is asked.

        Args:
            model: as :func:`ftkit.modeling.model_source.find_source` takes it.

        Returns:
            The model.

        Raises:
            ConfigError: the engine is not installed.
        """
        ...

    def serving_pool(self, limits: ServingLimits) -> Callable[[], LeasePool]:
        """Return what makes the pool of loaded models of ``ftkit serve``. Nothing heavy is imported before.

        Args:
            limits: what the server may take.

        Returns:
            A function that makes the pool, which its caller closes.

        Raises:
            ConfigError: the engine is not installed, or cannot keep one of the limits; names it.
        """
        ...


def _check(name: str, item: Any) -> Engine:
    made = item() if isinstance(item, type) else item
    if not isinstance(made, Engine):
        raise ConfigError(
            f"{type(made).__name__} is not an engine; register a class with the methods answerer(model) and "
            "serving_pool(limits)"
        )
    return made


ENGINES: Registry[Engine] = Registry(
    "engine",
    group="ftkit.engines",
    built_in={
        "torch": "ftkit.backends.local.torch_engine:TorchModels",
        "vllm": "ftkit.backends.local.vllm:VLLM",
    },
    check=_check,
)
"""Engines, or classes of which one is made without arguments."""


def check_engine(engine: str | Engine) -> str | Engine:
    """Refuse what is neither the name of an engine nor an engine, without importing one.

    Args:
        engine: what a user gave.

    Returns:
        The same.

    Raises:
        ConfigError: no engine has this name; lists the names. Or it is something else.
    """
    if isinstance(engine, str):
        if engine not in ENGINES.names():
            raise ConfigError(f"there is no engine {engine!r}; known are {', '.join(ENGINES.names())}")
    elif isinstance(engine, type) or not isinstance(engine, Engine):
        raise ConfigError(
            f'engine is a {type(engine).__name__}; give the name of an engine, e.g. "vllm", or one with its settings: '
            "ft.VLLM(…)"
        )
    return engine


def engine_of(engine: str | Engine) -> Engine:
    """Return the engine that a name stands for.

    Args:
        engine: a name, or an engine, which is returned unchanged.

    Returns:
        The engine.

    Raises:
        ConfigError: no engine has this name, or a package's cannot be loaded.
    """
    return ENGINES.get(engine) if isinstance(engine, str) else engine


def engine_from_settings(engine: Any) -> Engine:
    """Return the engine that a file of settings names, alone or in a table as ``kind`` beside its settings.

    Args:
        engine: a name, a table such as ``{"kind": "vllm", "max_num_seqs": 16}``, or an engine, which is returned
            unchanged.

    Returns:
        The engine.

    Raises:
        ConfigError: no engine has this name, or a setting of the table does not exist or has an invalid value.
    """
    if not isinstance(engine, Mapping):
        return engine_of(check_engine(engine))
    settings = dict(engine)
    name = settings.pop("kind", None)
    if not isinstance(name, str):
        raise ConfigError(f"give the engine's kind, one of {', '.join(ENGINES.names())}")
    found = engine_of(check_engine(name))
    if not settings:
        return found
    if not isinstance(found, DeclaredModel):
        raise ConfigError(f"the engine {name} has no settings; leave out {', '.join(map(str, settings))}")
    declared: Any = type(found)(**settings)
    made: Engine = declared
    return made
