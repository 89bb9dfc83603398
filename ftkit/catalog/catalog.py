"""The catalogue: all facts, and questions to it."""

from __future__ import annotations

from datetime import date
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from ftkit.catalog.facts import (
    AdapterKind,
    Address,
    Deadline,
    Fact,
    Gpu,
    GpuRates,
    HostedModel,
    HostingPrice,
    InferencePrice,
    Limits,
    Method,
    TrainingPrice,
)

__all__ = ["Catalog"]


class Catalog(BaseModel):
    """All rows, by kind. Every question takes a model's id, an alias of it, or the name of a tuned version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_rows: tuple[HostedModel, ...] = Field(default=(), alias="model")
    deadline_rows: tuple[Deadline, ...] = Field(default=(), alias="deadline")
    training_prices: tuple[TrainingPrice, ...] = Field(default=(), alias="training_price")
    inference_prices: tuple[InferencePrice, ...] = Field(default=(), alias="inference_price")
    hosting_prices: tuple[HostingPrice, ...] = Field(default=(), alias="hosting_price")
    limit_rows: tuple[Limits, ...] = Field(default=(), alias="limits")
    gpus: tuple[Gpu, ...] = Field(default=(), alias="gpu")
    rate_rows: tuple[GpuRates, ...] = Field(default=(), alias="gpu_rates")
    addresses: tuple[Address, ...] = Field(default=(), alias="address")

    def facts(self) -> list[Fact]:
        """Every row."""
        return [row for name in Catalog.model_fields for row in getattr(self, name)]

    def providers(self) -> tuple[str, ...]:
        """Names of the providers of which something is known, in the files' order."""
        named = [row.provider for row in self.model_rows] + [row.provider for row in self.limit_rows]
        return tuple(dict.fromkeys([*named, *(row.provider for row in self.inference_prices)]))

    def provider_at(self, url: str) -> str:
        """Whose facts hold at an address: the provider that is there, by the longest row that covers it; of a place
        that is none's, its own name, ``"127.0.0.1:8000"``, of which a user's rows may say something."""
        parts = urlsplit(url)
        usual = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
        there = parts.netloc.rpartition("@")[2].lower().removesuffix(usual)
        place = there + parts.path.rstrip("/")
        found = [row for row in self.addresses if row.covers(place)]
        return max(found, key=lambda row: len(row.address)).provider if found else there

    def knows(self, provider: str) -> bool:
        """Whether there is any fact about the provider."""
        return any(getattr(row, "provider", None) == provider for row in self.facts())

    def models(self, provider: str) -> list[HostedModel]:
        """The models of a provider."""
        return [row for row in self.model_rows if row.provider == provider]

    def model(self, provider: str, name: str) -> HostedModel | None:
        """The row of a model; of a tuned version it is that of its base. ``None`` when it is not listed."""
        base = base_of(name)
        for row in self.models(provider):
            if base in (row.id, *row.aliases):
                return row
        return None

    def training_price(
        self, provider: str, name: str, method: Method, adapter: AdapterKind = "lora"
    ) -> TrainingPrice | None:
        """What training that model so costs; a price of the model itself goes before one by size."""
        model = self.model(provider, name)
        names = _names(model, name)
        fitting = [
            price
            for price in self.training_prices
            if price.provider == provider and method in price.methods and adapter in price.adapters
        ]
        for price in fitting:
            if price.model in names:
                return price
        general = [price for price in fitting if price.model == "*"]
        if model is None or model.parameters_b is None:
            general = [price for price in general if price.up_to_b is None and len(general) == 1]
        else:
            size = model.parameters_b
            general = [price for price in general if price.up_to_b is None or size <= price.up_to_b]
        return min(general, key=lambda price: price.up_to_b or float("inf"), default=None)

    def inference_price(self, provider: str, name: str, *, tuned: bool, batch: bool = False) -> InferencePrice | None:
        """What answers of that model cost."""
        names = _names(self.model(provider, name), name)
        for price in self.inference_prices:
            if price.provider == provider and price.model in names and (price.tuned, price.batch) == (tuned, batch):
                return price
        return None

    def hosting(self, provider: str, name: str) -> list[HostingPrice]:
        """What keeping a tuned version ready costs, one row a GPU where that makes a difference; empty: nothing, or
        not known."""
        names = _names(self.model(provider, name), name)
        rows = [price for price in self.hosting_prices if price.provider == provider]
        return [price for price in rows if price.model in names] or [price for price in rows if price.model == "*"]

    def limits(self, provider: str, method: str) -> Limits | None:
        """What the provider takes for that method: its general row with what the method's own row says otherwise."""
        general, own = (
            next((row for row in self.limit_rows if (row.provider, row.method) == (provider, which)), None)
            for which in ("*", method)
        )
        if general is None or own is None:
            return own or general
        said: dict[str, Any] = own.model_dump(exclude_none=True)
        return general.model_copy(update=said)

    def deadlines(self, provider: str, name: str) -> list[Deadline]:
        """What ends for that model and when, the earliest first; days that have passed too."""
        names = _names(self.model(provider, name), name)
        found = [row for row in self.deadline_rows if row.provider == provider and row.model in {"*", *names}]
        return sorted(found, key=lambda row: row.on)

    def training_closes(self, provider: str, name: str) -> Deadline | None:
        """When no more jobs are taken for that model from anybody: the last day's row, or that of the model's end."""
        return self._earliest(provider, name, ("training", "service", "model"))

    def stops(self, provider: str, name: str, *, tuned: bool = True) -> Deadline | None:
        """When the model, or its tuned versions, stop answering."""
        if tuned:
            own = self._earliest(provider, name, ("tuned_models",))
            if own is not None:
                return own
        return self._earliest(provider, name, ("model", "service"))

    def gpu(self, name: str) -> Gpu | None:
        """The GPU of that id."""
        return next((row for row in self.gpus if row.id == name), None)

    def gpu_rates(self, name: str) -> GpuRates | None:
        """How fast a GPU is, by its id or by the name that its driver gives."""
        return next((row for row in self.rate_rows if name == row.id or name in row.reported_as), None)

    def stale(self, today: date | None = None) -> list[Fact]:
        """Rows read longer ago than :data:`~ftkit.catalog.STALE_AFTER_DAYS`."""
        return [row for row in self.facts() if row.is_stale(today)]

    def _earliest(self, provider: str, name: str, ends: tuple[str, ...]) -> Deadline | None:
        found = (row for row in self.deadlines(provider, name) if row.ends in ends and row.for_all)
        return next(found, None)


def base_of(name: str) -> str:
    """The base model in a tuned version's name: ``ft:gpt-4.1-mini-2025-04-14:acme::abc`` and Azure's
    ``gpt-4.1-2025-04-14.ft-0abc``; any other name is returned as it is."""
    if name.startswith("ft:"):
        return name.split(":")[1]
    return name.partition(".ft-")[0]


def _names(model: HostedModel | None, name: str) -> set[str]:
    return {base_of(name)} if model is None else {model.id, *model.aliases}
