"""What a run would take on each backend: memory and time of local training, prices and dates of hosts."""

from __future__ import annotations

from datetime import date
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from typing_extensions import override

from ftkit.errors import ConfigError
from ftkit.results.result import Result

__all__ = ["Estimate", "Memory", "Plan", "PlanEntry", "Quote"]


class Memory(BaseModel):
    """Bytes, by what they are for.

    The parts are not all there at once, so ``peak`` is less than their sum where gradients grow while activations go.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    weights: int
    """The base model, frozen or (``Full``) trained."""
    adapters: int
    """The adapters, in float32."""
    gradients: int
    """Of everything that is trained."""
    optimizer: int
    """The optimiser's state, and what AdaLoRA keeps of past gradients."""
    activations: int
    """What the largest pack keeps for its backward pass."""
    logits: int
    """The output layer's work on one chunk of predictions."""
    workspace: int
    """What the backward pass of one layer needs beside it."""
    allocator: int
    """What the allocator holds and nobody uses."""
    cache: int = 0
    """Keys and values of the answers that are drawn together, of reinforcement."""
    process: int
    """Python, torch and the libraries (CPU), or the CUDA context."""
    loading: int
    """The peak while the weights are read."""
    looking: int
    """The peak of passes without gradients: trying the model with two rows, the reference of preferences, looks at the
    validation loss."""
    drawing: int = 0
    """The peak while answers are drawn."""
    peak: int
    """The most at any one time, ``process`` included."""


class Estimate(BaseModel):
    """What one place would need for one run."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    recipe: dict[str, Any]
    """The recipe with a number in the place of every ``"auto"``."""
    device: str
    """What it would run on."""
    parameters: int
    """All parameters of the base model."""
    trainable_parameters: int
    """Those that change."""
    memory: Memory
    """Bytes, by what they are for."""
    device_memory: int
    """Bytes that the device has."""
    fits: bool
    """Whether the peak is below that."""
    tokens_per_epoch: int
    """Tokens of all rows."""
    computed_tokens_per_epoch: int
    """Tokens that are computed, shared beginnings once a pass."""
    drawn_tokens_per_epoch: int = 0
    """Tokens of the answers that reinforcement draws, each as long as it may be. They are in the other two as well."""
    steps: int
    """Optimiser steps of the whole run."""
    seconds_per_step: float
    """Mean over the steps, the machine free for it."""
    seconds: float
    """Of the whole run, with its looks at the validation rows, the reference of preferences and the answers of before
    the first step; loading and saving are not in it."""
    notes: tuple[str, ...] = ()
    """What the numbers rest on, where it is not the machine itself."""


class Quote(BaseModel):
    """What a host would charge, from the catalogue's facts about the address that is asked. ``None`` where no price or
    date is known."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    backend: str
    """``"name:model"``."""
    rows: int
    epochs: int
    tokens_per_epoch: int
    """Tokens of the training rows."""
    tokenizer: str
    """What counted them."""
    exact: bool
    """Whether that is the model's own tokenizer; else tokens are estimated."""
    training_usd: float | None
    training_usd_per_hour: float | None = None
    """Of training that is charged by the hour, which is how hosts charge reinforcement; how many hours it will be is
    not known beforehand."""
    usd_per_1000_predictions: float | None
    """Of answers like the rows' own, by the tuned model."""
    hosting_usd_per_hour: float | None
    """For keeping the tuned model ready; ``None``: nothing is charged, or not known."""
    training_closes: date | None
    training_days_left: int | None
    stops_answering: date | None
    answering_days_left: int | None
    stops_source: str | None
    """Who says so: a page of the catalogue, or the host itself."""
    estimated_by_host: bool
    """Whether the host says its own price once it has the rows, which ``ft.train(max_cost=…)`` then goes by too."""
    unlisted: str | None
    """Why no price, limit or date of the place is known; ``None`` where the catalogue has any."""
    replacement: str | None
    price_source: str | None
    price_as_of: date | None
    notes: tuple[str, ...] = ()


class PlanEntry(BaseModel):
    """What one backend says."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    backend: str
    """As ``"name:model"``."""
    estimate: Estimate | None = None
    """What the run would take there; ``None`` when it cannot be said."""
    quote: Quote | None = None
    """What it would charge, of a place that charges."""
    problem: str | None = None
    """Why not."""

    @property
    def fits(self) -> bool:
        """Whether the run could be made there: it has the memory, or is a host that takes it."""
        return self.quote is not None or (self.estimate is not None and self.estimate.fits)


class Plan(Result, BaseModel):
    """What a run would take on each backend. ``print`` shows it as a table; ``model_dump_json`` gives all of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    result_type: ClassVar[str] = "plan"

    rows: int
    """Training rows."""
    entries: tuple[PlanEntry, ...]
    """One for each backend, in the order asked for."""

    @property
    def fits(self) -> bool:
        """Whether there is a backend where it could run: one that has the memory, or a host that takes it."""
        return any(entry.fits for entry in self.entries)

    def __getitem__(self, backend: str) -> Estimate:
        """The estimate of ``backend``.

        Raises:
            ConfigError: it was not asked, or it could not say; with its reason.
        """
        for entry in self.entries:
            if entry.backend == backend:
                if entry.estimate is None:
                    raise ConfigError(f"{backend}: {entry.problem}")
                return entry.estimate
        raise ConfigError(f"{backend!r} is not in the plan; it has {', '.join(one.backend for one in self.entries)}")

    @override
    def to_json(self) -> str:
        return self.model_dump_json(indent=2) + "\n"

    @override
    def _headline(self) -> str:
        said = [f"{one.backend} {'fits' if one.fits else 'does not fit'}" for one in self.entries]
        return f"{self.rows:,} rows; {', '.join(said)}"
