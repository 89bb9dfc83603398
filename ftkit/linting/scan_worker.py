"""A process that scans one range of rows: reads the job as a pickle from standard input, and writes the result."""

from __future__ import annotations

import os
import pickle
import sys

from ftkit.errors import FtkitError
from ftkit.linting.scan import scan

__all__ = ["main"]


def main() -> None:
    """Scan and write the result to standard output. Other output of this process goes to standard error."""
    results = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.path[:] = pickle.load(sys.stdin.buffer)  # noqa: S301  written by the process that started this one
    job = pickle.load(sys.stdin.buffer)  # noqa: S301
    try:
        result: object = scan(*job)
    except FtkitError as error:  # raised again by the other process
        result = error
    with results:
        pickle.dump(result, results, protocol=5)


if __name__ == "__main__":
    main()
