"""The program of a worker process: it runs what it is sent, until its standard input ends."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
from typing import IO, Any

_NICENESS = 5  # the event loop is more urgent


def main() -> None:
    """Run work until there is no more. Nothing else may be written to the pipe, so standard output goes nowhere."""
    results = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    _limit_memory(int(sys.argv[1]))
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    work: IO[bytes] = sys.stdin.buffer
    while True:
        try:
            seconds, function = pickle.load(work)  # noqa: S301 - of the server
        except EOFError:
            return
        _end_after(seconds)
        answer = _answer(function)
        _end_after(0)
        results.write(answer)
        results.flush()


def _end_after(seconds: float) -> None:
    """Let the kernel end this process after some seconds of processor time; 0 takes that back."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _answer(function: Any) -> bytes:
    try:
        return pickle.dumps((True, function()), pickle.HIGHEST_PROTOCOL)
    except MemoryError:
        failure: BaseException = MemoryError()
    except Exception as error:
        failure = error
    with contextlib.suppress(Exception):
        pickled = pickle.dumps((False, failure), pickle.HIGHEST_PROTOCOL)
        pickle.loads(pickled)  # noqa: S301 - some exceptions can be written but not read
        return pickled
    return pickle.dumps((False, RuntimeError(f"{type(failure).__name__}: {failure}"[:1000])))


def _limit_memory(most: int) -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


if __name__ == "__main__":
    main()
