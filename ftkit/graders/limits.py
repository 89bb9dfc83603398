"""What foreign code may use."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Limits"]


class Limits(BaseModel):
    """Bounds of a Python grader. Time, memory and disk are OpenAI's own
    (https://platform.openai.com/docs/guides/graders#python-graders: 2 minutes, 2 GB, 1 GB).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    seconds: float = Field(default=120.0, gt=0)
    """For one answer; loading the code counts as one more."""
    memory_bytes: int = Field(default=2 * 1024**3, ge=64 * 1024**2)
    """Address space of each process."""
    disk_bytes: int = Field(default=1024**3, ge=1024**2)
    """The temporary folder and each file in it; held in memory, where the kernel isolates."""
    output_bytes: int = Field(default=1024**2, ge=1024)
    """Written to standard output and error while one answer is graded."""
    processes: int = Field(default=16, ge=1)
    """Processes and threads at the same time."""
