"""What serving may take of the machine."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What serving may take of the machine.

    Attributes:
        memory_bytes: for all loaded models with their adapters and caches; ``None`` takes three quarters of what is
            free on the device when the first model is loaded.
        cache_bytes: of each loaded base, for keys and values of answers on their way, and as much again for beginnings
            that are kept; ``None`` takes a sixteenth of the memory.
        batch: answers of one base that are computed together.
        queue: answers on their way or waiting, all models together; more are refused.
    """

    memory_bytes: int | None = None
    cache_bytes: int | None = None
    batch: int = 32
    queue: int = 256
