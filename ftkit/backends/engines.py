"""What runs the models of this machine when they answer: ftkit's own engine, vLLM, or one of a package.

An installed package adds an engine through the entry-point group ``ftkit.engines``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ftkit.errors import ConfigError
from ftkit.registry import Registry

if TYPE_CHECKING:
    from ftkit.backends.local.engine_answerer import EngineAnswerer

__all__ = ["DEFAULT_ENGINE", "ENGINES", "Engine", "check_engine", "engine_of"]

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


def _check(name: str, item: Any) -> Engine:
    made = item() if isinstance(item, type) else item
    if not isinstance(made, Engine):
        raise ConfigError(f"{type(made).__name__} is not an engine; register a class with the method answerer(model)")
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
"""Engines: objects with ``answerer(model)``, or classes of which one is made without arguments."""


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
