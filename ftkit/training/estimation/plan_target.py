"""The machine that a run is planned for: this one, or a GPU of the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ftkit.arguments import check_kind
from ftkit.catalog import OVERRIDE, GpuRates, load_catalog
from ftkit.errors import ConfigError
from ftkit.modeling.model_shape import LinearLayer
from ftkit.recipe import Recipe
from ftkit.training.estimation.communication import Interconnect
from ftkit.training.estimation.device_name import GPUS_PER_NODE, interconnect_of, split_device
from ftkit.training.estimation.time_model import FEW_ROWS, MachineSpeed

__all__ = ["PlanTarget", "named_gpu", "this_machine"]

PROCESS_BYTES = 490_000_000
"""Bytes of a Python process with torch, transformers, PEFT and bitsandbytes. Measured with torch 2.13 for CPU: 437 MiB
resident after the imports, and 26 MiB more code after the first step."""
CUDA_CONTEXT_BYTES = 700_000_000
"""Bytes of a GPU's memory that CUDA and its libraries use; assumed."""

MATMUL_SHARE, LOW_RANK_SHARE, ATTENTION_SHARE, BANDWIDTH_SHARE, KERNEL_SECONDS = 0.6, 0.15, 0.3, 0.7, 8e-6
"""Achieved shares of a GPU's rated operations and bandwidth, and seconds per kernel call. Assumed; on an H200, steps of
8B models took 3 to 8 % longer than they predict, of a 1B model 37 % (``benchmarks/gpu_check.py``)."""
SAMPLING_BYTES = 80
"""Bytes moved per logit to sample a token: in float64 a copy, a distribution and its sums."""


SpeedOf = Callable[[Literal["bf16", "fp32"], Iterable[LinearLayer]], MachineSpeed]
"""Returns the speed in a precision, with the speed of products with the given linear layers."""


@dataclass(frozen=True, slots=True)
class PlanTarget:
    """A machine to plan for.

    Attributes:
        name: name for people.
        device: kind of the device.
        memory: bytes of memory.
        process: bytes of it that are used before a model is loaded.
        fast_bf16: whether bfloat16 is much faster than float32.
        speed: see :data:`SpeedOf`.
        interconnect: how GPUs of this kind are joined; None if it is not known.
    """

    name: str
    device: Literal["cpu", "cuda"]
    memory: int
    process: int
    fast_bf16: bool
    speed: SpeedOf
    interconnect: Interconnect | None = None

    def beside_rollouts(self, recipe: Recipe) -> PlanTarget:
        """Return the machine without what an engine takes that samples a recipe's rollouts.

        Args:
            recipe: the recipe.

        Returns:
            The machine with the memory that is left for the training.
        """
        share = 0.0 if recipe.sampled_by is None else recipe.sampled_by.memory_share(self.device)
        return replace(self, memory=round(self.memory * (1 - share))) if share else self


def this_machine() -> PlanTarget:
    """Describe the device that training uses here: the first CUDA device, else the CPU. Imports torch.

    Returns:
        The target.
    """
    import torch

    from ftkit.modeling.device import bf16_is_fast, default_device, describe_machine
    from ftkit.training.estimation.machine_speed import measured_speed

    device = default_device()
    about, fast_bf16 = describe_machine(device), bf16_is_fast(device)
    if device.type == "cuda":
        memory = int(torch.cuda.mem_get_info(device)[1])
        return _cuda_target(str(about["device_name"]), memory, fast_bf16, measured_speed)
    name = f"this machine ({about['threads']} CPU threads)"
    return PlanTarget(name, "cpu", _machine_memory_bytes(), PROCESS_BYTES, fast_bf16, measured_speed)


def _cuda_target(name: str, memory: int, fast_bf16: bool, measured: SpeedOf) -> PlanTarget:
    """A GPU of this machine: with speeds from the data sheet if the catalogue knows it, else with measured ones."""
    rates = load_catalog().gpu_rates(name)
    speed = measured if rates is None else partial(_rated_speed, rates)
    joined = None if rates is None else interconnect_of(rates, GPUS_PER_NODE, None, None)
    return PlanTarget(name, "cuda", memory, CUDA_CONTEXT_BYTES, fast_bf16, speed, joined)


def named_gpu(name: str) -> PlanTarget:
    """Look up a GPU in the catalogue.

    Args:
        name: id of the GPU, e.g. ``"h100-80gb"``, or with its nodes ``"8xh100-80gb@8xinfiniband-ndr"``.

    Returns:
        The target, with speeds from the data sheet.

    Raises:
        ConfigError: there is no such GPU, its speed is not known, or there is no such network.
    """
    check_kind(name, str, "device", 'the name of a GPU, like "h100-80gb" or "8xh100-80gb@8xinfiniband-ndr"')
    known = load_catalog()
    name, count, network, adapters = split_device(name)
    gpu, rates = known.gpu(name), known.gpu_rates(name)
    if gpu is None or rates is None:
        names = sorted(row.id for row in known.rate_rows if known.gpu(row.id) is not None)
        raise ConfigError(
            f"no GPU {name!r} whose speed is known; known are {', '.join(names)}. Others can be added as [[gpu]] and "
            f"[[gpu_rates]] to {OVERRIDE} in ftkit's home"
        )
    memory = round(gpu.memory_gib * 2**30)
    joined = interconnect_of(rates, count, network, adapters)
    return PlanTarget(gpu.name, "cuda", memory, CUDA_CONTEXT_BYTES, True, partial(_rated_speed, rates), joined)


def _rated_speed(
    rates: GpuRates, precision: Literal["bf16", "fp32"], linears: Iterable[LinearLayer] = ()
) -> MachineSpeed:
    rate = rates.rate(precision)
    moved = rates.bandwidth_gb_per_s * 1e9 * BANDWIDTH_SHARE
    return MachineSpeed(
        dense=MATMUL_SHARE * rate,
        low_rank=LOW_RANK_SHARE * rate,
        attention=ATTENTION_SHARE * rate,
        bytes_moved=moved,
        fresh_writes=moved,
        dequantised=moved / 2.5,  # half a byte read and two written per weight
        kernel_overhead=KERNEL_SECONDS,
        few_rows=(moved / (2 if precision == "bf16" else 4),)
        * len(FEW_ROWS),  # every weight is read once, whatever the number of rows
        sampling=moved / SAMPLING_BYTES,
        basis="data sheet",
    )


def _machine_memory_bytes() -> int:
    """Bytes of memory of the machine, or of this process's control group if that is less."""
    psutil: Any = __import__("psutil")
    total = int(psutil.virtual_memory().total)
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(limit).read_text(encoding="ascii")))
        except (OSError, ValueError):  # not Linux, or "max"
            continue
    return total
