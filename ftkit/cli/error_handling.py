"""Errors on the command line: one sentence and an exit status instead of a traceback."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import typer
from typer.core import TyperGroup
from typing_extensions import override

from ftkit.cli.console import fail, note, warn
from ftkit.cli.format_names import fill_in_format_names
from ftkit.cli.option_names import error_with_options
from ftkit.errors import ConfigError, FtkitError
from ftkit.files import says_disk_full

__all__ = ["ErrorHandlingGroup"]

FAILED, WRONG_USAGE, INTERRUPTED, PIPE_CLOSED = 1, 2, 130, 141


class ErrorHandlingGroup(TyperGroup):
    """The root command, which reports errors. ``FTKIT_DEBUG=1`` shows tracebacks instead."""

    @override
    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return super().main(*args, **kwargs)
        except Exception as error:
            if os.environ.get("FTKIT_DEBUG", "0") not in ("", "0"):
                raise
            sys.exit(_report(error))

    @override
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if any(option in rest for option in ctx.help_option_names):
            fill_in_format_names(command)
        return name, command, rest

    @override
    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # typer's context is click's
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # here, where BrokenPipeError can still be handled
        except typer.BadParameter as error:
            error.message = error.message.removeprefix(
                "Value error, "
            )  # added by pydantic, with which typer validates choices
            raise
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # The reader of the output (e.g. `head`) has closed the pipe. Python would fail when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(PIPE_CLOSED) from None
        return result


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Print a warning as one line, without the place in the code that Python prints before it."""
    if category.__module__.partition(".")[0] == "ftkit" or issubclass(category, UserWarning):
        warn(str(message))


def _report(error: Exception) -> int:
    """Print an error and return the exit status."""
    if isinstance(error, FtkitError):
        fail(error_with_options(error))
        return WRONG_USAGE if isinstance(error, ConfigError) else FAILED
    if isinstance(error, OSError):  # a full disk, a missing permission
        path = f"{error.filename}: " if error.filename else ""
        fail(f"{path}{'the disk is full' if says_disk_full(error) else error.strerror or error}")
        return FAILED
    fail(f"unexpected {type(error).__name__}: {error}")
    note("This is a bug in ftkit. Please report it with the output of this command under FTKIT_DEBUG=1.")
    return FAILED
