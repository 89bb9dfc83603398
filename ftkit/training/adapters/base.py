"""What the engine must know of a kind of adapter. Importing this module loads no torch."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from ftkit.errors import RefusedError
from ftkit.recipe import Adapter

if TYPE_CHECKING:  # heavy: torch, peft
    import torch

    from ftkit.training.adapters.adapted_model import AdaptedModel

__all__ = ["AdapterTuner", "missing_layer", "tuner_of"]

AdapterT = TypeVar("AdapterT", bound=Adapter)


class AdapterTuner(Generic[AdapterT]):
    """Puts one kind of adapter on a model, and does what it needs around each training step.

    A subclass is named by its adapter's :attr:`~ftkit.recipe.Adapter.tuner_class`. Most need :meth:`peft_config` alone.
    To be imported without torch it imports peft and torch inside its methods.

    Args:
        adapter: resolved, without ``"auto"``.
        total_steps: optimiser steps of the whole run.

    Attributes:
        continued: folder of the adapter that the run continues, whose layers are adapted again; None for a fresh one.
        notes: what the user should know of the layers that are adapted, as whole sentences.
    """

    kept_factors: ClassVar[tuple[str, ...]] = ()
    """Factors of an update, beside one that is zero in a fresh adapter: scaling that one alone scales the update."""

    def __init__(self, adapter: AdapterT, total_steps: int) -> None:
        self.adapter = adapter
        self.total_steps = total_steps
        self.continued: Path | None = None
        self.notes: list[str] = []

    def peft_config(self, model: Any) -> Any:
        """Make the PEFT configuration.

        Args:
            model: the transformers model, without the adapter.

        Returns:
            A ``peft.PeftConfig``.

        Raises:
            NotImplementedError: a tuner that overrides :meth:`attach` needs none.
        """
        raise NotImplementedError(f"{type(self).__name__} makes no PEFT configuration")

    def attach(self, model: Any, *, scores: bool) -> Any:
        """Put a fresh adapter on a model; its trainable parameters are those that require gradients afterwards.

        Args:
            model: the transformers model; changed in place.
            scores: whether the model ends in a score layer, which is trained too.

        Returns:
            What :meth:`save_pretrained` is called on: the PEFT model, or the model itself.

        Raises:
            RefusedError: PEFT cannot put the adapter on this model.
        """
        from peft import get_peft_model

        from ftkit.modeling.expert_weights import plain_experts

        config = self.peft_config(model)
        config.task_type = "SEQ_CLS" if scores else "CAUSAL_LM"
        all_linear = getattr(config, "target_modules", None) == "all-linear"
        if all_linear:
            self._choose_layers(model, config)
        inside = self._choose_numbers(model, config, all_linear=all_linear)
        try:
            with plain_experts(model):
                adapted = get_peft_model(model, config)
        except ValueError as error:
            raise RefusedError(
                f"adapter.target_modules: {error}", backend="local", fields=("adapter.target_modules",)
            ) from None
        others = [
            name
            for name, parameter in adapted.named_parameters()
            if inside and parameter.requires_grad and "lora_" in name and not any(f".{each}" in name for each in inside)
        ]
        if others:
            raise RefusedError(
                f"adapter.layers_to_transform: PEFT adapts other layers of a {model.config.model_type} model too, "
                f"e.g. {others[0]}; leave it out, or name linear layers in adapter.target_modules",
                backend="local",
                fields=("adapter.layers_to_transform",),
            )
        return adapted

    def _choose_layers(self, model: Any, config: Any) -> None:
        """Make ``"all-linear"`` PEFT's own choice without the layers that PEFT cannot train."""
        from ftkit.training.adapters.target_layers import continue_layers, layer_kind, untrainable_layers

        if self.continued is not None:
            continue_layers(config, self.continued)
            return
        left_out = untrainable_layers(model)
        if left_out:
            config.exclude_modules = left_out
            kinds = ", ".join(sorted({layer_kind(name) for name in left_out}))
            self.notes.append(
                f"the adapter leaves out layers that PEFT cannot train in a {model.config.model_type} model: {kinds}"
            )

    def _choose_numbers(self, model: Any, config: Any, *, all_linear: bool) -> tuple[str, ...]:
        """Let PEFT adapt only the transformer layers that the adapter numbers, and return how their names begin."""
        from ftkit.training.adapters.target_layers import layer_list, linear_layers

        numbers = self.adapter.layer_numbers
        if numbers is None:
            return ()
        name, layers = layer_list(model)
        if numbers[-1] >= layers:
            raise RefusedError(
                missing_layer(numbers[-1], layers), backend="local", fields=("adapter.layers_to_transform",)
            )
        inside = tuple(f"{name}.{number}." for number in numbers)
        if not all_linear:
            config.layers_to_transform, config.layers_pattern = list(numbers), name.rpartition(".")[2]
        elif self.continued is None:
            # PEFT writes "all-linear" out as full names, to which it does not apply numbers.
            left_out = config.exclude_modules or ()
            config.target_modules = {
                each for each in linear_layers(model) if each.startswith(inside) and each not in left_out
            }
        return inside

    def penalty(self, adapted: AdaptedModel) -> torch.Tensor | None:
        """Compute a regularisation term whose gradient is added to the batch's.

        Args:
            adapted: the model in training.

        Returns:
            A scalar, or None for no term.
        """
        return None

    def after_step(self, adapted: AdaptedModel, step: int) -> None:
        """Act after an optimiser step, before the gradients are cleared.

        Args:
            adapted: the model in training.
            step: the optimiser step, from 1.
        """

    def state(self, adapted: AdaptedModel) -> dict[str, Any]:
        """Return what a checkpoint must hold besides the trainable parameters.

        Args:
            adapted: the model in training.

        Returns:
            Plain data and tensors; empty by default.
        """
        return {}

    def load_state(self, adapted: AdaptedModel, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned.

        Args:
            adapted: the model in training.
            state: from a checkpoint.
        """

    def after_load(self, adapted: AdaptedModel) -> None:
        """Act after the trainable parameters were replaced by those of an earlier step.

        Args:
            adapted: the model in training.
        """

    def summary(self, adapted: AdaptedModel) -> dict[str, Any]:
        """Return what the adapter adds to the run's summary.

        Args:
            adapted: the trained model.

        Returns:
            Entries of the summary; empty by default.
        """
        return {}


def missing_layer(number: int, layers: int) -> str:
    """Say that a model has no transformer layer of a number.

    Args:
        number: the number.
        layers: how many layers the model has.

    Returns:
        A sentence that says which there are.
    """
    return f"adapter.layers_to_transform: the model has no layer {number}; it has layers 0 to {layers - 1}"


def tuner_of(adapter: AdapterT, total_steps: int) -> AdapterTuner[AdapterT]:
    """Load what puts an adapter on a model.

    Args:
        adapter: resolved, without ``"auto"``.
        total_steps: optimiser steps of the whole run.

    Returns:
        The tuner of this adapter.

    Raises:
        RefusedError: the local engine does not train this kind of adapter.
    """
    named = adapter.tuner_class
    if not named:
        raise RefusedError(
            f"the local engine does not know the adapter {adapter.kind!r}", backend="local", fields=("adapter",)
        )
    made: AdapterTuner[AdapterT] = (resolve_name(named) if isinstance(named, str) else named)(adapter, total_steps)
    return made
