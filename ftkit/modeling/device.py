"""The device to compute on, its memory and its precision."""

from __future__ import annotations

import platform
import sys
from typing import Literal

import psutil
import torch

__all__ = [
    "bf16_is_fast",
    "default_device",
    "describe_machine",
    "free_memory_bytes",
    "peak_memory_bytes",
    "torch_dtype",
]


def default_device() -> torch.device:
    """Return the first CUDA device if there is one, else the CPU.

    Returns:
        The device.
    """
    return torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")


def bf16_is_fast(device: torch.device) -> bool:
    """Say whether bfloat16 is much faster than float32: on CUDA that supports it, and on a CPU with AMX tiles.

    A CPU with AVX-512 BF16 but no AMX saves a quarter of a step (measured with a 135M model): too little to round
    everything to 8 bits unasked.

    Args:
        device: the device.

    Returns:
        Whether it is.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_amx_tile_supported())


def torch_dtype(precision: Literal["bf16", "fp32"]) -> torch.dtype:
    """Return the torch type of a recipe's precision.

    Args:
        precision: ``bf16`` or ``fp32``.

    Returns:
        The type.
    """
    return torch.bfloat16 if precision == "bf16" else torch.float32


def peak_memory_bytes(device: torch.device) -> int:
    """Return the peak memory so far.

    Args:
        device: the device.

    Returns:
        Bytes: of tensors on a GPU, of the whole process on a CPU.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource  # POSIX only

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes on Linux


def free_memory_bytes(device: torch.device) -> int:
    """Return the free memory.

    Args:
        device: the device.

    Returns:
        Bytes of the GPU's memory, or of the machine's for a CPU.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def describe_machine(device: torch.device) -> dict[str, str | int]:
    """Describe device and threads for the record of a run.

    Args:
        device: the device.

    Returns:
        ``device``, ``device_name``, ``threads`` and ``system``.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {"device": device.type, "device_name": name, "threads": torch.get_num_threads(), "system": platform.system()}
