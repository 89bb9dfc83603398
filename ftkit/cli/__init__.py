"""The command line: the words of the Python interface, for files. One module a command or family of commands.

Modules import nothing heavy at the top, so that ``--help`` answers at once: what a command needs, it imports when it
runs. Results go to standard output, everything else to standard error.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run ``ftkit`` with the arguments of this process and end it.

    The exit status is 0; 1 when the work failed or the answer is no; 2 for wrong usage, a task or a recipe that makes
    no sense; 130 after Ctrl-C.
    """
    from ftkit.cli.app import app

    app(prog_name="ftkit")
