"""Names of machines to plan for: ``"h100-80gb"``, or with nodes and network ``"8xh100-80gb@8xinfiniband-ndr"``."""

from __future__ import annotations

import re

from ftkit.catalog import OVERRIDE, GpuLink, GpuRates, load_catalog
from ftkit.errors import ConfigError
from ftkit.training.estimation.communication import Interconnect

__all__ = ["GPUS_PER_NODE", "interconnect_of", "split_device"]

GPUS_PER_NODE = 8
NETWORK = "infiniband-ndr"
"""What joins nodes if nobody says so, one adapter for each GPU, as in NVIDIA's DGX H100."""
_NAME = re.compile(r"(?:(\d{1,3})x)?([^@\s]{1,80})(?:@(?:(\d{1,3})x)?([^@\s]{1,80}))?")


def split_device(device: str) -> tuple[str, int, str | None, int | None]:
    """Read the name of a machine.

    Args:
        device: a GPU, with the number of a node's GPUs before it, and with the network after it.

    Returns:
        The GPU, how many a node has, the network, and how many adapters of it a node has; None for what is not said.

    Raises:
        ConfigError: the name is not of this form.
    """
    found = _NAME.fullmatch(device.strip().lower())
    if found is None or 0 in (int(found[1] or 1), int(found[3] or 1)):
        raise ConfigError(
            f"device={device!r}: write a GPU as h100-80gb, with the GPUs of a node and its network adapters as "
            f"8xh100-80gb@8x{NETWORK}"
        )
    adapters = None if found[3] is None else int(found[3])
    return found[2], int(found[1] or GPUS_PER_NODE), found[4], adapters


def interconnect_of(rates: GpuRates, gpus: int, network: str | None, adapters: int | None) -> Interconnect:
    """Say how GPUs of a kind are joined.

    Args:
        rates: the GPU.
        gpus: GPUs of a node.
        network: id of what joins nodes; :data:`NETWORK` if it is not said.
        adapters: network adapters of a node; by default one for each GPU.

    Returns:
        The links.

    Raises:
        ConfigError: there is no such network.
    """
    inside = None if rates.link is None else _link(rates.link, inside=True)
    between = _link(network or NETWORK, inside=False)
    return Interconnect(gpus, inside, between, adapters or gpus, assumed=network is None)


def _link(name: str, *, inside: bool) -> GpuLink:
    rows = load_catalog().link_rows
    found = next((row for row in rows if row.id == name and row.inside == inside), None)
    if found is None:
        known = ", ".join(sorted(row.id for row in rows if row.inside == inside))
        what = "link inside a node" if inside else "network between nodes"
        raise ConfigError(
            f"no {what} {name!r}; known are {known}. Others can be added as [[gpu_link]] to {OVERRIDE} in ftkit's home"
        )
    return found
