"""The kinds of facts, each with where it was read and when."""

from __future__ import annotations

from datetime import date
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "STALE_AFTER_DAYS",
    "Address",
    "Deadline",
    "Fact",
    "Gpu",
    "GpuRates",
    "HostedModel",
    "HostingPrice",
    "InferencePrice",
    "Limits",
    "TrainingPrice",
    "days_until",
]

STALE_AFTER_DAYS = 120
"""A fact that was read longer ago is warned about. A judgement: prices of 2026 moved about every third month."""

Method = Literal["sft", "dpo", "rft"]
"""How a model is tuned: on demonstrations, on preferences, by reinforcement with a grader."""

AdapterKind = Literal["lora", "full"]
"""What is trained: low-rank adapters, or every weight."""


def days_until(day: date, today: date | None = None) -> int:
    """Whole days from ``today`` (default: the computer's date) to ``day``; negative when it has passed."""
    return (day - (today or date.today())).days


class Fact(BaseModel):
    """Base of the rows: frozen, with a source."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    key_fields: ClassVar[tuple[str, ...]] = ()

    source: str
    """Where it is written: a URL."""
    as_of: date
    """When it was read there."""
    trust: Literal["primary", "secondary", "unsure"] = "primary"
    """``primary``: the provider's own page or a dated copy of it. ``secondary``: others agree on it. ``unsure``: one
    source, or sources that disagree."""
    note: str = ""
    """What a reader should know beside the numbers."""

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells this row from the others of its kind."""
        return tuple(getattr(self, name) for name in self.key_fields)

    def age_days(self, today: date | None = None) -> int:
        """Days since it was read."""
        return -days_until(self.as_of, today)

    def is_stale(self, today: date | None = None) -> bool:
        """Whether it was read more than :data:`STALE_AFTER_DAYS` ago."""
        return self.age_days(today) > STALE_AFTER_DAYS


class Address(Fact):
    """Where a provider is. What the other rows say of it holds there, and at no other address."""

    key_fields = ("address",)

    provider: str
    address: str = Field(pattern=r"^[a-z0-9.\-]+(:[0-9]+)?(/[^/?#]+)*$")
    """A host's name, with the port and the beginning of the path where they matter; hosts beneath it are meant too."""

    def covers(self, place: str) -> bool:
        """Whether ``place``, a host's name with port and path, is there."""
        host, slash, path = self.address.partition("/")
        there, _, below = place.partition("/")
        named = there == host or (":" not in host and there.partition(":")[0] == host) or there.endswith(f".{host}")
        return named and (not slash or f"{below}/".startswith(f"{path}/"))


class HostedModel(Fact):
    """A model at a provider, tuned there or not."""

    key_fields = ("provider", "id")

    provider: str
    """Name of the backend, e.g. ``"openai"``; of a place that is none's, its address, e.g. ``"127.0.0.1:8000"``."""
    id: str
    """The model's whole name there."""
    aliases: tuple[str, ...] = ()
    """Shorter names that mean it."""
    methods: tuple[Method, ...] = ()
    """How it can be tuned there; none: it only answers."""
    adapters: tuple[AdapterKind, ...] = ()
    """What the place trains; empty: it does not say."""
    inputs: tuple[Literal["text", "image"], ...] = ("text",)
    """What training rows may hold."""
    context: int | None = Field(default=None, gt=0)
    """Tokens of a request and its answer together."""
    training_context: int | None = Field(default=None, gt=0)
    """Tokens of one training row."""
    max_rank: int | None = Field(default=None, gt=0)
    """Highest rank of an adapter."""
    parameters_b: float | None = Field(default=None, gt=0)
    """Size in billions of weights, for providers that price by size."""
    tokenizer: str | None = None
    """``"o200k_base"``, or the repository of the model with its tokenizer."""
    replacement: str | None = None
    """What the provider, or failing that the market, offers in its place."""


class Deadline(Fact):
    """A day on which something ends."""

    key_fields = ("provider", "model", "ends", "on")

    provider: str
    model: str = "*"
    """The model's id; ``"*"`` is every model of the provider."""
    ends: Literal["training", "model", "tuned_models", "service"]
    """``training``: no new jobs. ``model``: the model stops answering, tuned versions too where there is no
    ``tuned_models`` row. ``tuned_models``: tuned versions stop. ``service``: the provider's whole service."""
    on: date
    applies_to: str = ""
    """Whom it holds for, when not everybody."""
    for_all: bool = True
    """Whether it ends for everybody on that day; otherwise see ``applies_to``."""


class TrainingPrice(Fact):
    """What training costs, in US dollars."""

    key_fields = ("provider", "model", "methods", "adapters", "up_to_b")

    provider: str
    model: str = "*"
    """The model's id; ``"*"`` is every model of the provider, within ``up_to_b``."""
    methods: tuple[Method, ...]
    adapters: tuple[AdapterKind, ...] = ("lora", "full")
    up_to_b: float | None = Field(default=None, gt=0)
    """For prices by size: the largest size in billions of weights; ``None`` has no upper end."""
    per_million_tokens: float | None = Field(default=None, ge=0)
    """Per million tokens trained on: tokens of the file times epochs."""
    per_hour: float | None = Field(default=None, ge=0)
    """Per hour of training, where that is what is charged."""
    minimum: float = Field(default=0.0, ge=0)
    """Least charge of a job."""

    @model_validator(mode="after")
    def _check(self) -> TrainingPrice:
        if (self.per_million_tokens is None) == (self.per_hour is None):
            raise ValueError("give per_million_tokens or per_hour")
        return self

    def cost(self, tokens: int) -> float | None:
        """US dollars for so many trained tokens (epochs counted); ``None`` when training is charged by the hour."""
        if self.per_million_tokens is None:
            return None
        return max(self.minimum, tokens * self.per_million_tokens / 1e6)


class InferencePrice(Fact):
    """What answers cost, in US dollars per million tokens."""

    key_fields = ("provider", "model", "tuned", "batch")

    provider: str
    model: str
    """The base model's id, also for its tuned versions."""
    tuned: bool
    """For versions tuned by the user, or for the model as it is."""
    batch: bool = False
    """Through the batch API."""
    input: float = Field(ge=0)
    cached_input: float | None = Field(default=None, ge=0)
    """Input tokens the provider had in its cache; ``None``: charged as ``input``."""
    output: float = Field(ge=0)

    def cost(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> float:
        """US dollars of a call.

        Args:
            cached_tokens: how many of ``input_tokens`` came from the provider's cache.
        """
        cached = self.input if self.cached_input is None else self.cached_input
        fresh = input_tokens - cached_tokens
        return (fresh * self.input + cached_tokens * cached + output_tokens * self.output) / 1e6


class HostingPrice(Fact):
    """What keeping a tuned model ready costs, whether it is asked or not."""

    key_fields = ("provider", "model", "gpu")

    provider: str
    model: str = "*"
    gpu: str | None = None
    """Id of the GPU it is priced by; ``None``: a price for any."""
    per_hour: float = Field(ge=0)
    """US dollars an hour, a GPU where one is named."""


class Limits(Fact):
    """What a provider takes."""

    key_fields = ("provider", "method")

    provider: str
    method: Method | Literal["*"] = "*"
    min_rows: int | None = None
    max_rows: int | None = None
    max_validation_rows: int | None = None
    max_file_bytes: int | None = None
    """Largest file in one upload."""
    max_upload_bytes: int | None = None
    """Largest file in several parts; ``None``: not offered."""
    max_part_bytes: int | None = None
    max_images_per_row: int | None = None
    max_image_bytes: int | None = None
    max_rows_with_images: int | None = None
    max_batch_rows: int | None = None
    """Questions in one batch."""
    max_batch_bytes: int | None = None
    suffix_length: int | None = None
    """Characters of the suffix of the tuned model's name; 0: none is taken."""

    def rows_refused(self, training: int, validation: int = 0) -> str | None:
        """What the provider takes, and what there is, when a file has too few or too many rows; else ``None``."""
        if self.min_rows is not None and training < self.min_rows:
            return f"{self.min_rows:,} rows or more, there are {training:,}"
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
    """The maker's name."""
    memory_gib: float = Field(gt=0)
    per_hour: float = Field(ge=0)
    """US dollars to rent one for an hour, on demand."""


class GpuRates(Fact):
    """How fast a GPU is, by its maker's data sheet."""

    key_fields = ("id",)

    id: str
    """That of the GPU's own row."""
    bf16_tflops: float = Field(gt=0)
    """Dense, with sums in float32."""
    fp32_tflops: float = Field(gt=0)
    """Without TF32, which PyTorch does not use unless asked."""
    bandwidth_gb_per_s: float = Field(gt=0)
    """Of its memory."""
    reported_as: tuple[str, ...] = ()
    """How its driver names it."""

    def rate(self, precision: Literal["bf16", "fp32"]) -> float:
        """Rated operations a second of products of matrices."""
        return 1e12 * (self.bf16_tflops if precision == "bf16" else self.fp32_tflops)
