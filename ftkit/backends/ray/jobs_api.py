"""Ray's jobs API: submit a run's job once, ask how it is, and stop it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from ftkit.errors import HostError, RunError
from ftkit.extras import require

__all__ = ["JobStatus", "RunHandle", "job_log", "job_status", "jobs_api", "stop_job", "submit_job"]


class RunHandle(BaseModel):
    """What the store keeps of a run on a cluster."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: str
    storage: str
    key: str
    attempt: int = 1
    read: int = 0
    """Bytes of the events that were copied."""

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


@contextlib.contextmanager
def jobs_api(url: str) -> Iterator[Any]:
    """Open the client of a cluster's jobs API.

    Args:
        url: the address.

    Yields:
        Ray's ``JobSubmissionClient``.

    Raises:
        HostError: the cluster cannot be reached.
    """
    sdk = require("ray.job_submission", extra="ray", needed_for="a Ray cluster")
    try:
        yield sdk.JobSubmissionClient(url)
    except OSError as error:  # of the network, as requests raises them
        raise HostError(f"the Ray cluster at {url} cannot be reached: {error}", passing=True, unsure=True) from None


def submit_job(run_id: str, handle: RunHandle, entrypoint: str, variables: Mapping[str, str]) -> None:
    """Submit a run's job. One that was submitted before, and whose answer was lost, is not submitted again.

    Args:
        run_id: id of the run.
        handle: its handle.
        entrypoint: the shell command.
        variables: environment variables of the job and its workers.

    Raises:
        RunError: the cluster has a job of this id that is of another run, or refuses the job.
    """
    submission = handle.submission_id(run_id)
    with jobs_api(handle.url) as api:
        try:
            api.submit_job(
                entrypoint=entrypoint,
                submission_id=submission,
                runtime_env={"env_vars": dict(variables)},
                metadata={"ftkit_key": handle.key, "ftkit_run": run_id},
            )
        except RuntimeError as error:
            try:
                known = api.get_job_info(submission)
            except RuntimeError:
                raise RunError(f"the cluster refuses the job: {' '.join(str(error).split())[:2000]}") from None
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
    except RuntimeError:
        again = f"`ftkit runs resume {run_id}` submits it again, and it goes on from its newest checkpoint"
        return JobStatus(
            "ended", f"the cluster has no such job: it was not submitted, or the head is new. {again}"
        )
    status = str(getattr(info.status, "value", info.status))
    if status in ("PENDING", "RUNNING"):
        return JobStatus(status.lower())
    return JobStatus("ended", f"the job ended with status {status}: {' '.join(str(info.message).split())[:2000]}")


def stop_job(run_id: str, handle: RunHandle) -> None:
    """Stop a run's job, if there is one.

    Args:
        run_id: id of the run.
        handle: its handle.
    """
    with jobs_api(handle.url) as api, contextlib.suppress(RuntimeError):
        api.stop_job(handle.submission_id(run_id))


def job_log(run_id: str, handle: RunHandle) -> str | None:
    """Read what a run's job has printed.

    Args:
        run_id: id of the run.
        handle: its handle.

    Returns:
        The text; None if the cluster cannot be asked or does not know the job.
    """
    with contextlib.suppress(HostError, RuntimeError), jobs_api(handle.url) as api:
        return str(api.get_job_logs(handle.submission_id(run_id)))
    return None
