"""A model with its trainable part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers.modeling_layers import GradientCheckpointingLayer

from ftkit.errors import RefusedError
from ftkit.modeling.embedding_noise import EmbeddingNoise
from ftkit.modeling.library_logging import quiet
from ftkit.training.weights import WholeWeights

__all__ = ["AdaptedModel", "adapter_modules", "set_evaluation_mode"]


def set_evaluation_mode(base_model: Any) -> None:
    """Switch off whatever a model does at random in training: dropout, dropped layers, noise of routers.

    Much of it asks for the mode and is no module. Layers of 4 bits stay in training mode: in evaluation mode
    bitsandbytes (0.50, ``Linear4bit.forward``) repacks their weights, on CPUs with AVX-512 BF16, into a form that no
    gradient passes, and never unpacks them.

    Args:
        base_model: the transformers model, without adapter.
    """
    for module in base_model.modules():
        module.training = any(kind.__name__ == "Linear4bit" for kind in type(module).__mro__)


def adapter_modules(model: Any) -> Iterator[torch.nn.Module]:
    """List the modules that an adapter added to a model.

    Args:
        model: the model with the adapter.

    Yields:
        The adapter's layers and what they hold, without the layers that they wrap.
    """
    for layer in model.modules():
        if not isinstance(layer, BaseTunerLayer):
            continue
        own = {id(module) for module in layer.base_layer.modules()} if hasattr(layer, "base_layer") else set()
        for module in layer.modules():
            if id(module) not in own:
                yield module


@dataclass(slots=True)
class AdaptedModel:
    """A model with its trainable part.

    Attributes:
        model: the PEFT model, or the plain one when every weight is trained.
        base_model: the transformers model inside it, whose layers hold the adapters.
        parameters: trainable tensors by name.
        tuner: the :class:`~ftkit.training.adapters.base.AdapterTuner`, which does what the kind of adapter needs around
            each step.
        embedding_noise: adds noise to the embeddings of training rows, if the recipe wants it.
        weights: how each of several workers holds the weights.
    """

    model: Any
    base_model: Any
    parameters: dict[str, torch.nn.Parameter]
    tuner: Any
    embedding_noise: EmbeddingNoise | None = None
    weights: WholeWeights = field(default_factory=WholeWeights)

    def set_dropout(self, *, enabled: bool) -> None:
        """Switch the adapter's dropout, and noise on embeddings, on or off.

        Args:
            enabled: True while training.
        """
        for module in adapter_modules(self.model):
            module.training = enabled
        if self.embedding_noise is not None:
            self.embedding_noise.enabled = enabled

    def enable_checkpointing(self) -> None:
        """Compute the layers' activations again in the backward pass, instead of keeping them.

        Raises:
            RefusedError: the architecture does not support it.
        """
        try:
            with quiet():
                self.base_model.gradient_checkpointing_enable({"use_reentrant": False})
        except ValueError as error:
            raise RefusedError(
                f"gradient_checkpointing: {error} Set it to False", backend="local", fields=("gradient_checkpointing",)
            ) from None
        for module in self.base_model.modules():
            if isinstance(module, GradientCheckpointingLayer) and module.gradient_checkpointing:
                module.training = True  # transformers checkpoints layers in training mode only
                module._gradient_checkpointing_func = _checkpoint_in_evaluation_mode(
                    module, module._gradient_checkpointing_func
                )

    def disable_checkpointing(self) -> None:
        """Undo :meth:`enable_checkpointing`."""
        self.base_model.gradient_checkpointing_disable()
        for module in self.base_model.modules():
            if isinstance(module, GradientCheckpointingLayer):
                module.training = False

    @contextmanager
    def without_dropout(self) -> Iterator[None]:
        """Switch the adapter's dropout off inside a ``with`` block, to compute a loss or log-probabilities.

        Yields:
            Nothing.
        """
        self.set_dropout(enabled=False)
        try:
            yield
        finally:
            self.set_dropout(enabled=True)

    def load(self, tensors: dict[str, torch.Tensor] | None) -> None:
        """Replace the values of the trainable parameters. All workers call it.

        Args:
            tensors: by the names in :attr:`parameters`, at the first worker; the others give None.
        """
        self.weights.load(self.parameters, tensors)


def _checkpoint_in_evaluation_mode(layer: torch.nn.Module, checkpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Compute a checkpointed layer in evaluation mode, the first time and again in the backward pass."""

    def run(function: Callable[..., Any], *args: Any) -> Any:
        def in_evaluation_mode(*inner: Any) -> Any:
            layer.training = False
            try:
                return function(*inner)
            finally:
                layer.training = True

        return checkpoint(in_evaluation_mode, *args)

    return run
