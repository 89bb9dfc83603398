"""This machine as a backend: training in a worker process, answers from a model in this one."""

from ftkit.backends.local.backend import LocalBackend

__all__ = ["LocalBackend"]
