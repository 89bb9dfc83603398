"""What samples the answers of reinforcement: the model in training itself, or a server. Needs no torch.

An engine is one class, registered by name in :data:`ROLLOUTS`. What samples with it is its sampler, see
:class:`ftkit.training.rollout_sampler.RolloutSampler`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter

from ftkit.errors import ConfigError
from ftkit.registry import Registry, subclass_check
from ftkit.schema import DeclaredModel
from ftkit.schema.registered_field import RegisteredField

__all__ = ["ROLLOUTS", "AnyRollouts", "OwnRollouts", "RolloutEngine", "rollout_engine"]


class RolloutEngine(DeclaredModel):
    """Base of what samples rollouts. A subclass declares ``kind``, its registered name, and its settings."""

    sampler_class: ClassVar[str | type] = ""
    """The :class:`~ftkit.training.rollout_sampler.RolloutSampler`, or ``"module:attribute"`` of it."""
    samples_with_trainer: ClassVar[bool] = False
    """Whether the model in training itself samples. Otherwise its log-probabilities are compared with the sampler's."""

    kind: str

    def problem(self, recipe: Any) -> tuple[str, tuple[str, ...]] | None:
        """Say what of a recipe the engine cannot honour.

        Args:
            recipe: the :class:`~ftkit.recipe.RFT` that names it.

        Returns:
            The reason with what to do, and the fields; None if there is nothing, as by default.
        """
        return None

    def check_installed(self) -> None:
        """Refuse to train where a program or package is missing.

        Raises:
            ConfigError: says what is missing.
        """

    def memory_share(self, device: str) -> float:
        """Say which share of a device's memory the engine takes beside the training.

        Args:
            device: ``"cpu"`` or ``"cuda"``.

        Returns:
            The share, from 0 to 1; 0 by default.
        """
        return 0.0

    def plan_notes(self, device: str) -> tuple[str, ...]:
        """Say what a plan does not count.

        Args:
            device: ``"cpu"`` or ``"cuda"``.

        Returns:
            Notes; none by default.
        """
        return ()


class OwnRollouts(RolloutEngine):
    """ftkit's own engine, with the weights in training."""

    sampler_class: ClassVar[str | type] = "ftkit.training.rollout_sampler:OwnSampler"
    samples_with_trainer: ClassVar[bool] = True

    kind: Literal["torch"] = "torch"


ROLLOUTS: Registry[type[RolloutEngine]] = Registry(
    "rollout engine",
    group="ftkit.rollouts",
    built_in={
        "torch": "ftkit.recipe.rollout_engines:OwnRollouts",
        "vllm": "ftkit.backends.local.vllm:VLLM",
    },
    check=subclass_check("rollout engine", RolloutEngine, "ftkit.recipe.RolloutEngine"),
)
"""Engines that sample rollouts by their ``kind``. Packages add theirs in the entry-point group ``ftkit.rollouts``."""

_SETTINGS: TypeAdapter[RolloutEngine] = TypeAdapter(
    Annotated[RolloutEngine, RegisteredField(ROLLOUTS, "kind", RolloutEngine)]
)


def rollout_engine(chosen: str | RolloutEngine) -> RolloutEngine:
    """Return the engine that a recipe names.

    Args:
        chosen: a name, or an engine with its settings.

    Returns:
        The engine; of a name with its defaults.

    Raises:
        ConfigError: a package's engine cannot be loaded.
    """
    return ROLLOUTS.get(chosen)(kind=chosen) if isinstance(chosen, str) else chosen


def _read(value: object) -> object:
    if isinstance(value, RolloutEngine):
        return value
    if isinstance(value, str):
        if value not in ROLLOUTS.names():
            raise ValueError(f"there is no rollout engine {value!r}; known are {', '.join(ROLLOUTS.names())}")
        return value
    if isinstance(value, Mapping):
        try:
            return _SETTINGS.validate_python(value)
        except ConfigError as error:
            raise ValueError(str(error)) from None
    shown = value.__name__ if isinstance(value, type) else repr(value)
    raise ValueError(
        f'{shown} samples no rollouts; write the name of an engine, e.g. "vllm", or one with its settings: ft.VLLM(…)'
    )


def _dump(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, RolloutEngine) else value


AnyRollouts = Annotated[str | RolloutEngine, BeforeValidator(_read), PlainSerializer(_dump)]
"""The name of a rollout engine, or one with its settings."""
