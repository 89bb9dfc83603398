"""What every adapter says of itself: its fields, its size, and what it costs. Needs no torch.

An adapter is one class, registered by name in :data:`ADAPTERS`. What touches a model (the PEFT config, the work around
a training step) is its tuner, see :class:`ftkit.training.adapters.base.AdapterTuner`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator

from ftkit.errors import ConfigError
from ftkit.recipe.field_docs import with_fields
from ftkit.registry import Registry, subclass_check
from ftkit.schema import DeclaredModel

__all__ = ["ADAPTERS", "Adapter", "Auto", "LayerNumbers", "Modules", "Quantization"]

Auto = Literal["auto"]

# Type checkers must allow a list. The field keeps a tuple, so that adapters stay frozen and hashable.
if TYPE_CHECKING:
    Modules = Literal["all-linear"] | Sequence[str]
    LayerNumbers = Sequence[int] | int | None
else:
    Modules = Literal["all-linear"] | tuple[str, ...]
    LayerNumbers = Annotated[tuple[int, ...] | None, BeforeValidator(lambda value: _layer_numbers(value))]

_MOST_LAYERS = 10_000
"""More than any model has; a longer range is refused before it is written out."""


def _layer_numbers(value: Any) -> Any:
    """Sort numbers of layers, and refuse what names no layer."""
    if value is None:
        return None
    numbers = [value] if isinstance(value, int) else value
    if not isinstance(numbers, range | list | tuple):
        raise ValueError(f"layers_to_transform takes numbers of layers, e.g. range(10, 30), not {value!r:.40}")
    if not 0 < len(numbers) <= _MOST_LAYERS:
        raise ValueError(f"layers_to_transform takes 1 to {_MOST_LAYERS:,} layers, not {len(numbers):,}")
    if any(isinstance(each, bool) or not isinstance(each, int) or each < 0 for each in numbers):
        raise ValueError("layers_to_transform takes whole numbers from 0, which is the layer next to the embedding")
    if len(set(numbers)) < len(numbers):
        raise ValueError("layers_to_transform names a layer twice")
    return tuple(sorted(numbers))


@dataclass(frozen=True, slots=True)
class Quantization:
    """How the frozen base weights are held in 4 bits.

    Attributes:
        quant_type: the 4-bit data type of bitsandbytes.
        double_quant: whether the quantisation constants are quantised too.
    """

    quant_type: Literal["nf4", "fp4"]
    double_quant: bool

    @property
    def bits_per_weight(self) -> float:
        """Bits of memory per weight: 4, and a scale per block of 64 weights.

        The scale has 32 bits. With double quantisation it has 8, and each 256 of them share one of 32 (Dettmers et al.
        2023, arXiv 2305.14314, section 3).
        """
        return 4 + 8 / 64 + 32 / (64 * 256) if self.double_quant else 4 + 32 / 64


class Adapter(DeclaredModel):
    """Base of the adapters. Frozen; :meth:`resolve` replaces every ``"auto"`` by a number.

    A subclass declares ``kind`` (the registered name) and its fields. It sets :attr:`tuner_class` and overrides
    :meth:`trainable_parameters`. The other methods have defaults that fit a plain low-rank adapter.
    """

    tuner_class: ClassVar[str | type] = ""
    """The :class:`~ftkit.training.adapters.base.AdapterTuner` that puts it on a model, or ``"module:attribute"`` of it.
    Empty: the local engine refuses the adapter."""
    trains_base_weights: ClassVar[bool] = False
    """Whether the model's own weights are trained, without an adapter beside them."""
    learning_rate_divisor: ClassVar[float] = 1
    """``learning_rate="auto"`` is the recipe's rate divided by this, and so are the usual rates."""
    merges: ClassVar[bool] = True
    """Whether the update can be added to the base weights, for ``export(form="merged")``."""
    merges_for_sampling: ClassVar[bool] = False
    """Whether rollouts add the update to weights held in float32 while they sample. Planning counts these copies."""
    loads_at_run_time: ClassVar[bool] = False
    """Whether a server such as vLLM can load it beside its base while it runs, as it must for rollouts."""
    continues: ClassVar[bool] = True
    """Whether a new run can start from the weights of an adapter of this kind."""
    averages: ClassVar[bool] = True
    """Whether an average of its weights over the steps is an adapter of this kind, too."""
    servers: ClassVar[Sequence[Mapping[str, Any]] | None] = None
    """Which servers take the adapter without merging: rows like those of ``ftkit/exporting/servers.toml``, with
    ``server``, ``takes`` (yes, converted, no, unknown), ``why``, ``source`` and ``as_of``. ``None``: that file has the
    rows of this kind."""
    elementwise_passes: ClassVar[int] = 5
    """How often planning counts a pass over one adapted layer's output, in float32, in the forward pass."""
    kernel_calls: ClassVar[int] = 5
    """Kernels that one adapted layer calls in the forward pass, beside the layer's own."""
    optimizer_state_bytes: ClassVar[int] = 0
    """Bytes that the adapter keeps per trained parameter, beside the optimiser's state."""

    kind: str

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        with_fields(cls)

    @property
    def quantization(self) -> Quantization | None:
        """How the base weights are held; ``None``: in 16 or 32 bits."""
        return None

    @property
    def unquantized(self) -> Adapter | None:
        """The same adapter beside 16- or 32-bit weights; ``None`` if this one does not quantise them."""
        return None

    @property
    def inner_width(self) -> int:
        """Width of the adapter's inner activation: its rank."""
        return int(getattr(self, "rank", 0))

    @property
    def layers(self) -> Modules:
        """Names of the adapted linear layers."""
        modules: Modules = getattr(self, "target_modules", "all-linear")
        return modules

    @property
    def layer_numbers(self) -> tuple[int, ...] | None:
        """Numbers of the transformer layers that get the adapter, ascending; ``None``: all of them."""
        numbers: tuple[int, ...] | None = getattr(self, "layers_to_transform", None)
        return numbers

    @property
    def dropout(self) -> float:
        """Probability of dropout on the adapter's input."""
        return float(getattr(self, "lora_dropout", 0.0))

    def resolve(self, *, total_steps: int) -> Adapter:
        """Return the same adapter without any ``"auto"``.

        Args:
            total_steps: optimiser steps of the whole run.

        Returns:
            A copy in which every ``"auto"`` is a number.

        Raises:
            ValueError: the values cannot work together in so many steps.
        """
        return self

    def trainable_parameters(self, inputs: int, outputs: int) -> int:
        """Count the trainable parameters that the adapter adds to one linear layer.

        Args:
            inputs: width of the layer's input.
            outputs: width of its output.

        Returns:
            The number of parameters.

        Raises:
            ConfigError: the adapter does not say.
        """
        raise ConfigError(f"the adapter {self.kind!r} does not say how many parameters it trains")

    def frozen_bytes(self, shapes: Sequence[tuple[int, int]]) -> int:
        """Count the bytes of frozen tensors that the adapter adds to a model.

        Args:
            shapes: input and output width of each adapted layer.

        Returns:
            Bytes, 0 by default.
        """
        return 0

    def activation_bytes(self, outputs: int, compute_bytes: int) -> float:
        """Count what one adapted layer keeps per token for the backward pass, beside the layer's input.

        Args:
            outputs: width of the layer's output.
            compute_bytes: bytes of one number in the base model's arithmetic, 2 or 4.

        Returns:
            Bytes per token; by default the inner activation in float32.
        """
        return 4 * self.inner_width

    def saved_weight_bytes(self, inputs: int) -> int:
        """Count what one adapted layer keeps for the backward pass whatever the number of tokens.

        Args:
            inputs: width of the layer's input.

        Returns:
            Bytes, 0 by default.
        """
        return 0

    def workspace_bytes(self, inputs: int, outputs: int) -> int:
        """Count the temporary memory that one adapted layer needs while it goes backward.

        Args:
            inputs: width of the layer's input.
            outputs: width of its output.

        Returns:
            Bytes, 0 by default.
        """
        return 0

    def weight_work(self, inputs: int, outputs: int) -> tuple[int, int]:
        """Count the forward pass's work on one adapted layer that does not grow with the tokens.

        Args:
            inputs: width of the layer's input.
            outputs: width of its output.

        Returns:
            Floating-point operations of products with the adapter's matrices, and bytes read and written.
        """
        return 0, 0

    @classmethod
    def matches_peft_config(cls, config: Mapping[str, Any], *, quantised: bool) -> bool:
        """Say whether an ``adapter_config.json`` that ftkit did not write is of this kind.

        Args:
            config: the file's object.
            quantised: whether the base is held in 4 bits.

        Returns:
            True if it is; False by default.
        """
        return False


ADAPTERS: Registry[type[Adapter]] = Registry(
    "adapter",
    group="ftkit.adapters",
    built_in={
        "lora": "ftkit.recipe.adapters.low_rank:LoRA",
        "qlora": "ftkit.recipe.adapters.low_rank:QLoRA",
        "dora": "ftkit.recipe.adapters.low_rank:DoRA",
        "adalora": "ftkit.recipe.adapters.adalora:AdaLoRA",
        "full": "ftkit.recipe.adapters.full:Full",
    },
    check=subclass_check("adapter", Adapter, "ftkit.recipe.Adapter"),
)
"""Every adapter by its ``kind``. Packages add theirs in the entry-point group ``ftkit.adapters``, scripts with
``@ADAPTERS.register("name")``."""
