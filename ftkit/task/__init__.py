"""Tasks: how a row becomes a prompt, and how a model's answer is parsed."""

from __future__ import annotations

from ftkit.task.example import Example
from ftkit.task.message import Message
from ftkit.task.task import Task

__all__ = ["Example", "Message", "Task"]
