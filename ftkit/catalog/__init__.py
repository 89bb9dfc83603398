"""Dated facts about providers: models, limits, prices, shutdown dates, GPUs. Code holds none of these facts."""

from ftkit.catalog.catalog import Catalog
from ftkit.catalog.catalog_files import OVERRIDE, catalog_overrides, load_catalog, write_catalog_overrides
from ftkit.catalog.fact import STALE_AFTER_DAYS, Fact, days_until
from ftkit.catalog.facts import (
    Address,
    Deadline,
    Gpu,
    GpuLink,
    GpuRates,
    HostedModel,
    HostingPrice,
    InferencePrice,
    Limits,
    TrainingPrice,
)
from ftkit.catalog.model_parameters import ModelParameters

__all__ = [
    "OVERRIDE",
    "STALE_AFTER_DAYS",
    "Address",
    "Catalog",
    "Deadline",
    "Fact",
    "Gpu",
    "GpuLink",
    "GpuRates",
    "HostedModel",
    "HostingPrice",
    "InferencePrice",
    "Limits",
    "ModelParameters",
    "TrainingPrice",
    "catalog_overrides",
    "days_until",
    "load_catalog",
    "write_catalog_overrides",
]
