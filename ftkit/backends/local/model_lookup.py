"""Refuse models that do not exist, by their names alone: nothing heavy is loaded and no network is used."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

from ftkit.errors import ModelError, RunNotFoundError
from ftkit.extras import require
from ftkit.modeling.embedded_model import EMBEDDED, is_embedded
from ftkit.modeling.model_source import did_you_mean, find_source, split_template
from ftkit.store import Store

__all__ = ["check_model_exists"]

_HUB_NAME = re.compile(r"(?:[A-Za-z0-9][\w.-]{0,95}/)?[A-Za-z0-9][\w.-]{0,95}")
"""Names that the hub's cache accepts; only its oldest models have names without an owner."""


def check_model_exists(model: str, where: str) -> None:
    """Refuse a model that surely does not exist. One that the hub may have is left to the hub.

    Args:
        model: as the user wrote it.
        where: the same as a folder or hub id, see :meth:`ftkit.backends.local.LocalBackend.source_name`.

    Raises:
        ModelError: there is no such model; names similar ones.
    """
    base, where = find_source(where).base, split_template(where)[0]
    if is_embedded(base) or Path(base).expanduser().is_dir():
        return
    hub = require("huggingface_hub", extra="local", needed_for="models of the hub")
    named = _HUB_NAME.fullmatch(base) is not None
    if named and isinstance(hub.try_to_load_from_cache(base, "config.json"), str):
        return
    if base != where:
        model = f"{base}, the base of {model}"
    if not named or "/" not in base:
        raise ModelError(
            f"there is no model {model}: it is no folder, no run{_run_state(base)}, not the embedded {EMBEDDED!r}, "
            f"and no hub id, which has the form owner/name{did_you_mean(base, [EMBEDDED, *_runs()])}"
        )
    if hub.constants.HF_HUB_OFFLINE:
        raise ModelError(
            f"the model {model} is no folder and not in the hub's cache here ({hub.constants.HF_HUB_CACHE}), and "
            f"HF_HUB_OFFLINE is set, so it cannot be fetched{did_you_mean(base, _cached(hub))}"
        )


def _run_state(name: str) -> str:
    try:
        return f" that has a model (run {name} is {Store().get(name).state})"
    except RunNotFoundError:
        return ""


def _runs() -> list[str]:
    return [record.id for record in Store().all()]


def _cached(hub: ModuleType) -> list[str]:
    folder = Path(hub.constants.HF_HUB_CACHE)
    return [one.name.removeprefix("models--").replace("--", "/", 1) for one in folder.glob("models--*")]
