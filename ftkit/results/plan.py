"""Plans of a run: memory and time of local training, prices and deadlines of hosted training."""

from __future__ import annotations

from datetime import date
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from typing_extensions import override

from ftkit.counts import counted
from ftkit.errors import ConfigError
from ftkit.results.result import Result

__all__ = ["Estimate", "Memory", "Plan", "PlanEntry", "Quote", "WorkerEstimate"]


class Memory(BaseModel):
    """Memory of a training run by purpose, in bytes.

    The parts are not all in use at the same time, so ``peak`` can be less than their sum.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    weights: int
    """The base model, frozen or (``Full``) trained."""
    adapters: int
    """The adapters, in float32."""
    gradients: int
    """Gradients of the trainable parameters."""
    optimizer: int
    """Optimizer state, and AdaLoRA's moving averages of gradients."""
    activations: int
    """Activations that the largest pack keeps for its backward pass."""
    logits: int
    """Logits of one chunk of predictions."""
    workspace: int
    """Temporary tensors of one layer's backward pass."""
    allocator: int
    """Memory that the allocator holds unused."""
    gathered: int = 0
    """Weights that are gathered whole while layers compute, and their gradients (``strategy="fsdp2"``)."""
    cache: int = 0
    """KV cache of the answers that reinforcement generates together."""
    process: int
    """Python, torch and the libraries (CPU), or the CUDA context."""
    loading: int
    """Peak while the weights are loaded."""
    looking: int
    """Peak of passes without gradients: the first check, the reference log-probabilities, the validation loss."""
    drawing: int = 0
    """Peak while answers are generated."""
    peak: int
    """Peak of the whole run, including ``process``."""


class WorkerEstimate(BaseModel):
    """What the workers of a run send to each other. Memory, and the other numbers of the estimate, are a worker's."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    workers: int
    """Number of workers, each on a GPU."""
    strategy: str
    """``"ddp"``: each holds the whole model. ``"fsdp2"``: each holds a part."""
    nodes: int
    """Number of nodes that the workers fill."""
    gpus_per_node: int | None
    """Number of GPUs of a node; None if the links are not known, as for the next five."""
    link: str | None
    """The link between the GPUs of a node."""
    network: str | None
    """Adapters of a node to the others; None within one node."""
    bytes_per_second: float | None
    """Speed at which each worker sends."""
    bytes_per_step: float | None
    """Bytes that each worker sends in a step."""
    seconds_per_step: float | None
    """Seconds that this takes by itself."""
    compute_seconds_per_step: float
    """Seconds that computing a step takes by itself, for the worker with the most tokens."""


class Estimate(BaseModel):
    """Memory, tokens, steps and time of one run on one machine, or by several workers."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    recipe: dict[str, Any]
    """The recipe with every ``"auto"`` resolved."""
    device: str
    """Name of the device."""
    parameters: int
    """Number of parameters of the base model."""
    trainable_parameters: int
    """Number of trainable parameters."""
    memory: Memory
    """Memory by purpose, in bytes."""
    device_memory: int
    """Memory of the device, in bytes."""
    fits: bool
    """Whether the peak is below the memory of the device."""
    tokens_per_epoch: int
    """Number of tokens in all rows."""
    computed_tokens_per_epoch: int
    """Number of tokens that are computed; a shared prefix counts once per pass."""
    drawn_tokens_per_epoch: int = 0
    """Number of tokens that reinforcement generates, at most. The other two counts include them."""
    steps: int
    """Number of optimizer steps."""
    seconds_per_step: float
    """Mean seconds per step on an idle machine."""
    seconds_per_epoch: float = 0.0
    """Seconds of the steps of an epoch."""
    seconds: float
    """Seconds of the whole run, including validation, reference log-probabilities and the first answers; loading and
    saving are not included."""
    workers: WorkerEstimate | None = None
    """What several workers send to each other; None if there is one worker."""
    notes: tuple[str, ...] = ()
    """Assumptions behind the numbers."""


class Quote(BaseModel):
    """Price and deadlines of training at a host, from the catalogue. None where a price or date is unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    backend: str
    """``"name:model"``."""
    rows: int
    epochs: int
    tokens_per_epoch: int
    """Number of tokens in the training rows."""
    tokenizer: str
    """Name of the tokenizer that counted them."""
    exact: bool
    """Whether it is the model's own tokenizer; if not, tokens are estimated."""
    training_usd: float | None
    training_usd_per_hour: float | None = None
    """Price of training that is charged by the hour (reinforcement); the number of hours is not known beforehand."""
    usd_per_1000_predictions: float | None
    """Price of 1,000 answers of the tuned model that are as long as those of the rows."""
    hosting_usd_per_hour: float | None
    """Price of keeping the tuned model deployed; None if it is free or unknown."""
    training_closes: date | None
    training_days_left: int | None
    stops_answering: date | None
    answering_days_left: int | None
    stops_source: str | None
    """Source of the shutdown date: a page of the catalogue, or the host itself."""
    estimated_by_host: bool
    """Whether the host computes its own price from the uploaded rows. ``ft.train(max_cost=…)`` then checks it too."""
    unlisted: str | None
    """Why the catalogue has no price, limit or date for this host; None if it has."""
    replacement: str | None
    price_source: str | None
    price_as_of: date | None
    notes: tuple[str, ...] = ()


class PlanEntry(BaseModel):
    """Plan for one backend."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    backend: str
    """The backend as ``"name:model"``."""
    estimate: Estimate | None = None
    """Memory and time of local training; None if they are unknown."""
    quote: Quote | None = None
    """Price of hosted training."""
    problem: str | None = None
    """Why there is no estimate."""

    @property
    def fits(self) -> bool:
        """Whether the run is possible: the memory suffices, or the host accepts it."""
        return self.quote is not None or (self.estimate is not None and self.estimate.fits)


class Plan(Result, BaseModel):
    """Plan of a run for each backend. ``print`` shows it as a table; ``model_dump_json`` returns all of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    result_type: ClassVar[str] = "plan"

    rows: int
    """Number of training rows."""
    entries: tuple[PlanEntry, ...]
    """One entry for each backend, in the given order."""

    @property
    def fits(self) -> bool:
        """Whether the run is possible on at least one backend."""
        return any(entry.fits for entry in self.entries)

    def __getitem__(self, backend: str) -> Estimate:
        """Return the estimate for ``backend``.

        Args:
            backend: The backend as ``"name:model"``.

        Returns:
            The estimate.

        Raises:
            ConfigError: The plan does not include the backend, or has no estimate for it.
        """
        for entry in self.entries:
            if entry.backend == backend:
                if entry.estimate is None:
                    raise ConfigError(f"{backend}: {entry.problem}")
                return entry.estimate
        raise ConfigError(
            f"{backend!r} is not in the plan; it has {', '.join(entry.backend for entry in self.entries)}"
        )

    @override
    def to_json(self) -> str:
        return self.model_dump_json(indent=2) + "\n"

    @override
    def _headline(self) -> str:
        fits = [f"{entry.backend} {'fits' if entry.fits else 'does not fit'}" for entry in self.entries]
        return f"{counted(self.rows, 'row')}; {', '.join(fits)}"
