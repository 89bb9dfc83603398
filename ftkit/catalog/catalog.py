"""The catalogue: all facts, and the lookups in them."""

from __future__ import annotations

import re
from datetime import date
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from ftkit.catalog.fact import Fact
from ftkit.catalog.facts import (
    AdapterKind,
    Address,
    Deadline,
    Gpu,
    GpuLink,
    GpuRates,
    HostedModel,
    HostingPrice,
    InferencePrice,
    Limits,
    Method,
    TrainingPrice,
)
from ftkit.catalog.model_parameters import ModelParameters

__all__ = ["Catalog"]


class Catalog(BaseModel):
    """All facts, by kind. Every lookup takes a model's id, an alias, or the name of a tuned version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_rows: tuple[HostedModel, ...] = Field(default=(), alias="model")
    deadline_rows: tuple[Deadline, ...] = Field(default=(), alias="deadline")
    training_prices: tuple[TrainingPrice, ...] = Field(default=(), alias="training_price")
    inference_prices: tuple[InferencePrice, ...] = Field(default=(), alias="inference_price")
    hosting_prices: tuple[HostingPrice, ...] = Field(default=(), alias="hosting_price")
    limit_rows: tuple[Limits, ...] = Field(default=(), alias="limits")
    gpus: tuple[Gpu, ...] = Field(default=(), alias="gpu")
    rate_rows: tuple[GpuRates, ...] = Field(default=(), alias="gpu_rates")
    link_rows: tuple[GpuLink, ...] = Field(default=(), alias="gpu_link")
    addresses: tuple[Address, ...] = Field(default=(), alias="address")
    parameter_rows: tuple[ModelParameters, ...] = Field(default=(), alias="model_parameters")

    def facts(self) -> list[Fact]:
        """List every fact.

        Returns:
            All rows of all kinds.
        """
        return [row for name in Catalog.model_fields for row in getattr(self, name)]

    def providers(self) -> tuple[str, ...]:
        """List the known providers.

        Returns:
            Their names, in the order of the files.
        """
        named = [row.provider for row in self.model_rows] + [row.provider for row in self.limit_rows]
        return tuple(dict.fromkeys([*named, *(row.provider for row in self.inference_prices)]))

    def provider_at(self, url: str) -> str:
        """Find the provider at an address. The longest matching address wins.

        Args:
            url: address of an API.

        Returns:
            The provider's name; for an unknown address its host and port, e.g. ``"127.0.0.1:8000"``, which a user's own
            rows may name.
        """
        parts = urlsplit(url)
        default_port = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
        host = parts.netloc.rpartition("@")[2].lower().removesuffix(default_port)
        place = host + parts.path.rstrip("/")
        found = [row for row in self.addresses if row.covers(place)]
        return max(found, key=lambda row: len(row.address)).provider if found else host

    def knows(self, provider: str) -> bool:
        """Return whether there is any fact about a provider.

        Args:
            provider: name of the provider.

        Returns:
            Whether a row names it.
        """
        return any(getattr(row, "provider", None) == provider for row in self.facts())

    def models(self, provider: str) -> list[HostedModel]:
        """List the models of a provider.

        Args:
            provider: name of the provider.

        Returns:
            The rows of its models.
        """
        return [row for row in self.model_rows if row.provider == provider]

    def model(self, provider: str, name: str) -> HostedModel | None:
        """Find a model. A tuned version is found by its base model.

        Args:
            provider: name of the provider.
            name: id or alias of a model, or the name of a tuned version.

        Returns:
            The row of the model, or None if it is not listed.
        """
        base = base_of(name)
        for row in self.models(provider):
            if base in (row.id, *row.aliases):
                return row
        return None

    def parameters(self, provider: str, name: str) -> ModelParameters | None:
        """Find the request parameters that a model takes. A row of the model itself wins over the provider's ``"*"``.

        Args:
            provider: name of the provider.
            name: id or alias of a model, the name of a tuned version, or a dated snapshot of a listed model.

        Returns:
            The row, or None if nothing is known.
        """
        names = _names(self.model(provider, name), name)
        rows = {row.model: row for row in self.parameter_rows if row.provider == provider}
        undated = _SNAPSHOT.sub("", base_of(name))
        if undated != name and not any(each in rows for each in names):  # a snapshot is asked as its model
            names = _names(self.model(provider, undated), undated)
        return next((rows[each] for each in names if each in rows), rows.get("*"))

    def training_price(
        self, provider: str, name: str, method: Method, adapter: AdapterKind = "lora"
    ) -> TrainingPrice | None:
        """Find the price of training a model. A price of the model itself wins over one by size.

        Args:
            provider: name of the provider.
            name: id or alias of a model, or the name of a tuned version.
            method: the training method.
            adapter: whether adapters or all weights are trained.

        Returns:
            The price, or None if it is not known.
        """
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
        """Find the price of inference with a model.

        Args:
            provider: name of the provider.
            name: id or alias of a model, or the name of a tuned version.
            tuned: whether the model is a tuned version.
            batch: whether the batch API is used.

        Returns:
            The price, or None if it is not known.
        """
        names = _names(self.model(provider, name), name)
        for price in self.inference_prices:
            if price.provider == provider and price.model in names and (price.tuned, price.batch) == (tuned, batch):
                return price
        return None

    def hosting(self, provider: str, name: str) -> list[HostingPrice]:
        """Find the price of keeping a tuned version deployed.

        Args:
            provider: name of the provider.
            name: id or alias of a model, or the name of a tuned version.

        Returns:
            One row per GPU type where the price depends on it; empty if hosting is free or the price is not known.
        """
        names = _names(self.model(provider, name), name)
        rows = [price for price in self.hosting_prices if price.provider == provider]
        return [price for price in rows if price.model in names] or [price for price in rows if price.model == "*"]

    def limits(self, provider: str, method: str) -> Limits | None:
        """Find the limits of a provider for a training method.

        Args:
            provider: name of the provider.
            method: the training method.

        Returns:
            The provider's general limits, overridden by those of the method; None if none are known.
        """
        general, own = (
            next((row for row in self.limit_rows if (row.provider, row.method) == (provider, which)), None)
            for which in ("*", method)
        )
        if general is None or own is None:
            return own or general
        return general.model_copy(update=own.model_dump(exclude_none=True))

    def deadlines(self, provider: str, name: str) -> list[Deadline]:
        """List the shutdown dates that concern a model.

        Args:
            provider: name of the provider.
            name: id or alias of a model, or the name of a tuned version.

        Returns:
            The dates, the earliest first, including past ones.
        """
        names = _names(self.model(provider, name), name)
        found = [row for row in self.deadline_rows if row.provider == provider and row.model in {"*", *names}]
        return sorted(found, key=lambda row: row.on)

    def training_closes(self, provider: str, name: str) -> Deadline | None:
        """Find the date from which no user can start training jobs for a model.

        Args:
            provider: name of the provider.
            name: id or alias of a model, or the name of a tuned version.

        Returns:
            The earliest date on which training or the service ends for everybody; where no end of training is known,
            that of the model counts, too. None if no date is known.
        """
        rows = self.deadlines(provider, name)
        # A host may go on training a model whose base it no longer serves, as Azure does.
        dated = any(row.ends == "training" and row.model != "*" and row.for_all for row in rows)
        return self._earliest(provider, name, ("training", "service") if dated else ("training", "service", "model"))

    def stops(self, provider: str, name: str, *, tuned: bool = True) -> Deadline | None:
        """Find the date on which a model or its tuned versions stop answering.

        Args:
            provider: name of the provider.
            name: id or alias of a model, or the name of a tuned version.
            tuned: whether to look for the end of tuned versions first.

        Returns:
            The date, or None if none is known.
        """
        if tuned:
            own = self._earliest(provider, name, ("tuned_models",))
            if own is not None:
                return own
        return self._earliest(provider, name, ("model", "service"))

    def gpu(self, name: str) -> Gpu | None:
        """Find a GPU that can be rented.

        Args:
            name: id of the GPU.

        Returns:
            Its row, or None.
        """
        return next((row for row in self.gpus if row.id == name), None)

    def gpu_rates(self, name: str) -> GpuRates | None:
        """Find the rated speed of a GPU.

        Args:
            name: id of the GPU, or the name that its driver reports.

        Returns:
            Its row, or None.
        """
        return next((row for row in self.rate_rows if name == row.id or name in row.reported_as), None)

    def stale(self, today: date | None = None) -> list[Fact]:
        """List the facts that were read more than :data:`~ftkit.catalog.STALE_AFTER_DAYS` ago.

        Args:
            today: the current date; default: the computer's.

        Returns:
            The stale rows.
        """
        return [row for row in self.facts() if row.is_stale(today)]

    def _earliest(self, provider: str, name: str, ends: tuple[str, ...]) -> Deadline | None:
        latest: dict[tuple[str, str], Deadline] = {}
        for row in self.deadlines(provider, name):  # the earliest date first
            if row.ends not in ends or not row.for_all:
                continue
            known = latest.get((row.model, row.ends))
            # Hosts postpone: what was read later replaces what was read before, unless sources disagree.
            if known is None or (row.as_of > known.as_of and row.trust != "unsure"):
                latest[row.model, row.ends] = row
        return min(latest.values(), key=lambda row: row.on, default=None)


_SNAPSHOT = re.compile(r"-20\d{2}-\d{2}-\d{2}$")
"""The date in the name of a model's snapshot."""


def base_of(name: str) -> str:
    """Extract the base model from the name of a tuned version.

    Args:
        name: a name such as ``ft:gpt-4.1-mini-2025-04-14:acme::abc``, or Azure's ``gpt-4.1-2025-04-14.ft-0abc``.

    Returns:
        The base model; any other name is returned as it is.
    """
    if name.startswith("ft:"):
        return name.split(":")[1]
    return name.partition(".ft-")[0]


def _names(model: HostedModel | None, name: str) -> set[str]:
    return {base_of(name)} if model is None else {model.id, *model.aliases}
