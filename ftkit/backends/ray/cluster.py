"""The cluster of a Ray backend: where it is, and what a run takes of it."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from ftkit.arguments import check_kind
from ftkit.backends.ray.object_store import check_address, is_address
from ftkit.backends.remote.model_name import check_model_name, refuse_repeated
from ftkit.errors import ConfigError, RefusedError
from ftkit.printable import public_address
from ftkit.training.strategies import check_strategy

__all__ = ["STORAGE_VARIABLE", "Cluster", "missing_resources"]

STORAGE_VARIABLE = "FTKIT_RAY_STORAGE"
"""Environment variable with the storage, where a backend's name has none."""
_ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
_LOCAL_ADDRESS = "http://127.0.0.1:8265"
_MOST_WORKERS = 10_000
_FORM = "write it as ray:MODEL, or ray:http://head:8265?workers=4&storage=/shared#MODEL"
_NUMBER = re.compile(r"\d{1,5}(?:\.\d{1,4})?")


_KINDS: dict[str, Any] = {
    "address": str,
    "workers": int,
    "gpus_per_worker": int,
    "cpus_per_worker": (int, float),
    "replicas": int,
    "storage": str,
    "strategy": str,
}
_MEANINGS = {
    "workers": "how many workers train together, 1 or more",
    "gpus_per_worker": "GPUs of each worker, 1 or 0",
    "cpus_per_worker": "CPUs of each worker, above 0",
    "replicas": "how many copies of the model answer on the cluster, 0 or more",
}


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Ray cluster.

    Attributes:
        address: its jobs API, ``"http://head:8265"``. ``"auto"``: ``RAY_API_SERVER_ADDRESS`` or ``RAY_ADDRESS``, else
            a head on this machine.
        workers: how many workers train together.
        gpus_per_worker: GPUs that Ray gives each worker: 1, or 0 to train on CPUs.
        cpus_per_worker: CPUs that Ray gives each worker.
        replicas: how many copies of a model answer on the cluster, each with the GPUs and CPUs of a worker; 0: the
            model answers on this machine.
        storage: a folder that this machine and all nodes of the cluster see under the same path, or the address of an
            object store that all reach.
        strategy: how the workers hold the model, see :data:`~ftkit.training.strategies.STRATEGIES`.
    """

    address: str = "auto"
    workers: int = 1
    gpus_per_worker: int = 1
    cpus_per_worker: float = 1.0
    replicas: int = 0
    storage: str | None = None
    strategy: str = "ddp"

    def __post_init__(self) -> None:
        for field in fields(self):
            value, kind = getattr(self, field.name), _KINDS[field.name]
            if value is not None or field.default is not None:
                check_kind(value, kind, field.name, _MEANINGS.get(field.name, "a text"))
        if self.address != "auto":
            _check_address(self.address)
        if self.workers < 1 or not 0 < self.cpus_per_worker < math.inf or self.replicas < 0:
            raise ConfigError(
                f"ray: workers={self.workers}, cpus_per_worker={self.cpus_per_worker}, replicas={self.replicas}: "
                "workers and cpus_per_worker are above 0, and replicas 0 or more"
            )
        if max(self.workers, self.replicas) > _MOST_WORKERS:
            raise ConfigError(
                f"ray: workers={self.workers}, replicas={self.replicas}: each is at most {_MOST_WORKERS:,}"
            )
        if self.gpus_per_worker not in (0, 1):
            raise RefusedError(
                f"ray: gpus_per_worker={self.gpus_per_worker}: a worker trains on one GPU (1) or on CPUs (0); "
                "take more workers instead",
                backend="ray",
                fields=("gpus_per_worker",),
            )
        check_strategy(self.strategy, "ray")
        if self.storage is not None and is_address(self.storage):
            check_address(self.storage)
        elif self.storage is not None and not Path(self.storage).is_absolute():
            raise ConfigError(f"ray: storage={self.storage!r}: write an absolute path")

    @classmethod
    def split(cls, text: str) -> tuple[Cluster, str]:
        """Read the part of a backend's name after ``ray:``.

        Args:
            text: a model, or ``"http://head:8265?workers=4&storage=/shared#model"``.

        Returns:
            The cluster, and the model's name.

        Raises:
            ConfigError: the text is not of this form.
        """
        check_model_name(text, f"For a cluster {_FORM}")
        place, hash_, model = text.rpartition("#")
        text = public_address(text)  # for messages
        if not model or (hash_ and not place):
            raise ConfigError(f"backend 'ray:{text}': {_FORM}")
        address, _, query = place.partition("?")
        given: dict[str, Any] = {"address": address or "auto"}
        kinds = {name: kind for name, kind in _KINDS.items() if name != "address"}
        options = parse_qsl(query, keep_blank_values=True)
        refuse_repeated(options, f"backend 'ray:{text}'")
        for name, value in options:
            kind = kinds.get(name)
            if kind is None:
                raise ConfigError(f"backend 'ray:{text}': there is no option {name!r}; known are {', '.join(kinds)}")
            if (kind is not str and _NUMBER.fullmatch(value) is None) or (kind is int and "." in value):
                raise ConfigError(f"backend 'ray:{text}': {name} is {_MEANINGS[name]}")
            given[name] = value if kind is str else int(value) if kind is int else float(value)
        return cls(**given), model

    def with_storage(self) -> Cluster:
        """Return the cluster with its storage, from the environment if it names none.

        Returns:
            The cluster.

        Raises:
            ConfigError: no storage is named.
        """
        storage = self.storage or os.environ.get(STORAGE_VARIABLE)
        if not storage:
            raise ConfigError(
                "ray: name a folder that this machine and all nodes of the cluster see under the same path: "
                f"ft.Ray(…, storage=…), or set {STORAGE_VARIABLE}"
            )
        return replace(self, storage=storage)  # which checks it

    def __str__(self) -> str:
        """The cluster as it stands before the ``#`` of a backend's name."""
        changed = [
            f"{field.name}={quote(str(getattr(self, field.name)), safe='/')}"
            for field in fields(self)[1:]
            if getattr(self, field.name) != field.default
        ]
        return self.address + ("?" + "&".join(changed) if changed else "")

    def resources(self) -> dict[str, float]:
        """Return what a worker or a replica takes of the cluster.

        Returns:
            Numbers by Ray's names.
        """
        return {"CPU": float(self.cpus_per_worker)} | ({"GPU": 1.0} if self.gpus_per_worker else {})

    def url(self) -> str:
        """Return the address of the jobs API.

        Returns:
            A URL.
        """
        if self.address != "auto":
            return self.address
        for name in _ADDRESS_VARIABLES:
            value = os.environ.get(name, "")
            if value.startswith(("http://", "https://")):
                _check_address(value)
                return value
        return _LOCAL_ADDRESS


def _check_address(address: str) -> None:
    """Refuse what is no address of a jobs API, and one that holds a password, which would be stored with each run."""
    if "@" in address.partition("://")[2].partition("/")[0]:
        raise ConfigError(
            "ray: address: it holds a user or a password, which would be stored with each run; put the token into "
            "RAY_AUTH_TOKEN, or the headers of a proxy into RAY_JOB_HEADERS, as for Ray's own commands"
        )
    if not re.fullmatch(r"https?://[^\s?#]{1,500}", address) or not _has_port(address):
        raise ConfigError(
            f'ray: address={address!r}: write the address of the cluster\'s jobs API, http://head:8265, or "auto"'
        )


def _has_port(address: str) -> bool:
    """Whether an address has a host, and a port that there can be."""
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def missing_resources(count: int, each: dict[str, float], there: dict[str, float]) -> str | None:
    """Say what a cluster lacks for a number of workers or replicas.

    Args:
        count: how many.
        each: what one takes, by Ray's names.
        there: all resources of the cluster.

    Returns:
        Words for a message; None if they fit.
    """
    missing = [
        f"{count * one:g} {kind} and the cluster has {there.get(kind, 0.0):g}"
        for kind, one in each.items()
        if count * one > there.get(kind, 0.0)
    ]
    return ", ".join(missing) or None
