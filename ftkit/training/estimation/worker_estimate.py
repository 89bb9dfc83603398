"""What an estimate says of several workers: their share of the rows, how they are joined, what they send."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from typing_extensions import override

from ftkit.errors import RefusedError
from ftkit.recipe import Recipe
from ftkit.results.plan import WorkerEstimate
from ftkit.training.dataloader import TokenRows
from ftkit.training.estimation.communication import LINK_SHARE, Traffic, WorkerLayout
from ftkit.training.estimation.plan_target import PlanTarget
from ftkit.training.estimation.workload import Workload
from ftkit.training.shares import balanced_shares

if TYPE_CHECKING:
    from ftkit.modeling.tokenized_example import Example

__all__ = ["check_planned", "layout_notes", "layout_of", "share_of", "worker_estimate"]


@dataclass(frozen=True, slots=True)
class _Share(TokenRows):
    """Rows of which every batch is the share of the worker with the most tokens."""

    workers: int = 1

    @override
    def batches(self, epoch: int, batch_size: int, seed: int) -> Iterator[list[Example]]:
        for batch in TokenRows.batches(self, epoch, batch_size, seed):
            yield self._largest(batch)

    @override
    def examples(self) -> list[Example]:
        return self._largest(TokenRows.examples(self))

    def _largest(self, examples: list[Example]) -> list[Example]:
        sizes = [sum(len(sequence.ids) for sequence in example.sequences) for example in examples]
        shares = balanced_shares(sizes, self.workers)
        return [examples[index] for index in max(shares, key=lambda share: sum(sizes[index] for index in share))]


def share_of(rows: TokenRows, layout: WorkerLayout) -> TokenRows:
    """Return what one worker computes of rows.

    Args:
        rows: tokenised rows.
        layout: the workers.

    Returns:
        The rows, of whose batches the largest share is taken.
    """
    if layout.count == 1:
        return rows
    return _Share(rows.rows, rows.tokens, rows.supervised, rows.longest, layout.count)


def layout_of(target: PlanTarget, workers: int, strategy: str, *, one_node: bool) -> WorkerLayout:
    """Lay workers out on GPUs of a kind.

    Args:
        target: the GPU.
        workers: how many.
        strategy: how they hold the model.
        one_node: whether all are on one node.

    Returns:
        The layout.

    Raises:
        RefusedError: the target is a CPU, which several workers share.
    """
    if workers > 1 and target.device == "cpu":
        raise RefusedError(
            f"workers={workers}: plans of several workers are for GPUs, one for each; name theirs, as in "
            'device="8xh100-80gb@8xinfiniband-ndr"',
            backend="local",
            fields=("workers",),
        )
    joined = target.interconnect
    if joined is not None and one_node:
        joined = replace(joined, gpus_per_node=max(workers, joined.gpus_per_node))
    return WorkerLayout(workers, strategy, joined)


def check_planned(recipe: Recipe, work: Workload) -> None:
    """Refuse what is planned for one worker only.

    Args:
        recipe: the recipe.
        work: its workload.

    Raises:
        RefusedError: the recipe samples answers to train on.
    """
    if work.generations:
        raise RefusedError(
            f"{type(recipe).__name__} samples its answers, and such runs are planned for one worker only: plan with "
            "workers=1",
            backend="local",
            fields=("workers",),
        )


def layout_notes(layout: WorkerLayout, batch_size: int) -> list[str]:
    """List the assumptions about several workers.

    Args:
        layout: the workers.
        batch_size: rows of a batch.

    Returns:
        Ends of sentences for an estimate's notes.
    """
    if layout.count == 1:
        return []
    notes = []
    joined = layout.interconnect
    if layout.bytes_per_second() is None or joined is None:
        notes.append("the links between the GPUs are not known, so what the workers send is not included")
    else:
        how = "and goes on while layers compute" if layout.shards > 1 else "after the backward pass"
        notes.append(f"sending takes place at {LINK_SHARE:.0%} of the rated speed of the links, {how} (assumed)")
        if layout.nodes > 1 and joined.assumed and joined.between is not None:
            notes.append(
                f"nodes of {joined.gpus_per_node} GPUs, each with {joined.adapters} adapters of {joined.between.name}, "
                "are assumed; device= names others"
            )
    if batch_size < layout.count:
        notes.append(f"a batch of {batch_size} rows leaves {layout.count - batch_size} of {layout.count} workers idle")
    return notes


def worker_estimate(layout: WorkerLayout, traffic: Traffic | None, computed: float) -> WorkerEstimate:
    """Describe the workers of an estimate.

    Args:
        layout: the workers.
        traffic: what each sends in a step; None if the links are not known.
        computed: seconds in which the slowest computes a step.

    Returns:
        The description.
    """
    joined = layout.interconnect
    several = joined is not None and layout.nodes > 1 and joined.between is not None
    return WorkerEstimate(
        workers=layout.count,
        strategy=layout.strategy,
        nodes=layout.nodes,
        gpus_per_node=None if joined is None else joined.gpus_per_node,
        link=None if joined is None or joined.inside is None else joined.inside.name,
        network=f"{joined.adapters} × {joined.between.name}" if several and joined and joined.between else None,
        bytes_per_second=layout.bytes_per_second(),
        bytes_per_step=None if traffic is None else traffic.sent,
        seconds_per_step=None if traffic is None else traffic.seconds,
        compute_seconds_per_step=computed,
    )
