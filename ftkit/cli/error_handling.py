"""How the command line fails: a sentence and an exit status, never a bare traceback."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from ftkit.cli.console import fail, note
from ftkit.cli.option_names import in_options
from ftkit.errors import ConfigError, FtkitError

__all__ = ["Guarded"]

FAILED, WRONG_USAGE, INTERRUPTED, PIPE_CLOSED = 1, 2, 130, 141


class Guarded(TyperGroup):
    """The root of the commands. ``FTKIT_DEBUG=1`` lets tracebacks through."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except Exception as error:
            if os.environ.get("FTKIT_DEBUG", "0") not in ("", "0"):
                raise
            sys.exit(_told(error))

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # typer's context is click's
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # here, where a closed pipe can still be told from a failure
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")  # of pydantic, with which typer reads choices
            raise
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # Whoever read the output (`head`) has seen enough. Python would complain when it flushes at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(PIPE_CLOSED) from None
        return result


def _told(error: Exception) -> int:
    """Say what went wrong; the exit status it means."""
    if isinstance(error, FtkitError):
        fail(in_options(str(error)))
        return WRONG_USAGE if isinstance(error, ConfigError) else FAILED
    if isinstance(error, OSError):  # a full disk, a file without rights
        where = f"{error.filename}: " if error.filename else ""
        fail(f"{where}{error.strerror or error}")
        return FAILED
    fail(f"unexpected {type(error).__name__}: {error}")
    note("This is a fault in ftkit. Please report it, with what FTKIT_DEBUG=1 shows when it is set for this command.")
    return FAILED
