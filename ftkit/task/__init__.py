"""What a model is asked, and how its answer is read."""

from __future__ import annotations

from ftkit.task.message import Message
from ftkit.task.task import Task

__all__ = ["Message", "Task"]
