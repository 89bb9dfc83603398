"""Models that are not there, told from their names before anything heavy is loaded and without the network."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

from ftkit.errors import ModelError, RunNotFoundError
from ftkit.extras import require
from ftkit.modeling.embedded_model import EMBEDDED, is_embedded
from ftkit.modeling.model_source import did_you_mean, find_source
from ftkit.store import Store

__all__ = ["check_there"]

_HUB_NAME = re.compile(r"(?:[A-Za-z0-9][\w.-]{0,95}/)?[A-Za-z0-9][\w.-]{0,95}")
"""What the hub's cache can be asked for; without an owner only models of its first days had such names."""


def check_there(model: str, where: str) -> None:
    """Refuse a model that is surely not there; one that the hub may have is left to the hub.

    Args:
        model: as the user wrote it.
        where: the same for the engine, see :meth:`ftkit.backends.local.LocalBackend.source_name`.

    Raises:
        ModelError: what it is not, and the names there are that come close.
    """
    base = find_source(where).base
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
