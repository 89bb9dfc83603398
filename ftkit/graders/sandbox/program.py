"""Runs inside the sandbox, by itself: no part of ftkit is imported here.

The supervisor, which is trusted, reads the job, closes the world off, and starts a runner. The runner loads the foreign
code and grades answer by answer. The supervisor kills it when it is too slow, says too much or dies, writes down what
happened to that answer, and starts another runner for the rest.

Lines on standard input: a job, then ``{"sample", "item"}`` for each answer. Lines on standard output:
``{"ready": true}``, then ``{"grade"}`` or ``{"error", "detail"}`` for each answer.
"""

import contextlib
import errno
import json
import math
import os
import resource
import select
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from ftkit.graders.sandbox import landlock, namespaces
else:
    sys.path.insert(0, str(Path(__file__).parent))
    import landlock
    import namespaces

    del sys.path[0]

_LONGEST_LINE = 64 * 1024
_KEPT_OUTPUT = 300


def main() -> None:
    job = json.loads(sys.stdin.buffer.readline())
    pairs = sys.stdin.buffer.readlines()
    if job["walls"] == "namespaces":
        if os.getpid() != 1:  # else "all processes of the sandbox" would be all of the machine
            raise SystemExit("not the first process of a namespace")
        namespaces.new_root(job["paths"], job["limits"]["disk_bytes"])
    namespaces.own_the_orphans()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # on the way out the runner and all of its ends
    _tell({"ready": True})
    at = 0
    while at < len(pairs):
        at = _Runner(job).grade(pairs, at)


class _Runner:
    """One process with the foreign code in it, as the supervisor sees it."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._limits, self._alone = job["limits"], job["walls"] == "namespaces"
        requests, results, output = os.pipe(), os.pipe(), os.pipe()
        self._process = os.fork()
        if self._process == 0:
            for mine in (requests[1], results[0], output[0]):
                os.close(mine)
            _be_runner(job, requests[0], results[1], output[1])
        for theirs in (requests[0], results[1], output[1]):
            os.close(theirs)
        self._requests, self._results, self._output = requests[1], results[0], output[0]
        os.set_blocking(self._requests, False)
        self._held, self._said = b"", b""

    def grade(self, pairs: list[bytes], at: int) -> int:
        """Grade from ``at`` on; returns where the next runner must begin."""
        try:
            found = self._next()
            if "loaded" not in found:
                what = self._failure(found, "loading the code")
                for _ in pairs[at:]:  # what does not load once will not load another time
                    _tell(what)
                return len(pairs)
            while at < len(pairs):
                found = self._next(pairs[at])
                at += 1
                grade = found.get("grade")
                if isinstance(grade, int | float) and math.isfinite(grade):
                    _tell({"grade": grade})
                    continue
                _tell(self._failure(found, "grading"))
                if "error" not in found or found.get("spent"):
                    return at
            return at
        finally:
            self._end()

    def _next(self, request: bytes = b"") -> dict[str, Any]:
        """What the runner says, to ``request`` when there is one, or what it did instead: ``{"instead": …}``."""
        deadline = time.monotonic() + self._limits["seconds"]
        self._said, written, unsent = b"", 0, memoryview(request)
        while b"\n" not in self._held:
            left = deadline - time.monotonic()
            heard, takes = [self._results, self._output], [self._requests] if unsent else []
            ready, takes, _ = select.select(heard, takes, [], left) if left > 0 else ([], [], [])
            if not ready and not takes:
                return {"instead": f"took more than {self._limits['seconds']:g} s and was stopped"}
            if takes:  # a runner that reads no more must not hold the supervisor up
                try:
                    unsent = unsent[os.write(self._requests, unsent) :]
                except BrokenPipeError:
                    unsent = unsent[:0]
            if self._output in ready:
                read = os.read(self._output, _LONGEST_LINE)
                written += len(read)
                self._said = (self._said + read)[-_KEPT_OUTPUT:]
                if written > self._limits["output_bytes"]:
                    return {"instead": f"printed more than {self._limits['output_bytes']:,} bytes and was stopped"}
            if self._results in ready:
                read = os.read(self._results, _LONGEST_LINE)
                self._held += read
                if not read:
                    return {"instead": None}
                if len(self._held) > _LONGEST_LINE:
                    return {"instead": "wrote into the channel for grades and was stopped"}
        line, _, self._held = self._held.partition(b"\n")
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(line)
            if isinstance(found, dict) and not self._held:  # one answer is asked at a time: nothing else may wait
                return found
        return {"instead": "wrote into the channel for grades and was stopped"}

    def _failure(self, found: dict[str, Any], what: str) -> dict[str, str]:
        """The error of an answer for which no grade came."""
        if "error" in found:
            return {"error": "python_grader_runtime_error", "detail": f"{what}: {found['error']!s:.1000}"}
        if found.get("instead"):
            return {"error": "python_grader_server_error", "detail": f"{what} {found['instead']}"}
        said = self._said.decode(errors="replace").strip()
        detail = f"the process {self._how_it_ended()} while {what}{': ' + said if said else ''}"
        return {"error": "python_grader_runtime_error", "detail": detail}

    def _how_it_ended(self) -> str:
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                died, status = os.waitpid(self._process, os.WNOHANG)
                if died:
                    code = os.waitstatus_to_exitcode(status)
                    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
            time.sleep(0.005)
        return "closed its channel"

    def _end(self) -> None:
        """No process of the runner outlives it: in a namespace of its own those are all but this one."""
        for descriptor in (self._requests, self._results, self._output):
            os.close(descriptor)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(-1, signal.SIGKILL) if self._alone else os.killpg(self._process, signal.SIGKILL)
            try:
                died, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not died:
                for orphan in namespaces.children():
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(orphan, signal.SIGKILL)
                time.sleep(0.002)


def _be_runner(job: dict[str, Any], requests: int, results: int, output: int) -> NoReturn:
    """Give up all that the foreign code may not have, load it, and answer until there are no more questions."""
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, stands_for in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(descriptor, stands_for)
            os.set_inheritable(stands_for, True)
        os.close(output)
        _limit(job["limits"])
        namespaces.give_up_privileges(job["uid"], job["walls"] == "namespaces")
        namespaces.die_with_the_parent()
        if job["walls"] == "landlock":
            landlock.shut_in(job["paths"], os.getcwd())
        _answer(job["source"], requests, results)
    except BaseException as error:
        _write(results, _line(_wrong(error)))
    finally:
        os._exit(0)


def _answer(source: str, requests: int, results: int) -> None:
    sys.stdout, sys.stderr = (os.fdopen(descriptor, "w", closefd=False) for descriptor in (1, 2))
    space: dict[str, Any] = {"__name__": "grader"}
    try:
        exec(compile(source, "<grader>", "exec"), space)  # noqa: S102 - what all of this is for
        grade = space["grade"]
    except BaseException as error:
        _write(results, _line(_wrong(error)))
        return
    _write(results, _line({"loaded": True}))
    with open(requests, "rb") as lines:
        for line in lines:
            pair = json.loads(line)
            try:
                found = grade(pair["sample"], pair["item"])
                if isinstance(found, str | bytes) or not math.isfinite(float(found)):
                    raise TypeError(f"grade() gave {found!r:.200}, which is no finite number")
                result = {"grade": float(found)}
                sys.stdout.flush()
                sys.stderr.flush()
            except BaseException as error:
                result = _wrong(error)
            _write(results, _line(result))


def _wrong(error: BaseException) -> dict[str, Any]:
    try:
        text = str(error)[:800]
    except BaseException:
        text = ""
    # What ran out (memory, disk, processes) may stay used up; the other answers get a fresh process.
    spent = isinstance(error, MemoryError | OSError | RuntimeError)
    if isinstance(error, OSError) and error.errno in (errno.EFBIG, errno.ENOSPC):
        text += " (the disk limit)"
    return {"error": f"{type(error).__name__}: {text}" if text else type(error).__name__, "spent": spent}


def _limit(limits: dict[str, Any]) -> None:
    for what, most in (
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_FSIZE, limits["disk_bytes"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (bound, bound))


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _tell(value: dict[str, Any]) -> None:
    _write(sys.__stdout__.fileno(), _line(value))  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
