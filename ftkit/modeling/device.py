"""What this machine computes with."""

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
    """The first CUDA device when there is one, else the CPU."""
    return torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")


def bf16_is_fast(where: torch.device) -> bool:
    """Whether bfloat16 is at least as fast as float32 here: CUDA that supports it, or a CPU with AMX tiles.

    A CPU with AVX-512 alone computes bfloat16, but in trials on a 135M model slower than float32.
    """
    if where.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_amx_tile_supported())


def torch_dtype(precision: Literal["bf16", "fp32"]) -> torch.dtype:
    """The torch type of a recipe's precision."""
    return torch.bfloat16 if precision == "bf16" else torch.float32


def peak_memory_bytes(where: torch.device) -> int:
    """The most memory held so far: by tensors on a GPU, by the whole process on a CPU."""
    if where.type == "cuda":
        return int(torch.cuda.max_memory_allocated(where))
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource  # POSIX only

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes on Linux


def free_memory_bytes(where: torch.device) -> int:
    """What can still be taken: of the GPU's memory, or of the machine's."""
    if where.type == "cuda":
        return int(torch.cuda.mem_get_info(where)[0])
    return int(psutil.virtual_memory().available)


def describe_machine(where: torch.device) -> dict[str, str | int]:
    """Device and threads, for the record of a run."""
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else platform.processor() or platform.machine()
    return {"device": where.type, "device_name": name, "threads": torch.get_num_threads(), "system": platform.system()}
