"""The program that runs inside the sandbox. It imports no other part of ftkit.

The supervisor, which is trusted, reads the job, isolates itself, and starts a runner. The runner loads the untrusted
code and grades one answer after the other. If the runner is too slow, prints too much or dies, the supervisor kills it,
records the error of that answer, and starts another runner for the rest.

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
    from ftkit.graders.sandbox import landlock, namespaces, seccomp
else:
    sys.path.insert(0, str(Path(__file__).parent))
    import landlock
    import namespaces
    import seccomp

    del sys.path[0]

_MAX_LINE_BYTES = 64 * 1024
_OUTPUT_TAIL_BYTES = 300
_NICENESS = 10  # what waits for the grades, such as a server, is more urgent


def main() -> None:
    """Supervise runners until every answer is graded."""
    job = json.loads(sys.stdin.buffer.readline())
    pairs = sys.stdin.buffer.readlines()
    if job["tier"] == "namespaces":
        if os.getpid() != 1:  # _end kills every process that this one sees
            raise SystemExit("this is not the first process of a namespace")
        namespaces.replace_root(job["paths"], job["limits"]["disk_bytes"])
    namespaces.become_subreaper()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the exit ends the runner and its processes
    _reply({"ready": True})
    at = 0
    while at < len(pairs):
        at = _Runner(job).grade(pairs, at)


class _Runner:
    """The supervisor's view of one process that runs the untrusted code."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._limits, self._isolated, self._alarm = job["limits"], job["tier"] == "namespaces", job["alarm"]
        with contextlib.suppress(BlockingIOError):
            os.read(self._alarm, _MAX_LINE_BYTES)  # about the runner before this one
        requests, results, output = os.pipe(), os.pipe(), os.pipe()
        self._process = os.fork()
        if self._process == 0:
            for mine in (requests[1], results[0], output[0], self._alarm):
                os.close(mine)
            _run(job, requests[0], results[1], output[1])
        for theirs in (requests[0], results[1], output[1]):
            os.close(theirs)
        self._requests, self._results, self._output = requests[1], results[0], output[0]
        os.set_blocking(self._requests, False)
        self._buffer, self._output_tail = b"", b""

    def grade(self, pairs: list[bytes], at: int) -> int:
        """Grade from position ``at`` on; return the position where the next runner must begin."""
        try:
            found = self._next()
            if "loaded" not in found:
                what = self._failure(found, "loading the code")
                for _ in pairs[at:]:  # code that does not load once will never load
                    _reply(what)
                return len(pairs)
            while at < len(pairs):
                found = self._next(pairs[at])
                at += 1
                grade = found.get("grade")
                if isinstance(grade, int | float) and abs(grade) <= sys.float_info.max:
                    _reply({"grade": float(grade)})
                    continue
                _reply(self._failure(found, "grading"))
                if "error" not in found or found.get("spent"):
                    return at
            return at
        finally:
            self._end()

    def _next(self, request: bytes = b"") -> dict[str, Any]:
        """Send ``request``, if any; return the runner's reply, or ``{"instead": …}`` with what it did instead."""
        deadline = time.monotonic() + self._limits["seconds"]
        self._output_tail, written, unsent = b"", 0, memoryview(request)
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            heard, takes = [self._results, self._output, self._alarm], [self._requests] if unsent else []
            ready, takes, _ = select.select(heard, takes, [], left) if left > 0 else ([], [], [])
            if not ready and not takes:
                return {"instead": f"took more than {self._limits['seconds']:g} s and was stopped"}
            if self._alarm in ready:
                return self._stopped_for(os.read(self._alarm, _MAX_LINE_BYTES))
            if takes:  # a runner that stops reading must not block the supervisor
                try:
                    unsent = unsent[os.write(self._requests, unsent) :]
                except BrokenPipeError:
                    unsent = unsent[:0]
            if self._output in ready:
                read = os.read(self._output, _MAX_LINE_BYTES)
                written += len(read)
                self._output_tail = (self._output_tail + read)[-_OUTPUT_TAIL_BYTES:]
                if written > self._limits["output_bytes"]:
                    return {"instead": f"printed more than {self._limits['output_bytes']:,} bytes and was stopped"}
            if self._results in ready:
                read = os.read(self._results, _MAX_LINE_BYTES)
                self._buffer += read
                if not read:
                    return {"instead": None}
                if len(self._buffer) > _MAX_LINE_BYTES:
                    return {"instead": "wrote into the channel for grades and was stopped"}
        line, _, self._buffer = self._buffer.partition(b"\n")
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(line)
            if isinstance(found, dict) and not self._buffer:  # one answer is sent at a time, so nothing may follow
                return found
        return {"instead": "wrote into the channel for grades and was stopped"}

    def _stopped_for(self, alarm: bytes) -> dict[str, Any]:
        """Say which limit the watch has found exceeded."""
        if alarm.startswith(b"memory"):
            return {"instead": f"used more than {self._limits['memory_bytes']:,} bytes of memory and was stopped"}
        if alarm.startswith(b"disk"):
            return {"instead": f"used more than {self._limits['disk_bytes']:,} bytes of disk and was stopped"}
        raise SystemExit("the process that started the sandbox has ended")

    def _failure(self, found: dict[str, Any], what: str) -> dict[str, str]:
        """Make the error of an answer without a grade."""
        if "error" in found:
            return {"error": "python_grader_runtime_error", "detail": f"{what}: {found['error']!s:.1000}"}
        if found.get("instead"):
            return {"error": "python_grader_server_error", "detail": f"{what} {found['instead']}"}
        said = self._output_tail.decode(errors="replace").strip()
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
        """End all processes of the runner. In a namespace these are all processes but this one.

        The dead are waited for only when nobody is alive. Until then they count as processes, so that code which forks
        and ends, over and over, cannot outrun the signals: it soon may not fork any more.
        """
        for descriptor in (self._requests, self._results, self._output):
            os.close(descriptor)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(-1, signal.SIGKILL) if self._isolated else os.killpg(self._process, signal.SIGKILL)
            alive = (
                [] if self._isolated else [child for child in namespaces.children() if not namespaces.is_dead(child)]
            )
            for orphan in alive:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(orphan, signal.SIGKILL)
            if not alive and self._reaped():
                return
            time.sleep(0.001)

    def _reaped(self) -> bool:
        """Wait for all dead processes; return whether none is left."""
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        return False


def _run(job: dict[str, Any], requests: int, results: int, output: int) -> NoReturn:
    """Drop privileges, load the untrusted code, and grade until there are no more answers."""
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, stands_for in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(descriptor, stands_for)
            os.set_inheritable(stands_for, True)
        os.close(output)
        _limit(job["limits"])
        os.nice(_NICENESS)
        namespaces.drop_privileges(job["uid"], job["tier"] == "namespaces")
        namespaces.end_with_parent()
        if job["tier"] == "landlock":
            landlock.restrict_files(job["paths"], os.getcwd())
        try:
            seccomp.restrict_calls(own_processes=job["tier"] == "namespaces", file_attributes=job["tier"] != "landlock")
        except OSError:
            if job["tier"] != "limits":  # which promises no more than limits
                raise
        _grade_answers(job["source"], requests, results)
    except BaseException as error:
        _write(results, _line(_error(error)))
    finally:
        os._exit(0)


def _grade_answers(source: str, requests: int, results: int) -> None:
    sys.stdout, sys.stderr = (os.fdopen(descriptor, "w", closefd=False) for descriptor in (1, 2))
    space: dict[str, Any] = {"__name__": "grader"}
    try:
        exec(compile(source, "<grader>", "exec"), space)  # noqa: S102 - what all of this is for
        grade = space["grade"]
    except BaseException as error:
        _write(results, _line(_error(error)))
        return
    _write(results, _line({"loaded": True}))
    with open(requests, "rb") as lines:
        for line in lines:
            pair = json.loads(line)
            try:
                found = grade(pair["sample"], pair["item"])
                if isinstance(found, str | bytes) or not math.isfinite(float(found)):
                    raise TypeError(f"grade() gave {found!r:.200}, which is not a finite number")
                result = {"grade": float(found)}
                sys.stdout.flush()
                sys.stderr.flush()
            except BaseException as error:
                result = _error(error)
            _write(results, _line(result))


def _error(error: BaseException) -> dict[str, Any]:
    try:
        text = str(error)[:800]
    except BaseException:
        text = ""
    # A resource that ran out (memory, disk, processes) may stay exhausted, so the other answers get a fresh process.
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


def _reply(value: dict[str, Any]) -> None:
    _write(sys.__stdout__.fileno(), _line(value))  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
