"""What a run is planned for: this machine, or a GPU that is not here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ftkit.catalog import OVERRIDE, GpuRates, load_catalog
from ftkit.errors import ConfigError
from ftkit.modeling.model_shape import LinearLayer
from ftkit.training.estimation.time_model import FEW, Speed

__all__ = ["Target", "named_gpu", "this_machine"]

PROCESS = 490_000_000
"""Bytes of Python with torch, transformers, PEFT and bitsandbytes. Measured with torch 2.13 for CPU: 437 MiB resident
once they are imported, and 26 MiB more of their code once a step has been made."""
CUDA_CONTEXT = 700_000_000
"""Bytes that CUDA and its libraries take of a GPU's memory; assumed, not measured."""

PRODUCTS, THIN, ATTENTION, BANDWIDTH, CALL = 0.6, 0.15, 0.3, 0.7, 8e-6
"""Shares of a GPU's rated operations and bandwidth that are reached, and seconds of a call. Assumed, not measured."""
CHOICE = 80
"""Bytes moved to draw a token, for each logit: in float64 a copy, a distribution and its sums."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a run is to take place.

    Attributes:
        name: for people.
        device: kind of the device.
        memory: its bytes.
        process: bytes of them that are taken before a model is loaded.
        fast_bf16: whether it computes in bfloat16 at least as fast as in float32.
        speed: how fast it is in a precision, the products with some weights above all.
    """

    name: str
    device: Literal["cpu", "cuda"]
    memory: int
    process: int
    fast_bf16: bool
    speed: Callable[[Literal["bf16", "fp32"], Iterable[LinearLayer]], Speed]


def this_machine() -> Target:
    """The device that training uses here: the first CUDA device, else the CPU. Imports torch."""
    import torch

    from ftkit.modeling.device import bf16_is_fast, default_device, describe_machine
    from ftkit.training.estimation.machine_speed import measured_speed

    where = default_device()
    about = describe_machine(where)
    if where.type == "cuda":
        memory, process, kind = int(torch.cuda.mem_get_info(where)[1]), CUDA_CONTEXT, "cuda"
        name = str(about["device_name"])
    else:
        memory, process, kind = _machine_memory(), PROCESS, "cpu"
        name = f"this machine ({about['threads']} CPU threads)"
    return Target(name, "cuda" if kind == "cuda" else "cpu", memory, process, bf16_is_fast(where), measured_speed)


def named_gpu(name: str) -> Target:
    """A GPU by its id in the catalogue, which need not be here.

    Raises:
        ConfigError: there is none of that name, or its speed is not known.
    """
    known = load_catalog()
    gpu, rates = known.gpu(name.lower()), known.gpu_rates(name.lower())
    if gpu is None or rates is None:
        names = sorted(row.id for row in known.rate_rows if known.gpu(row.id) is not None)
        raise ConfigError(
            f"no GPU {name!r} whose speed is known; known are {', '.join(names)}. Others can be added as [[gpu]] and "
            f"[[gpu_rates]] to {OVERRIDE} in ftkit's home"
        )
    memory = round(gpu.memory_gib * 2**30)
    return Target(gpu.name, "cuda", memory, CUDA_CONTEXT, True, lambda precision, _: _rated(rates, precision))


def _rated(rates: GpuRates, precision: Literal["bf16", "fp32"]) -> Speed:
    rate = rates.rate(precision)
    moved = rates.bandwidth_gb_per_s * 1e9 * BANDWIDTH
    return Speed(
        dense=PRODUCTS * rate,
        thin=THIN * rate,
        attention=ATTENTION * rate,
        bytes_moved=moved,
        fresh=moved,
        dequantised=moved / 2.5,  # half a byte read and two written for each weight
        call=CALL,
        few=(moved / (2 if precision == "bf16" else 4),) * len(FEW),  # every weight is read once, whatever the rows
        choice=moved / CHOICE,
        basis="data sheet",
    )


def _machine_memory() -> int:
    """Bytes of memory there are, or that this process's control group allows."""
    psutil: Any = __import__("psutil")
    total = int(psutil.virtual_memory().total)
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(limit).read_text(encoding="ascii")))
        except (OSError, ValueError):  # not Linux, or "max"
            continue
    return total
