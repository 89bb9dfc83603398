"""Processes for work on what clients send: bounded in time and memory, and ended when they take more."""

from ftkit.server.workers.pool import WorkerLimitError, WorkerPool

__all__ = ["WorkerLimitError", "WorkerPool"]
