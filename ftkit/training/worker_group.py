"""The workers that train one model together: each computes a share of every batch, and all take the same step.

Every worker has the model, all rows and the same random seeds, so all know the whole batch. The gradients of the shares
are summed before the step; a batch's loss is divided by the size of the whole batch, so the result does not depend on
the number of workers but for rounding.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch

from ftkit.errors import TrainingError
from ftkit.training.shares import balanced_shares

__all__ = ["ALONE", "WorkerGroup", "local_part"]

T = TypeVar("T")
ResultT = TypeVar("ResultT")

_COLLECTIVE_TIMEOUT = timedelta(hours=12)
"""How long workers wait for each other: while one grades answers or saves the model, the others do."""
_BUCKET_ELEMENTS = 32 * 1024 * 1024
"""Gradients that are summed in one message, so that little memory is used beside them."""


@dataclass(frozen=True, slots=True)
class WorkerGroup:
    """The workers of a run, seen from one of them. A group of more than one needs torch's default process group.

    Args:
        rank: this worker's number, from 0. The first one writes events, checkpoints and the model.
        size: how many there are.
        objects: the group over which plain objects are sent; one of gloo where tensors go over NCCL.
        strategy: how they hold the model, see :data:`~ftkit.training.strategies.STRATEGIES`.
    """

    rank: int = 0
    size: int = 1
    objects: Any = None
    strategy: str = "ddp"

    @classmethod
    def of_process_group(cls, strategy: str = "ddp") -> WorkerGroup:
        """Return the group of torch's default process group, which must be initialised.

        Args:
            strategy: how the workers hold the model.

        Returns:
            The group.
        """
        distributed: Any = torch.distributed
        objects = None if distributed.get_backend() == "gloo" else distributed.new_group(backend="gloo")
        return cls(distributed.get_rank(), distributed.get_world_size(), objects, strategy)

    @classmethod
    def meet(cls, rank: int, size: int, meeting: Path, strategy: str = "ddp") -> WorkerGroup:
        """Wait for the other workers, and form torch's default process group with them.

        Args:
            rank: this worker's number, from 0.
            size: how many there are.
            meeting: a file on a disk that all reach, which does not exist yet.
            strategy: how the workers hold the model.

        Returns:
            The group: with a GPU for each worker over NCCL, else with a part of the CPU's threads over gloo.

        Raises:
            TrainingError: there are GPUs, but fewer than workers.
        """
        gpus = torch.cuda.device_count()  # before CUDA is initialised, which fixes what is visible
        if 0 < gpus < size:
            raise TrainingError(f"workers={size}: each needs a GPU of its own, and {gpus} are visible")
        if gpus:
            visible = os.environ.get("CUDA_VISIBLE_DEVICES")
            names = [name.strip() for name in visible.split(",")] if visible else [*map(str, range(gpus))]
            os.environ["CUDA_VISIBLE_DEVICES"] = names[rank]
        else:
            torch.set_num_threads(max(1, torch.get_num_threads() // size))
        distributed: Any = torch.distributed
        distributed.init_process_group(
            "nccl" if gpus else "gloo",
            init_method=meeting.absolute().as_uri(),
            rank=rank,
            world_size=size,
            timeout=_COLLECTIVE_TIMEOUT,
        )
        return cls.of_process_group(strategy)

    @property
    def shards(self) -> bool:
        """Whether each worker holds a part of the model only."""
        return self.strategy == "fsdp2"

    @property
    def is_first(self) -> bool:
        """Whether this worker writes."""
        return self.rank == 0

    def gather(self, value: T) -> list[T]:
        """Collect a value of every worker.

        Args:
            value: this worker's; can be pickled.

        Returns:
            The values of all workers, by rank.
        """
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        distributed: Any = torch.distributed
        distributed.all_gather_object(values, value, group=self.objects)
        return values

    def from_first(self, make: Callable[[], T]) -> T:
        """Have the first worker make a value, and give it to all.

        Args:
            make: called by the first worker only.

        Returns:
            The value.
        """
        if self.size == 1:
            return make()
        held: list[Any] = [make() if self.is_first else None]
        distributed: Any = torch.distributed
        distributed.broadcast_object_list(held, src=0, group=self.objects)
        value: T = held[0]
        return value

    def any(self, flag: bool) -> bool:
        """Say whether a flag is set at any worker.

        Args:
            flag: this worker's.

        Returns:
            Whether one is set.
        """
        return any(self.gather(flag)) if self.size > 1 else flag

    def share(self, sizes: Sequence[int]) -> list[int]:
        """Return which of some items this worker computes.

        Args:
            sizes: what each item costs, such as its tokens.

        Returns:
            Their indices, rising.
        """
        return list(range(len(sizes))) if self.size == 1 else balanced_shares(sizes, self.size)[self.rank]

    def map_shares(
        self, items: Sequence[T], sizes: Sequence[int], compute: Callable[[list[int], list[T]], Iterable[ResultT]]
    ) -> list[ResultT]:
        """Compute something of each item, a share at each worker, and give all results to all.

        Args:
            items: the items, the same at every worker.
            sizes: what each costs.
            compute: takes the indices and the items of a share; returns a result, which can be pickled, for each.

        Returns:
            The results in the order of the items.
        """
        mine = self.share(sizes)
        own = list(zip(mine, compute(mine, [items[index] for index in mine]), strict=True))
        if self.size == 1:
            return [result for _, result in own]
        results = {index: result for part in self.gather(own) for index, result in part}
        return [results[index] for index in range(len(items))]

    @torch.no_grad()
    def sum_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Replace each parameter's gradient by the sum over all workers.

        A parameter that has a gradient at no worker keeps none.

        Args:
            parameters: the trainable tensors, in the same order at every worker.
        """
        if self.size == 1:
            return
        distributed: Any = torch.distributed
        having = {
            index for part in self.gather([n for n, p in enumerate(parameters) if p.grad is not None]) for index in part
        }
        bucket: list[torch.Tensor] = []
        held, last = 0, max(having, default=-1)
        for index in sorted(having):
            parameter = parameters[index]
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            bucket.append(parameter.grad)
            held += parameter.numel()
            if held >= _BUCKET_ELEMENTS or index == last:
                flat = torch.cat([gradient.reshape(-1).float() for gradient in bucket])
                distributed.all_reduce(flat)
                for gradient, part in zip(bucket, torch.split(flat, [each.numel() for each in bucket]), strict=True):
                    gradient.copy_(part.view_as(gradient))
                bucket, held = [], 0


ALONE = WorkerGroup()
"""A run of one worker."""


def local_part(tensor: torch.Tensor) -> torch.Tensor:
    """Return what this worker holds of a tensor, detached.

    Args:
        tensor: a tensor, or one of which each worker holds a part.

    Returns:
        The tensor itself, or this worker's part, which shares its memory.
    """
    to_local = getattr(tensor, "to_local", None)  # of a DTensor, whose module not every build of torch has
    part: torch.Tensor = tensor if to_local is None else to_local()
    return part.detach()
