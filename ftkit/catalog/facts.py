"""The kinds of facts about providers, models, prices and machines."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from ftkit.catalog.fact import Fact
from ftkit.counts import counted

__all__ = [
    "MOST_USD",
    "Address",
    "Deadline",
    "Gpu",
    "GpuLink",
    "GpuRates",
    "HostedModel",
    "HostingPrice",
    "InferencePrice",
    "Limits",
    "TrainingPrice",
]

MOST_USD = 100_000.0
"""Highest believable price of a million tokens, and of an hour. A higher one is a mistake in the unit."""

Method = Literal["sft", "dpo", "kto", "rft", "cpt"]
"""Training method: supervised, on preferences, on unpaired preferences, reinforcement, or continued pre-training."""

AdapterKind = Literal["lora", "full"]
"""What is trained: low-rank adapters, or every weight."""


class Address(Fact):
    """Address of a provider's API. The provider's other facts apply only there."""

    key_fields = ("address",)

    provider: str
    address: str = Field(pattern=r"^[a-z0-9.\-]+(:[0-9]+)?(/[^/?#]+)*$")
    """Host name, with port and path prefix where they matter. Subdomains match too."""

    def covers(self, place: str) -> bool:
        """Return whether an address belongs to this row.

        Args:
            place: host name with port and path.

        Returns:
            Whether it matches.
        """
        host, slash, path = self.address.partition("/")
        given, _, below = place.partition("/")
        same_host = given == host or (":" not in host and given.partition(":")[0] == host) or given.endswith(f".{host}")
        return same_host and (not slash or f"{below}/".startswith(f"{path}/"))


class HostedModel(Fact):
    """A model of a provider."""

    key_fields = ("provider", "id")

    provider: str
    """Name of the backend, e.g. ``"openai"``; for an unknown address the address, e.g. ``"127.0.0.1:8000"``."""
    id: str
    """Full name of the model at the provider."""
    aliases: tuple[str, ...] = ()
    """Other names of the model."""
    methods: tuple[Method, ...] = ()
    """Methods by which it can be tuned; empty if it cannot."""
    adapters: tuple[AdapterKind, ...] = ()
    """What the provider trains; empty if it does not say."""
    inputs: tuple[Literal["text", "image"], ...] = ("text",)
    """Kinds of content in training rows."""
    context: int | None = Field(default=None, gt=0)
    """Context length in tokens, request and answer together."""
    training_context: int | None = Field(default=None, gt=0)
    """Longest training row in tokens."""
    max_rank: int | None = Field(default=None, gt=0)
    """Highest LoRA rank."""
    parameters_b: float | None = Field(default=None, gt=0)
    """Number of parameters in billions, for providers that price by size."""
    tokenizer: str | None = None
    """``"o200k_base"``, or the repository of the model with its tokenizer."""
    asked_as: str | None = None
    """Name under which the model itself, untuned, is asked, if it is not ``id``."""
    replacement: str | None = None
    """Replacement that the provider, or else the market, offers."""


class Deadline(Fact):
    """A shutdown date."""

    key_fields = ("provider", "model", "ends", "on")

    provider: str
    model: str = "*"
    """The model's id; ``"*"`` is every model of the provider."""
    ends: Literal["training", "model", "tuned_models", "service", "endpoints"]
    """``training``: no new jobs. ``model``: the model stops answering, tuned versions too where there is no
    ``tuned_models`` row. ``tuned_models``: tuned versions stop. ``service``: the provider's whole service.
    ``endpoints``: dedicated endpoints of one version of its API."""
    on: date
    applies_to: str = ""
    """Who is affected, if not everybody."""
    for_all: bool = True
    """Whether it ends for everybody on that date; otherwise see ``applies_to``."""


class TrainingPrice(Fact):
    """Price of training, in US dollars."""

    key_fields = ("provider", "model", "methods", "adapters", "up_to_b")

    provider: str
    model: str = "*"
    """The model's id; ``"*"`` is every model of the provider, within ``up_to_b``."""
    methods: tuple[Method, ...]
    adapters: tuple[AdapterKind, ...] = ("lora", "full")
    up_to_b: float | None = Field(default=None, gt=0)
    """For prices by size: largest number of parameters in billions; ``None`` is unbounded."""
    per_million_tokens: float | None = Field(default=None, ge=0, le=MOST_USD)
    """US dollars per million trained tokens: tokens of the file times epochs."""
    per_hour: float | None = Field(default=None, ge=0, le=MOST_USD)
    """US dollars per hour of training, for providers that charge by time."""
    minimum: float = Field(default=0.0, ge=0, le=MOST_USD)
    """Minimum charge of a job in US dollars."""

    @model_validator(mode="after")
    def _check(self) -> TrainingPrice:
        if (self.per_million_tokens is None) == (self.per_hour is None):
            raise ValueError("set either per_million_tokens or per_hour")
        return self

    def cost(self, tokens: int) -> float | None:
        """Compute the price of a job.

        Args:
            tokens: trained tokens, all epochs together.

        Returns:
            US dollars; None if training is charged by the hour.
        """
        if self.per_million_tokens is None:
            return None
        return max(self.minimum, tokens * self.per_million_tokens / 1e6)


class InferencePrice(Fact):
    """Price of inference, in US dollars per million tokens."""

    key_fields = ("provider", "model", "tuned", "batch")

    provider: str
    model: str
    """Id of the base model, also for tuned versions."""
    tuned: bool
    """Whether the price is for versions tuned by the user."""
    batch: bool = False
    """Whether the price is for the batch API."""
    input: float = Field(ge=0, le=MOST_USD)
    cached_input: float | None = Field(default=None, ge=0, le=MOST_USD)
    """Price of input tokens from the provider's cache; ``None`` means the price of ``input``."""
    output: float = Field(ge=0, le=MOST_USD)
    reasoning: float | None = Field(default=None, ge=0, le=MOST_USD)
    """Price of the tokens that a model reasons with; ``None`` means the price of ``output``."""
    long_from: int | None = Field(default=None, gt=0)
    """Number of input tokens above which the whole request costs more; ``None`` if there is none."""
    long_input: float = Field(default=1.0, gt=0)
    """Above ``long_from``: factor of the prices of input."""
    long_output: float = Field(default=1.0, gt=0)
    """Above ``long_from``: factor of the price of output."""

    def cost(
        self,
        input_tokens: int,
        output_tokens: int,
        cached_tokens: int = 0,
        reasoning_tokens: int = 0,
        *,
        requests: int = 1,
    ) -> float:
        """Compute the price of a call, or of several that are alike.

        Args:
            input_tokens: tokens of the prompt.
            output_tokens: tokens of the answer and its reasoning.
            cached_tokens: how many of ``input_tokens`` came from the provider's cache.
            reasoning_tokens: how many of ``output_tokens`` were reasoning.
            requests: number of requests that the tokens belong to.

        Returns:
            US dollars.
        """
        cached = self.input if self.cached_input is None else self.cached_input
        reasoning = self.output if self.reasoning is None else self.reasoning
        taken = (input_tokens - cached_tokens) * self.input + cached_tokens * cached
        given = (output_tokens - reasoning_tokens) * self.output + reasoning_tokens * reasoning
        if self.long_from is not None and input_tokens > self.long_from * requests:
            taken, given = taken * self.long_input, given * self.long_output
        return (taken + given) / 1e6


class HostingPrice(Fact):
    """Price of keeping a tuned model deployed, whether it is used or not."""

    key_fields = ("provider", "model", "gpu")

    provider: str
    model: str = "*"
    gpu: str | None = None
    """Id of the GPU that the price is for; ``None`` for any."""
    per_hour: float = Field(ge=0, le=MOST_USD)
    """US dollars per hour, per GPU if one is named."""


class Limits(Fact):
    """Limits of a provider."""

    key_fields = ("provider", "method")

    provider: str
    method: Method | Literal["*"] = "*"
    min_rows: int | None = None
    max_rows: int | None = None
    max_validation_rows: int | None = None
    max_file_bytes: int | None = None
    """Largest file in one upload, in bytes."""
    max_upload_bytes: int | None = None
    """Largest file in a multipart upload, in bytes; ``None`` if not offered."""
    max_part_bytes: int | None = None
    max_images_per_row: int | None = None
    max_image_bytes: int | None = None
    max_rows_with_images: int | None = None
    max_batch_rows: int | None = None
    """Most requests in one batch."""
    max_batch_bytes: int | None = None
    suffix_length: int | None = None
    """Most characters of the tuned model's suffix; 0 if suffixes are not supported."""

    def rows_refused(self, training: int, validation: int = 0) -> str | None:
        """Check the number of rows.

        Args:
            training: number of training rows.
            validation: number of validation rows.

        Returns:
            What the provider takes and what was given, if the number is refused; else None.
        """
        if self.min_rows is not None and training < self.min_rows:
            return f"{counted(self.min_rows, 'row')} or more, there are {training:,}"
        for rows, most, kind in ((training, self.max_rows, ""), (validation, self.max_validation_rows, "validation ")):
            if most is not None and rows > most:
                return f"up to {most:,} {kind}rows, there are {rows:,}"
        return None


class Gpu(Fact):
    """A GPU that can be rented."""

    key_fields = ("id",)

    id: str
    """Short name, e.g. ``"h100-80gb"``."""
    name: str
    """Name by the manufacturer."""
    memory_gib: float = Field(gt=0)
    per_hour: float = Field(ge=0, le=MOST_USD)
    """US dollars to rent one for an hour, on demand."""


class GpuRates(Fact):
    """Rated speed of a GPU, from its data sheet."""

    key_fields = ("id",)

    id: str
    """Id of the GPU."""
    bf16_tflops: float = Field(gt=0)
    """Dense bf16 TFLOP/s with float32 accumulation."""
    fp32_tflops: float = Field(gt=0)
    """Float32 TFLOP/s without TF32, which PyTorch does not use by default."""
    bandwidth_gb_per_s: float = Field(gt=0)
    """Memory bandwidth in GB/s."""
    reported_as: tuple[str, ...] = ()
    """Names that its driver reports."""
    link: str | None = None
    """Id of the link to the other GPUs of a node; ``None`` if it is not known."""

    def rate(self, precision: Literal["bf16", "fp32"]) -> float:
        """Return the rated speed of matrix products.

        Args:
            precision: number format of the inputs.

        Returns:
            FLOP/s.
        """
        return 1e12 * (self.bf16_tflops if precision == "bf16" else self.fp32_tflops)


class GpuLink(Fact):
    """Rated speed at which GPUs send to each other, inside a node or between nodes."""

    key_fields = ("id",)

    id: str
    """Short name, e.g. ``"nvlink-4"``."""
    name: str
    """Name for people."""
    inside: bool
    """Whether it joins the GPUs of a node; else nodes."""
    gb_per_s: float = Field(gt=0)
    """GB/s in one direction: of a GPU inside a node, of a network adapter between nodes."""
