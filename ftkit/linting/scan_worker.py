"""A process that sweeps one stretch: the job comes as a pickle on standard input, the result goes out."""

from __future__ import annotations

import os
import pickle
import sys

__all__ = ["main"]


def main() -> None:
    """Sweep and answer. What else writes to standard output is sent to standard error."""
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.path[:] = pickle.load(sys.stdin.buffer)  # noqa: S301  written by the process that started this one
    job = pickle.load(sys.stdin.buffer)  # noqa: S301
    from ftkit.errors import FtkitError
    from ftkit.linting.scan import sweep

    try:
        result: object = sweep(*job[0], **job[1])
    except FtkitError as error:  # raised again where someone can read it
        result = error
    with answer:
        pickle.dump(result, answer, protocol=5)


if __name__ == "__main__":
    main()
