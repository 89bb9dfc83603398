"""Seconds in which the workers of a run send to each other, by the speed of the links between their GPUs.

Rings move the fewest bytes that a collective can: of S bytes and n workers each sends 2(n−1)/n · S to sum them
everywhere (all-reduce), and (n−1)/n · S to collect the parts (all-gather) or to leave each its part of the sum
(reduce-scatter). (Patarasuk and Yuan 2009, doi 10.1016/j.jpdc.2008.09.002; NCCL's tests count in the same way:
https://github.com/NVIDIA/nccl-tests/blob/master/doc/PERFORMANCE.md.) Rings pass through all GPUs of a node and leave it
by every network adapter at once, so the slower of a GPU's link and a node's adapters together is what limits them.
Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ftkit.catalog import GpuLink
from ftkit.modeling.model_shape import ModelShape
from ftkit.training.estimation.memory_model import outer_parameters
from ftkit.training.estimation.workload import Step

__all__ = ["LINK_SHARE", "Interconnect", "Traffic", "WorkerLayout", "gathering_seconds", "step_traffic"]

LINK_SHARE = 0.8
"""Achieved share of a link's rated speed, in large messages: NCCL's tests reach 360 of 450 GB/s between the GPUs of a
node of H100 (https://github.com/NVIDIA/nccl/issues/1281). Assumed for all links; latencies are not counted."""
_SIZE = 4
"""Bytes of a trained weight or a gradient, which are float32."""


@dataclass(frozen=True, slots=True)
class Interconnect:
    """How GPUs are joined.

    Attributes:
        gpus_per_node: GPUs of a node.
        inside: the link between them; None if it is not known.
        between: what joins nodes; None if it is not known.
        adapters: network adapters of a node.
        assumed: whether ``between`` was not said, but assumed.
    """

    gpus_per_node: int
    inside: GpuLink | None
    between: GpuLink | None = None
    adapters: int = 1
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class WorkerLayout:
    """The workers of a run, each on a GPU.

    Attributes:
        count: how many.
        strategy: how they hold the model, see :data:`~ftkit.training.strategies.STRATEGIES`.
        interconnect: how their GPUs are joined; None if it is not known.
    """

    count: int = 1
    strategy: str = "ddp"
    interconnect: Interconnect | None = None

    @property
    def shards(self) -> int:
        """In how many parts the weights are split."""
        return self.count if self.strategy == "fsdp2" else 1

    @property
    def nodes(self) -> int:
        """Nodes that the workers fill."""
        return 1 if self.interconnect is None else -(-self.count // self.interconnect.gpus_per_node)

    def bytes_per_second(self) -> float | None:
        """Return the speed at which each worker of a ring sends.

        Returns:
            Bytes per second; None if a link is not known.
        """
        joined = self.interconnect
        if joined is None or joined.inside is None or (self.nodes > 1 and joined.between is None):
            return None
        rated = joined.inside.gb_per_s
        if self.nodes > 1 and joined.between is not None:
            rated = min(rated, joined.adapters * joined.between.gb_per_s)
        return 1e9 * LINK_SHARE * rated


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a worker sends in a step.

    Attributes:
        sent: bytes.
        seconds: how long that takes by itself.
        overlaps: whether it goes on while the layers compute.
    """

    sent: float
    seconds: float
    overlaps: bool

    def with_compute(self, seconds: float) -> float:
        """Return how long computing and sending take together.

        Args:
            seconds: how long computing takes by itself.

        Returns:
            Seconds: the sum, or the longer of both if one goes on during the other.
        """
        return max(seconds, self.seconds) if self.overlaps else seconds + self.seconds


def step_traffic(
    shape: ModelShape, trained: int, steps: Sequence[Step], layout: WorkerLayout, frozen: tuple[int, int] | None = None
) -> Traffic | None:
    """Compute what each worker sends in an optimiser step.

    Args:
        shape: shape of the model.
        trained: trainable parameters.
        steps: a worker's packs of some of the run's steps.
        layout: the workers.
        frozen: bytes of all weights and of those in the layers, if an adapter is trained; see
            :func:`~ftkit.training.estimation.memory_model.held_bytes`.

    Returns:
        With ``"ddp"`` the sum of all gradients, once in a step, when all are computed. With ``"fsdp2"`` for each pack
        all weights forward and those of the layers backward, while layers compute; and the gradients, of all weights
        for each pack, or of an adapter once. None if a link is not known.
    """
    speed, one = layout.bytes_per_second(), (layout.count - 1) / layout.count
    if speed is None:
        return None
    if layout.shards == 1:
        sent = 2 * one * _SIZE * trained
        return Traffic(sent, sent / speed, overlaps=False)
    packs = sum(len(step) for step in steps) / len(steps)
    if frozen is not None:
        sent = packs * one * sum(frozen) + 2 * one * _SIZE * trained
    else:
        inner = shape.parameters - outer_parameters(shape)
        sent = packs * one * _SIZE * (shape.parameters + inner + shape.parameters)
    return Traffic(sent, sent / speed, overlaps=True)


def gathering_seconds(weights: int, passes: int, layout: WorkerLayout) -> float:
    """Compute how long the weights take to be gathered for passes without gradients.

    Args:
        weights: bytes of all weights.
        passes: packs that a worker computes.
        layout: the workers.

    Returns:
        Seconds; 0 if each worker holds the whole model, or a link is not known.
    """
    speed = layout.bytes_per_second()
    if layout.shards == 1 or speed is None:
        return 0.0
    return passes * (layout.count - 1) / layout.count * weights / speed
