"""Files, jobs and events of OpenAI's fine-tuning API. Missing fields are tolerated."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from typing_extensions import override

from ftkit.backends.hosted.answer_reading import (
    LONGEST_TEXT,
    cleaned,
    optional_text,
    reading_answer,
    reads_answers,
    remote_id,
)
from ftkit.backends.hosted.host import Host, JobQuery, JobRequest, JobResults, RemoteEvent, RemoteFile, RemoteJob
from ftkit.backends.hosted.host_profile import HostProfile
from ftkit.backends.hosted.run_key import unix_seconds
from ftkit.backends.hosted.weights import HostFiles
from ftkit.backends.openai_jobs.events import parse_event, parse_result_file
from ftkit.backends.openai_jobs.job_key import KEY, has_key, lost_key
from ftkit.backends.openai_jobs.pages import read_pages
from ftkit.backends.openai_jobs.reward_metrics import parse_grade
from ftkit.backends.openai_jobs.sdk import Sdk, to_dict
from ftkit.catalog import Limits, load_catalog
from ftkit.errors import HostError
from ftkit.graders import Grade
from ftkit.store import RunState

__all__ = ["OpenAIHost"]

_STATES: dict[str, RunState] = {
    "validating_files": "queued",
    "queued": "queued",
    "pending": "queued",
    "notrunning": "queued",
    "created": "queued",
    "running": "running",
    "paused": "running",
    "pausing": "running",
    "resuming": "running",
    "succeeded": "succeeded",
    "completed": "succeeded",
    "failed": "failed",
    "error": "failed",
    "cancelled": "cancelled",
    "canceled": "cancelled",
}
_FAILED_FILE_STATUSES = {"error", "failed", "deleted", "expired"}
_MAX_RESULT_FILES = 100
_MAX_CHECKPOINTS = 1_000
"""The last ones are kept in the run's record, which every list of runs reads."""
_PART_BYTES = 64_000_000
_SHORT_TIMEOUT_S = 10.0


@reads_answers
class OpenAIHost(Host):
    """One host of the API.

    Args:
        profile: how it differs from OpenAI.
        sdk: the client.
    """

    def __init__(self, profile: HostProfile, sdk: Sdk) -> None:
        self.profile, self.sdk, self.url = profile, sdk, sdk.url
        self.name, self.secret = profile.name, sdk.secret
        if profile.idempotency_header is not None:
            self.repeatable = frozenset({"file", "job", "batch"})

    @override
    def find_file(self, name: str, size: int, purpose: str = "fine-tune") -> RemoteFile | None:
        client = self.sdk.client
        for file in self.pages("listing files", lambda **page: client.files.list(purpose=purpose, **page)):
            if file.get("filename") == name and file.get("bytes") in (size, None):
                remote = self._remote_file(file)
                if remote.problem is None:
                    return remote
        return None

    @override
    def upload(self, path: Path, name: str, purpose: str = "fine-tune") -> RemoteFile:
        limits = self._limits()
        max_bytes = limits.max_file_bytes if limits else None
        size = path.stat().st_size
        if max_bytes is not None and size > max_bytes:
            return self._upload_in_parts(path, name, size, purpose)
        files = self.sdk.client.files
        with path.open("rb") as file:
            options = self.idempotency_headers(f"{name}-{purpose}")
            create = functools.partial(files.create, file=(name, file), purpose=purpose, **options)
            created = self.sdk.call("uploading the rows", create)
        return self._remote_file(to_dict(created))

    def _upload_in_parts(self, path: Path, name: str, size: int, purpose: str) -> RemoteFile:
        limits = self._limits()
        if limits is None or limits.max_upload_bytes is None or size > limits.max_upload_bytes:
            raise HostError(f"{self.profile.name}: the rows have {size:,} bytes, more than it takes")
        uploads = self.sdk.client.uploads
        upload = to_dict(
            self.sdk.call(
                "beginning an upload in parts",
                lambda: uploads.create(filename=name, purpose=purpose, bytes=size, mime_type="text/jsonl"),
            )
        )
        part_ids = []
        try:
            with path.open("rb") as file:
                while data := file.read(limits.max_part_bytes or _PART_BYTES):
                    create_part = functools.partial(uploads.parts.create, upload["id"], data=data)
                    part_ids.append(to_dict(self.sdk.call("uploading a part", create_part))["id"])
            complete = functools.partial(uploads.complete, upload["id"], part_ids=part_ids)
            completed = self.sdk.call("completing the upload", complete)
        except HostError:
            # A retry begins with the first part. The host deletes an abandoned upload after an hour in any case.
            with contextlib.suppress(HostError):
                self.sdk.call("cancelling an upload", lambda: uploads.cancel(upload["id"]))
            raise
        return self._remote_file(to_dict(completed).get("file") or {"id": None})

    @override
    def file(self, file_id: str) -> RemoteFile:
        files = self.sdk.client.files
        return self._remote_file(to_dict(self.sdk.call("reading a file", lambda: files.retrieve(file_id))))

    @override
    def delete_file(self, file_id: str) -> None:
        files = self.sdk.client.files
        self.sdk.call("deleting a file", lambda: files.delete(file_id))

    @override
    def find_jobs(self, query: JobQuery) -> Sequence[RemoteJob]:
        jobs = self.sdk.client.fine_tuning.jobs
        found: dict[str, dict[str, Any]] = {}
        if self.profile.key_in == "metadata":
            for job in self.pages("searching for the job", lambda **page: jobs.list(metadata={KEY: query.key}, **page)):
                if has_key(job, query):
                    found[str(job["id"])] = job
        if not found:
            # Hosts that do not know the filter may ignore it or return nothing, and a proxy may have dropped the
            # metadata of the job, so the whole list is searched too.
            for job in self.pages("searching for the job", lambda **page: jobs.list(**page)):
                if has_key(job, query):
                    found[str(job["id"])] = job
        return sorted(map(self._remote_job, found.values()), key=lambda job: job.created_at or 0.0)

    @override
    def estimate_price(self, request: JobRequest) -> float | None:
        if request.kind not in self.profile.estimates:
            return None
        body = request.body | _extra_body(request)
        response = self.sdk.call(
            "estimating the price",
            lambda: self.sdk.client.post("/fine_tuning/jobs/estimate_price", body=body, cast_to=object),
        )
        return _price(to_dict(response))

    @override
    def create_job(self, request: JobRequest) -> RemoteJob:
        jobs = self.sdk.client.fine_tuning.jobs
        body = request.body | ({"extra_body": _extra_body(request)} if request.extra else {})
        options = self.idempotency_headers(request.key)
        created = to_dict(self.sdk.call("creating the job", lambda: jobs.create(**body, **options)))
        job = self._remote_job(created)
        return dataclasses.replace(job, lost_key=lost_key(request, created))

    def idempotency_headers(self, key: str) -> dict[str, Any]:
        """Return the SDK's option that makes a repeated request create nothing twice, where the host has one.

        Args:
            key: unique to what is created.

        Returns:
            Keyword arguments of a method of the SDK.
        """
        header = self.profile.idempotency_header
        return {} if header is None else {"extra_headers": {header: key}}

    @override
    def job(self, job_id: str) -> RemoteJob:
        return self._remote_job(self._job(job_id))

    def _job(self, job_id: str) -> dict[str, Any]:
        jobs = self.sdk.client.fine_tuning.jobs
        return to_dict(self.sdk.call("reading the job", lambda: jobs.retrieve(job_id)))

    @override
    def events(self, job_id: str, seen: set[str]) -> Sequence[RemoteEvent]:
        jobs = self.sdk.client.fine_tuning.jobs
        events: list[RemoteEvent] = []
        if not self.profile.events:
            return events
        pages = self.pages("reading events", lambda **page: jobs.list_events(job_id, **page))
        for number, event in enumerate(pages):
            event_id = str(event.get("id") or f"{job_id}-{event.get('created_at')}-{event.get('message')}-{number}")
            if event_id in seen:
                break  # the newest events come first
            try:
                with reading_answer(self.name, "reading events"):
                    events += parse_event(event_id, cleaned(event, longest=LONGEST_TEXT))[::-1]
            except HostError as error:  # one strange event must not hide the others
                events.append(RemoteEvent(event_id, "warning", {"message": str(error)}))
        return events[::-1]

    @override
    def results(self, job_id: str) -> JobResults:
        file_ids = (self._job(job_id).get("result_files") or ())[:_MAX_RESULT_FILES]
        events = [event for file_id in file_ids for event in parse_result_file(self.content(file_id))]
        checkpoints = [
            {"step": checkpoint.get("step_number"), "model": checkpoint.get("fine_tuned_model_checkpoint")}
            for checkpoint in self.checkpoints(job_id)
            if checkpoint.get("fine_tuned_model_checkpoint")
        ]
        in_order = sorted(checkpoints, key=lambda checkpoint: checkpoint["step"] or 0)
        return JobResults(events, in_order[-_MAX_CHECKPOINTS:])

    def checkpoints(self, job_id: str) -> list[dict[str, Any]]:
        """List the checkpoints of a job.

        Args:
            job_id: id of the job.

        Returns:
            The checkpoints as the host describes them; empty if the host lists none.

        Raises:
            HostError: the host cannot be asked.
        """
        checkpoints = self.sdk.client.fine_tuning.jobs.checkpoints
        pages = self.pages("listing checkpoints", lambda **page: checkpoints.list(job_id, **page))
        try:
            return list(pages) if self.profile.events else []
        except HostError as error:
            if error.status in (404, 405, 501):
                return []
            raise

    @override
    def cancel(self, job_id: str) -> RemoteJob:
        return self._act("cancelling the job", self.sdk.client.fine_tuning.jobs.cancel, job_id)

    @override
    def pause(self, job_id: str) -> RemoteJob:
        return self._act("pausing the job", self.sdk.client.fine_tuning.jobs.pause, job_id)

    @override
    def resume(self, job_id: str) -> RemoteJob:
        return self._act("resuming the job", self.sdk.client.fine_tuning.jobs.resume, job_id)

    def _act(self, action: str, method: Callable[[str], Any], job_id: str) -> RemoteJob:
        return self._remote_job(to_dict(self.sdk.call(action, lambda: method(job_id))))

    def download(self, job_id: str, folder: Path) -> None:
        """Write the files that the last checkpoint of a job lists into a folder.

        Args:
            job_id: id of the job.
            folder: the folder.
        """
        files = self.sdk.client.files
        last = max(self.checkpoints(job_id), key=lambda checkpoint: checkpoint.get("step_number") or 0, default={})
        written = HostFiles(folder, self.name)
        for file_id in last.get("result_files") or ():
            file = to_dict(self.sdk.call("reading a file", functools.partial(files.retrieve, file_id)))
            path = written.path(str(file.get("filename") or file_id))
            opening = files.with_streaming_response.content(file_id)
            self.sdk.download(f"downloading {path.name}", opening, path)

    def validate_grader(self, grader: dict[str, Any]) -> None:
        """Ask the host whether a grader is valid. It raises HostError with status 400 if it is not.

        Args:
            grader: the grader in the host's JSON.
        """
        graders = self.sdk.client.fine_tuning.alpha.graders
        self.sdk.call("checking the grader", lambda: graders.validate(grader=grader))

    def run_grader(self, grader: dict[str, Any], item: dict[str, Any], answer: str) -> Grade:
        """Let the host grade an answer.

        Args:
            grader: the grader in the host's JSON.
            item: the row's columns.
            answer: a model's answer.

        Returns:
            The grade.
        """
        graders = self.sdk.client.fine_tuning.alpha.graders
        response = self.sdk.call("grading", lambda: graders.run(grader=grader, item=item, model_sample=answer))
        return parse_grade(to_dict(response))

    def content(self, file_id: str) -> bytes:
        """Read a file.

        Args:
            file_id: id of the file.

        Returns:
            Its contents.
        """
        files = self.sdk.client.files
        content: bytes = self.sdk.call("reading a file", lambda: files.content(file_id)).read()
        return content

    def shutdown_dates(self) -> dict[str, date]:
        """List the shutdown dates of models (``shutdown_date`` of GET /models).

        Returns:
            Dates by the model's id, for the models that have one.
        """
        client = self.sdk.client.with_options(timeout=_SHORT_TIMEOUT_S)
        dates = {}
        for model in self.pages("listing models", lambda **page: client.models.list()):
            with contextlib.suppress(ValueError, TypeError):
                dates[str(model["id"])] = date.fromisoformat(model.get("shutdown_date"))  # type: ignore[arg-type]
        return dates

    def jobs(self) -> list[dict[str, Any]]:
        """List all jobs of the account.

        Returns:
            The jobs as the host describes them, newest first.
        """
        jobs = self.sdk.client.fine_tuning.jobs
        return list(self.pages("listing jobs", lambda **page: jobs.list(**page)))

    def pages(self, action: str, list_page: Callable[..., Any]) -> Iterator[dict[str, Any]]:
        """Read a list page by page.

        Args:
            action: what the call does, for messages.
            list_page: reads one page; takes ``limit`` and ``after``.

        Yields:
            The items of all pages.

        Raises:
            HostError: a page cannot be read, or the list does not end.
        """
        yield from read_pages(self.sdk, action, list_page)

    def _limits(self) -> Limits | None:
        """Limits of the host. Those of files are the same for all methods."""
        catalog = load_catalog()
        return catalog.limits(catalog.provider_at(self.url), "sft")

    def _remote_file(self, file: dict[str, Any]) -> RemoteFile:
        file_id = remote_id(file.get("id"), "the file", self.name)
        status = str(file.get("status") or "processed").lower()
        if status in _FAILED_FILE_STATUSES:
            return RemoteFile(file_id, False, str(file.get("status_details") or status))
        return RemoteFile(file_id, status == "processed" or not self.profile.wait_for_file)

    def _remote_job(self, job: dict[str, Any]) -> RemoteJob:
        job_id = remote_id(job.get("id"), "the job", self.name)
        status = str(job.get("status") or "queued").lower()
        error = job.get("error") or {}  # present but empty when there is no error
        message = error.get("message") if isinstance(error, dict) else str(error)
        tokens = job.get("trained_tokens")
        return RemoteJob(
            id=job_id,
            state=_STATES.get(status, "running"),
            status=status,
            tuned_model=optional_text(job.get("fine_tuned_model")),
            error=str(message) if message else None,
            trained_tokens=int(tokens) if tokens else None,
            created_at=unix_seconds(job.get("created_at")),
        )


def _price(response: dict[str, Any]) -> float | None:
    """The first amount that is called a price or cost. The documents do not name the fields."""
    for name, value in response.items():
        if "price" in name or "cost" in name:
            with contextlib.suppress(ValueError, TypeError):
                return float(str(value).lstrip("$"))
    return None


def _extra_body(request: JobRequest) -> dict[str, Any]:
    """The user's additions to the request, each merged with what the request has in that field."""
    return {name: _merge(request.body.get(name), value) for name, value in request.extra.items()}


def _merge(value: Any, over: Any) -> Any:
    """``over`` on top of ``value``, field by field in nested objects."""
    if not isinstance(value, dict) or not isinstance(over, dict):
        return over
    return value | {name: _merge(value.get(name), inner) for name, inner in over.items()}
