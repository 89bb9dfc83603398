"""Resource limits of untrusted code."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Limits"]


class Limits(BaseModel):
    """Resource limits of a Python grader.

    Time, memory and disk are OpenAI's limits (2 minutes, 2 GB, 1 GB; source:
    https://platform.openai.com/docs/guides/graders#python-graders).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    seconds: float = Field(default=120.0, gt=0)
    """Seconds for one answer; loading the code counts as one more answer."""
    memory_bytes: int = Field(default=2 * 1024**3, ge=64 * 1024**2)
    """Bytes of address space of each process, and of memory of all processes together."""
    disk_bytes: int = Field(default=1024**3, ge=1024**2)
    """Bytes of the temporary folder, with files that are deleted but open, and of each file in it. Where namespaces
    isolate the code, the folder is held in memory."""
    output_bytes: int = Field(default=1024**2, ge=1024)
    """Bytes written to standard output and error while one answer is graded."""
    processes: int = Field(default=16, ge=1)
    """Number of processes and threads at the same time."""
