"""The weights of the model in training, of which each worker holds a part: PyTorch's FSDP2 (``fully_shard``).

Every weight is split by rows among the workers. While a layer computes, forward and backward, its weights are gathered;
afterwards they are freed. If every weight is trained, its gradient and its optimiser state are split, too, and the
backward pass sums the gradients into the parts. (The idea: ZeRO stage 3, arXiv 1910.02054; FSDP, arXiv 2304.11277.) The
parameters of an adapter are few, and whole at each worker.

Gathering is a message of all workers, so all must run the model equally often. The root module here calls a function
instead of one model's ``forward``, because the losses use the output layer's weight outside its layer.

Weights in 4 bits are split as the bytes that they are. What expands them stays whole at each worker: a thirtieth with
double quantisation. bitsandbytes finds it on the layer, once ``fully_shard`` has replaced the weight
(``fix_4bit_weight_quant_state_from_module``). Its documentation asks for ``bnb_4bit_quant_storage`` of the model's own
type, because FSDP1 joins all parameters of a layer to one tensor; FSDP2 does not
(https://huggingface.co/docs/bitsandbytes/fsdp_qlora).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar, cast

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from typing_extensions import override

from ftkit.errors import RefusedError
from ftkit.training.weights import Parameters, WholeWeights
from ftkit.training.worker_group import WorkerGroup

__all__ = ["ShardedBase", "ShardedWeights", "shard"]

ResultT = TypeVar("ResultT")


class _Root(torch.nn.Module):
    """Holds the model, and calls what computes with it, between FSDP2's hooks of the root."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, compute: Callable[[], ResultT]) -> ResultT:
        return compute()


class ShardedBase(WholeWeights):
    """Each worker holds a part of each weight of the model, and all of its adapter.

    Args:
        model: the transformers model, whole at every worker, with the same weights; on the CPU, if there is not room
            for all of it elsewhere. It is changed in place: parts of its weights, on the device.
        device: where the parts are kept and computed with.
        workers: those that train together.
        adapter: the parameters in the model that belong to an adapter. They are moved to the device.

    Raises:
        RefusedError: the model does not say what its layers are, or holds weights in few bits outside linear layers of
            bitsandbytes.
    """

    sharded = True

    def __init__(
        self,
        model: Any,
        device: torch.device,
        workers: WorkerGroup,
        adapter: Sequence[torch.nn.Parameter] = (),
    ) -> None:
        super().__init__(workers)
        layers = _layers(model)
        if not layers:
            _refuse(f"{type(model).__name__} does not name its layers (_no_split_modules)", "strategy")
        mesh = init_device_mesh(device.type, (workers.size,))
        for parameter in adapter:
            parameter.data = parameter.data.to(device)
        for name, module in model.named_modules():
            state = getattr(module, "quant_state", None)
            if state is not None:  # of bitsandbytes; its own kind of parameter would not survive being split
                state.to(device)
                module.weight = torch.nn.Parameter(module.weight.data, requires_grad=False)
            elif not all(parameter.is_floating_point() for parameter in module.parameters(recurse=False)):
                _refuse(f"the weights of {name} are quantised in a way that is not split among workers", "adapter.kind")
        whole = set(adapter)
        for layer in layers:
            fully_shard(self._prepared(layer), mesh=mesh, ignored_params=whole)
        root: Any = fully_shard(_Root(self._prepared(model)), mesh=mesh, ignored_params=whole)
        self._root = root
        modules: list[Any] = list(root.modules())
        self._shards = [module for module in modules if isinstance(module, FSDPModule)]
        for part in self._shards:  # a batch's loss is divided by its size already: gradients are summed
            part.set_gradient_divide_factor(1.0)
            part.set_force_sum_reduction_for_comms(enable=True)

    def _prepared(self, module: torch.nn.Module) -> torch.nn.Module:
        """A part of the model in the types in which it is held."""
        return module

    @override
    def run(self, compute: Callable[[], ResultT]) -> ResultT:
        result: ResultT = self._root(compute)
        if not torch.is_grad_enabled():
            self._root.reshard()  # after a pass with gradients the backward pass does so
        return result

    @override
    @contextmanager
    def gathered(self) -> Iterator[None]:
        for part in self._shards:
            part.set_reshard_after_forward(False, recurse=False)
            part.unshard()
        try:
            yield
        finally:
            for part in self._shards:
                part.reshard()
                part.set_reshard_after_forward(part is not self._root, recurse=False)


class ShardedWeights(ShardedBase):
    """Each worker holds a part of each weight, which is trained in float32, of its gradient and optimiser state."""

    @override
    def _prepared(self, module: torch.nn.Module) -> torch.nn.Module:
        return module.float()  # bfloat16 weights round away AdamW's small steps

    @override
    def sum_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Do nothing: the backward pass has summed them."""

    @override
    def clip_gradients(self, parameters: Sequence[torch.nn.Parameter], max_norm: float) -> float:
        norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
        return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)

    @override
    def tensors(self, parameters: Parameters) -> dict[str, torch.Tensor]:
        return {name: whole for name, parameter in parameters.items() if (whole := self._whole(parameter)) is not None}

    @override
    def model_state(self, model: Any) -> dict[str, torch.Tensor] | None:
        gathered: dict[int, torch.Tensor | None] = {}  # a tied weight has two names
        state = model.state_dict(keep_vars=True)
        for value in state.values():
            if id(value) not in gathered:
                gathered[id(value)] = self._whole(value)
        return {name: whole for name, value in state.items() if (whole := gathered[id(value)]) is not None}

    @override
    @torch.no_grad()
    def load(self, parameters: Parameters, tensors: Mapping[str, torch.Tensor] | None) -> None:
        for name, parameter in parameters.items():
            parameter.copy_(self._part(None if tensors is None else tensors[name], parameter))

    @override
    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        held = optimizer.state_dict()
        state = {
            index: {key: self._whole(value) if torch.is_tensor(value) else value for key, value in entries.items()}
            for index, entries in held["state"].items()
        }
        return {**held, "state": state}

    @override
    def load_optimizer(self, optimizer: Any, state: dict[str, Any] | None) -> None:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        entries = {} if state is None else state["state"]

        def is_split(index: int, value: Any) -> bool:
            return torch.is_tensor(value) and value.ndim > 0 and value.shape == parameters[index].shape

        def described() -> dict[str, Any]:
            """The state without the tensors that are split, each of which is None."""
            assert state is not None  # noqa: S101  (the first worker has it)
            small = {
                index: {key: None if is_split(index, value) else value for key, value in of.items()}
                for index, of in entries.items()
            }
            return {**state, "state": small}

        received = self.workers.from_first(described)
        for index, of in received["state"].items():
            for key in [key for key, value in of.items() if value is None]:
                of[key] = self._part(entries[index][key] if entries else None, parameters[index])
        optimizer.load_state_dict(received)

    @torch.no_grad()
    def _whole(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """A tensor from its parts, in the CPU's memory of the first worker; None at the others."""
        whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor.detach()
        return whole.cpu() if self.workers.is_first else None

    def _part(self, whole: torch.Tensor | None, like: torch.Tensor) -> torch.Tensor:
        """This worker's part of a tensor that the first worker has, split as another one is."""
        split = cast(DTensor, like)
        if whole is None:
            sent = torch.empty(split.shape, dtype=split.dtype, device=split.device)
        else:
            sent = whole.to(split.device, split.dtype)
        return distribute_tensor(sent, split.device_mesh, split.placements)


def shard(model: Any, device: torch.device, workers: WorkerGroup, adapter: Sequence[torch.nn.Parameter]) -> ShardedBase:
    """Split a model among workers, each of which holds all of it.

    Args:
        model: see :class:`ShardedBase`.
        device: where the parts are kept and computed with.
        workers: those that train together.
        adapter: the parameters of its adapter; empty if every weight is trained.

    Returns:
        How this worker holds it.
    """
    return (ShardedBase if adapter else ShardedWeights)(model, device, workers, adapter)


def _refuse(why: str, field: str) -> NoReturn:
    raise RefusedError(
        f'strategy="fsdp2": {why}; take strategy="ddp"',
        backend="local",
        fields=tuple(dict.fromkeys(("strategy", field))),
    )


def _layers(model: Any) -> list[torch.nn.Module]:
    """The layers of a model that compute one after another, the repeated blocks of a transformer."""
    names = set(getattr(model, "_no_split_modules", None) or ())
    return [module for module in model.modules() if type(module).__name__ in names]
