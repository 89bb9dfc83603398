"""Experts that a model holds in one tensor for all experts of a layer, and holding them in 4 bits.

transformers 5 has fused experts instead of linear layers, and its bitsandbytes integration quantises linear layers.
bitsandbytes itself holds any parameter in 4 bits (``bitsandbytes.nn.parametrize``) and expands it when it is read. The
expanded tensor would be kept for the backward pass, and with it all that 4 bits save; therefore it is expanded again
there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from torch.nn.utils import parametrize

from ftkit.modeling.model_source import Quantization

__all__ = ["ExpertWeights", "expand_experts", "expert_weights", "plain_experts", "quantise_experts"]

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True)
class ExpertWeights:
    """The weights of all experts of a layer, of one kind.

    Attributes:
        module: what holds them.
        name: name of the parameter in the module.
        path: full name of the module.
        count: number of weights.
        dtype: type in which they are computed.
        in_four_bits: whether they are held in 4 bits.
    """

    module: Any
    name: str
    path: str
    count: int
    dtype: torch.dtype
    in_four_bits: bool


def expert_weights(model: Any) -> list[ExpertWeights]:
    """List the fused experts of a model.

    Args:
        model: a transformers model, with or without adapters.

    Returns:
        One entry for each tensor of three dimensions.
    """
    found = []
    for path, module in model.named_modules():
        kind = type(module).__name__.lower()
        if "expert" not in kind and "expert" not in path and ".moe" not in path and "_moe" not in path:
            continue
        if isinstance(module, torch.nn.modules.conv._ConvNd):
            continue
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.dim() == 3 and parameter.is_floating_point():
                found.append(ExpertWeights(module, name, path, parameter.numel(), parameter.dtype, False))
        for name, state in _states(module):
            found.append(ExpertWeights(module, name, path, state.shape.numel(), state.dtype, True))
    return found


def quantise_experts(model: Any, quantisation: Quantization) -> None:
    """Hold the fused experts of a model in 4 bits.

    Args:
        model: a transformers model without adapters; changed in place.
        quantisation: how the linear layers are held.
    """
    from bitsandbytes.nn.parametrize import replace_parameter_4bit

    modules: dict[int, tuple[Any, list[str]]] = {}
    for one in expert_weights(model):
        if one.in_four_bits:
            continue
        replace_parameter_4bit(
            one.module,
            one.name,
            compress_statistics=quantisation.double_quant,
            quant_type=quantisation.quant_type,
        )
        modules.setdefault(id(one.module), (one.module, []))[1].append(one.name)
    for module, names in modules.values():
        saved = _ExpandedAgain(module, names, model)
        module.register_forward_pre_hook(saved.enter)
        module.register_forward_hook(saved.leave, always_call=True)


def expand_experts(model: Any) -> None:
    """Expand experts that :func:`quantise_experts` holds in 4 bits; the values are the same.

    Args:
        model: a transformers model without adapters; changed in place.
    """
    for one in expert_weights(model):
        if one.in_four_bits:
            value = getattr(one.module, one.name).detach().clone()
            parametrize.remove_parametrizations(one.module, one.name, leave_parametrized=False)
            setattr(one.module, one.name, torch.nn.Parameter(value, requires_grad=False))


@contextmanager
def plain_experts(model: Any) -> Iterator[None]:
    """Let PEFT wrap experts in 4 bits inside a ``with`` block as it wraps others, by the names of their parameters.

    Inside, each tensor of experts has its shape, device and type, and no values. Afterwards PEFT's wrappers add the
    adapter in another way than PEFT 0.21 does (``ParamWrapper._activate_lora``). Of a parameter that is computed from
    another one, PEFT would take back only one of the two forms of its additions; and it would read, and so cache, the
    parameter of one wrapper inside the other one, before the adapter is added to it.

    Args:
        model: a transformers model, with or without adapters; changed in place.

    Yields:
        Nothing.
    """
    held = []
    for one in [one for one in expert_weights(model) if one.in_four_bits]:
        chain = one.module.parametrizations[one.name]
        held.append((one, chain.original, chain[0]))
        parametrize.remove_parametrizations(one.module, one.name, leave_parametrized=False)
        empty = torch.zeros(1, dtype=one.dtype, device=chain.original.device).expand(chain[0].quant_state.shape)
        setattr(one.module, one.name, torch.nn.Parameter(empty, requires_grad=False))
    try:
        yield
    finally:
        for one, packed, expand in held:
            setattr(one.module, one.name, torch.nn.Parameter(packed.detach(), requires_grad=False))
            parametrize.register_parametrization(one.module, one.name, expand, unsafe=True)
        if held:
            _mend_wrappers(model)


def _mend_wrappers(model: Any) -> None:
    from peft.tuners.lora.layer import ParamWrapper

    for module in model.modules():
        if not isinstance(module, ParamWrapper):
            continue
        wrapper: Any = module
        for name, state in _states(wrapper.get_base_layer()):
            if name == wrapper.parameter_name:
                shape = torch.zeros(1, dtype=state.dtype, device=state.absmax.device).expand(state.shape)
                wrapper.get_param = MethodType(lambda wrapper, shape=shape: shape, wrapper)
                wrapper._activate_lora = MethodType(_activate, wrapper)


@contextmanager
def _activate(wrapper: Any, active_adapters: Sequence[str]) -> Iterator[None]:
    """What ``ParamWrapper._activate_lora`` does, for a parameter in 4 bits."""
    from peft.tuners.lora.layer import _LoraFactorsProxy

    base, name = wrapper.get_base_layer(), wrapper.parameter_name
    adapters = [adapter for adapter in active_adapters if adapter in wrapper.lora_A]
    for adapter in adapters:
        factors = _LoraFactorsProxy(*wrapper.get_delta_factors(adapter))
        parametrize.register_parametrization(base, name, factors, unsafe=True)  # else it is expanded for a check
    try:
        with parametrize.cached():
            yield
    finally:
        for _ in adapters:
            del base.parametrizations[name][-1]


def _states(module: Any) -> Iterator[tuple[str, Any]]:
    """The parameters that a module holds in 4 bits, with what expands them."""
    if parametrize.is_parametrized(module):
        for name, chain in module.parametrizations.items():
            state = getattr(chain[0], "quant_state", None)
            if state is not None:
                yield name, state


class _ExpandedAgain:
    """Keeps no expanded weights for the backward pass of a module, but expands them again there.

    With gradient checkpointing nothing is kept anyway. Weights to which an adapter was added are kept: they depend on
    the adapter.
    """

    _latest: tuple[tuple[int, str], Tensor] | None = None
    """The weights that the backward pass expanded last, because it reads them expert by expert."""

    def __init__(self, module: Any, names: list[str], model: Any) -> None:
        self._module = module
        self._names = names
        self._model = model
        self._hooks: list[Any] = []

    def enter(self, module: Any, inputs: Any) -> None:
        _ExpandedAgain._latest = None
        if torch.is_grad_enabled() and not getattr(self._model, "is_gradient_checkpointing", False):
            hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, self._unpack)
            hooks.__enter__()
            self._hooks.append(hooks)

    def leave(self, module: Any, inputs: Any, output: Any) -> None:
        if self._hooks:
            self._hooks.pop().__exit__(None, None, None)

    def _pack(self, tensor: Tensor) -> Any:
        for name in self._names:
            expanded = parametrize._cache.get((id(self._module), name))
            if expanded is None or expanded.requires_grad:
                continue
            if tensor.untyped_storage().data_ptr() == expanded.untyped_storage().data_ptr():
                return name, tensor.size(), tensor.stride(), tensor.storage_offset()
        return tensor

    def _unpack(self, packed: Any) -> Tensor:
        if isinstance(packed, torch.Tensor):
            return packed
        name, size, stride, offset = packed
        key = id(self._module), name
        if _ExpandedAgain._latest is None or _ExpandedAgain._latest[0] != key:
            chain = self._module.parametrizations[name]
            _ExpandedAgain._latest = key, chain[0](chain.original)
        return _ExpandedAgain._latest[1].as_strided(size, stride, offset)
