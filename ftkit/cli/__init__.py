"""The command line. Each command, or group of commands, has a module; options that commands share are in ``*_options``.

Modules import nothing heavy at the top, so that ``--help`` is fast: a command imports what it needs when it runs.
Results go to standard output, everything else to standard error.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run ``ftkit`` with the arguments of this process, and exit.

    The exit status is 0 for success, 1 if the work failed or a check did not pass, 2 for wrong usage or an invalid task
    or recipe, and 130 after Ctrl-C.
    """
    from ftkit.cli.app import app

    app(prog_name="ftkit")
