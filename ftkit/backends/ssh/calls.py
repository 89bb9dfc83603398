"""The calls that the program on the other machine answers, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ftkit.backends.remote import model_calls
from ftkit.backends.ssh import run_calls
from ftkit.backends.ssh.received import receive

__all__ = ["CALLS"]

CALLS: dict[str, Callable[..., Any]] = {
    "receive": receive,
    **{name: getattr(module, name) for module in (run_calls, model_calls) for name in module.__all__ if name.islower()},
}
"""The calls by name."""
