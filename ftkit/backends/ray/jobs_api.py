"""Ray's jobs API: submit a run's job once, ask how it is, and stop it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from ftkit.background import in_background
from ftkit.errors import ConfigError, HostError, RunError
from ftkit.extras import require

__all__ = ["JobStatus", "RunHandle", "delete_job", "job_log", "job_status", "jobs_api", "stop_job", "submit_job"]

_CALL_S = 30.0
_HEADERS_VARIABLE = "RAY_JOB_HEADERS"
_PACKAGE_S = 600.0
"""How long ftkit's code may take to the head, in seconds."""
_MAX_BODY_BYTES, _PIECE_BYTES = 16 * 1024 * 1024, 64 * 1024
_LOG_S = 60.0
_MAX_LOG_CHARS = 4 * 1024 * 1024
_MAX_MESSAGE = 2000
_PAUSES_S = (0.5, 1.0, 2.0)
"""Pauses before a job is submitted again whose submission had no answer."""
_STARTING = "No available agent"
"""What the head of Ray 2.60 says, with status 500, until the agent of a node has registered."""
_STARTING_S, _STARTING_PAUSE_S = 60.0, 1.0


class RunHandle(BaseModel):
    """What the store keeps of a run on a cluster."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: str
    storage: str
    key: str
    attempt: int = 1
    read: int = 0
    """Bytes of the events that were copied."""
    down: bool = False
    """Whether the cluster could not be reached when it was last asked."""

    def submission_id(self, run_id: str) -> str:
        """Return the id of the run's present job.

        Args:
            run_id: id of the run.

        Returns:
            The run's id; after a resumption with the number of the job.
        """
        return run_id if self.attempt == 1 else f"{run_id}-{self.attempt}"


@dataclass(frozen=True, slots=True)
class JobStatus:
    """The status of a job.

    Attributes:
        state: ``pending``, ``running``, ``ended``; ``unknown`` while the cluster cannot be asked.
        message: more about it.
    """

    state: str
    message: str = ""


class _StartingError(HostError):
    """A head was started just now, and no node runs jobs yet."""


class _NoSuchJobError(Exception):
    """The cluster does not know the job."""


def _bounded_client(base: Any, url: str) -> Any:
    """Ray's client with a time limit, and with the errors separated that Ray raises as one."""

    def request(self: Any, method: str, endpoint: str, *args: Any, **kwargs: Any) -> Any:
        limits = {"timeout": _CALL_S, "stream": True, "hooks": {"response": _read_bounded}, **kwargs}
        asked = in_background(lambda: base._do_request(self, method, endpoint, *args, **limits), "ftkit-ray-call")
        try:
            # The limit of requests is one of silence, and a head may send a byte a minute.
            response = asked.result(timeout=_PACKAGE_S if method == "PUT" else 2 * _CALL_S)
        except FutureTimeoutError:
            raise ConnectionError("it has not answered in time") from None
        if response.status_code == 404 and not endpoint.startswith("/api/packages/"):  # code that is not there yet
            raise _NoSuchJobError
        if response.status_code in (502, 503, 504):  # a proxy before a head that restarts
            raise ConnectionError(f"status {response.status_code}")
        return response

    return type("BoundedClient", (base,), {"_do_request": request})(url, headers=_headers())


def _read_bounded(response: Any, *args: Any, **kwargs: Any) -> None:
    """Read the body of an answer, as ``requests`` calls it before anything else does; it keeps what was read."""
    content, deadline = bytearray(), time.monotonic() + 2 * _CALL_S
    for piece in response.iter_content(_PIECE_BYTES):
        content += piece
        if len(content) > _MAX_BODY_BYTES:
            raise ConnectionError(f"its answer has more than {_MAX_BODY_BYTES:,} bytes")
        if time.monotonic() > deadline:  # nobody waits for it any more
            raise ConnectionError("it has not answered in time")
    response._content = bytes(content)


def _headers() -> dict[str, Any] | None:
    """The headers that Ray's own commands send, as for a proxy that lets nobody else in."""
    written = os.environ.get(_HEADERS_VARIABLE)
    if not written:
        return None
    try:
        headers = json.loads(written)
    except ValueError:
        headers = None
    if not isinstance(headers, dict):
        raise ConfigError(f'the environment variable {_HEADERS_VARIABLE} is not JSON such as {{"Authorization": "…"}}')
    return headers


@contextlib.contextmanager
def jobs_api(url: str) -> Iterator[Any]:
    """Open the client of a cluster's jobs API. Its calls are bounded in time.

    Args:
        url: the address.

    Yields:
        Ray's ``JobSubmissionClient``.

    Raises:
        ConfigError: the environment's headers are not JSON.
        HostError: the cluster cannot be reached, does not let this client in, or is no Ray cluster.
    """
    sdk = require("ray.job_submission", extra="ray", needed_for="a Ray cluster")
    refusals = require("ray.exceptions", extra="ray", needed_for="a Ray cluster")
    try:
        try:
            client = _bounded_client(sdk.JobSubmissionClient, url)
        except (RuntimeError, _NoSuchJobError) as error:  # its version
            said = _one_line(error) or "it knows no /api/version"
            raise HostError(f"{url} is not the jobs API of a Ray cluster that this Ray can use: {said}") from None
        yield client
    except refusals.AuthenticationError as error:
        raise HostError(f"the Ray cluster at {url} refuses this client: {_one_line(error)}") from None
    except ConfigError:  # a ValueError, too
        raise
    except (LookupError, TypeError, ValueError) as error:  # an answer that Ray's client cannot read
        said = _one_line(error)
        message = f"what answers at {url} is not the jobs API of a Ray cluster that this Ray can use: {said}"
        raise HostError(message, passing=True, unsure=True) from None
    except OSError as error:  # of the network, as requests raises them
        message = f"the Ray cluster at {url} cannot be reached: {_one_line(error)}"
        raise HostError(message, passing=True, unsure=True) from None


def submit_job(run_id: str, handle: RunHandle, entrypoint: str, environment: Mapping[str, Any]) -> None:
    """Submit a run's job. One that was submitted before, and whose answer was lost, is not submitted again.

    Args:
        run_id: id of the run.
        handle: its handle.
        entrypoint: the shell command.
        environment: Ray's ``runtime_env`` of the job and its workers.

    Raises:
        HostError: the cluster cannot be reached.
    """
    pauses, deadline = iter(_PAUSES_S), time.monotonic() + _STARTING_S
    while True:
        try:
            _submit(run_id, handle, entrypoint, environment)
        except HostError as error:
            starting = isinstance(error, _StartingError) and time.monotonic() < deadline
            pause = _STARTING_PAUSE_S if starting else next(pauses, None)
            if not error.passing or pause is None:
                raise
            time.sleep(pause)
        else:
            return


def _submit(run_id: str, handle: RunHandle, entrypoint: str, environment: Mapping[str, Any]) -> None:
    submission = handle.submission_id(run_id)
    with jobs_api(handle.url) as api:
        try:
            api.submit_job(
                entrypoint=entrypoint,
                submission_id=submission,
                runtime_env=dict(environment),
                metadata={"ftkit_key": handle.key, "ftkit_run": run_id},
            )
        except (RuntimeError, _NoSuchJobError) as error:
            try:
                known = api.get_job_info(submission)
            except (RuntimeError, _NoSuchJobError):
                if _STARTING in str(error):
                    raise _StartingError(f"the cluster takes no jobs yet: {_one_line(error)}", passing=True) from None
                raise RunError(f"the cluster refuses the job: {_one_line(error)}") from None
            if (known.metadata or {}).get("ftkit_key") != handle.key:
                message = f"the cluster has a job {submission} already, of another run; choose another run_id"
                raise RunError(message) from None


def job_status(run_id: str, handle: RunHandle) -> JobStatus:
    """Ask for the status of a run's job.

    Args:
        run_id: id of the run.
        handle: its handle.

    Returns:
        The status.
    """
    try:
        with jobs_api(handle.url) as api:
            info = api.get_job_info(handle.submission_id(run_id))
    except HostError as error:
        return JobStatus("unknown", str(error))
    except RuntimeError as error:
        return JobStatus("unknown", f"the Ray cluster at {handle.url} does not say how the job is: {_one_line(error)}")
    except _NoSuchJobError:
        return JobStatus("ended", "the cluster has no such job: it was not submitted, or the head was started anew")
    status = str(getattr(info.status, "value", info.status))
    if status in ("PENDING", "RUNNING"):
        return JobStatus(status.lower())
    message = str(info.message).partition(", last available logs")[0]  # the run's log.txt has them
    return JobStatus("ended", f"the job ended with status {status}: {_one_line(message)}")


def stop_job(run_id: str, handle: RunHandle) -> None:
    """Stop a run's job, if there is one.

    Args:
        run_id: id of the run.
        handle: its handle.

    Raises:
        HostError: the cluster cannot be reached, or does not stop it.
    """
    try:
        with jobs_api(handle.url) as api, contextlib.suppress(_NoSuchJobError):
            api.stop_job(handle.submission_id(run_id))
    except RuntimeError as error:
        message = f"the Ray cluster at {handle.url} does not stop the job, which may go on: {_one_line(error)}"
        raise HostError(message, passing=True) from None


def delete_job(run_id: str, handle: RunHandle) -> None:
    """Delete what the cluster keeps of the jobs of a run that has ended.

    Args:
        run_id: id of the run.
        handle: its handle.
    """
    with jobs_api(handle.url) as api:
        for attempt in range(1, handle.attempt + 1):
            with contextlib.suppress(RuntimeError, _NoSuchJobError):
                api.delete_job(handle.model_copy(update={"attempt": attempt}).submission_id(run_id))


def job_log(run_id: str, handle: RunHandle) -> str:
    """Read the last of what a job that has ended has printed.

    Args:
        run_id: id of the run.
        handle: its handle.

    Returns:
        The text.

    Raises:
        HostError: the cluster cannot be asked, or does not know the job.
    """

    async def read(api: Any) -> str:
        kept = ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOG_S):
                async for piece in api.tail_job_logs(handle.submission_id(run_id)):
                    kept = (kept + piece)[-_MAX_LOG_CHARS:]
        return kept

    try:
        with jobs_api(handle.url) as api, ThreadPoolExecutor(1) as thread:
            # In a thread of its own, because this one may run an event loop already, as in a notebook.
            return thread.submit(asyncio.run, read(api)).result()
    except HostError:
        raise
    except _NoSuchJobError:
        raise HostError("the cluster does not know the job") from None
    except Exception as error:  # of Ray or aiohttp: the log is not worth failing for
        raise HostError(f"the cluster does not show it: {_one_line(error)}") from None


def _one_line(said: object) -> str:
    return " ".join(str(said).split())[:_MAX_MESSAGE]
