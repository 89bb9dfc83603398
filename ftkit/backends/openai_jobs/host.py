"""Files, jobs and events of OpenAI's jobs API, read leniently: real answers differ from the schema."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from ftkit.backends.hosted.host import Leavings, Order, RemoteEvent, RemoteFile, RemoteJob
from ftkit.backends.hosted.weight_download import inside
from ftkit.backends.openai_jobs.events import of_event, of_results
from ftkit.backends.openai_jobs.profiles import Profile
from ftkit.backends.openai_jobs.reward_metrics import grade_of
from ftkit.backends.openai_jobs.sdk import Sdk, plain
from ftkit.catalog import Limits, load_catalog
from ftkit.errors import HostError
from ftkit.graders import Grade
from ftkit.store import RunState

__all__ = ["KEY", "OpenAIHost"]

KEY = "ftkit_run"
"""Name of the metadata that holds a run's key."""

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
_FILE_ENDS = {"error", "failed", "deleted", "expired"}
_PAGE = 100
_QUICK_S = 10.0


class OpenAIHost:
    """One host of the family. See :class:`~ftkit.backends.hosted.Host`."""

    def __init__(self, profile: Profile, sdk: Sdk) -> None:
        self.profile, self.sdk, self.url = profile, sdk, sdk.url

    def find_file(self, name: str, size: int, purpose: str = "fine-tune") -> RemoteFile | None:
        client = self.sdk.client
        for file in self.pages("listing files", lambda **page: client.files.list(purpose=purpose, **page)):
            if file.get("filename") == name and file.get("bytes") in (size, None):
                found = self._file(file)
                if found.problem is None:
                    return found
        return None

    def upload(self, path: Path, name: str, purpose: str = "fine-tune") -> RemoteFile:
        limits = self._limits()
        most = limits.max_file_bytes if limits else None
        size = path.stat().st_size
        client = self.sdk.client
        if most is not None and size > most:
            return self._upload_in_parts(path, name, size, purpose)
        with path.open("rb") as file:
            made = self.sdk.call("uploading the rows", lambda: client.files.create(file=(name, file), purpose=purpose))
        return self._file(plain(made))

    def _upload_in_parts(self, path: Path, name: str, size: int, purpose: str) -> RemoteFile:
        limits = self._limits()
        if limits is None or limits.max_upload_bytes is None or size > limits.max_upload_bytes:
            raise HostError(f"{self.profile.name}: the rows have {size:,} bytes, more than it takes")
        client, part_bytes = self.sdk.client, limits.max_part_bytes or 64_000_000
        begun = plain(
            self.sdk.call(
                "beginning an upload in parts",
                lambda: client.uploads.create(filename=name, purpose=purpose, bytes=size, mime_type="text/jsonl"),
            )
        )
        parts = []
        try:
            with path.open("rb") as file:
                while data := file.read(part_bytes):
                    part = self.sdk.call(
                        "uploading a part",
                        lambda data=data: client.uploads.parts.create(begun["id"], data=data),  # type: ignore[misc]
                    )
                    parts.append(plain(part)["id"])
            done = self.sdk.call("completing the upload", lambda: client.uploads.complete(begun["id"], part_ids=parts))
        except HostError:
            # The parts are tried again from the first; the host drops what is left after an hour anyway.
            with contextlib.suppress(HostError):
                self.sdk.call("giving up an upload", lambda: client.uploads.cancel(begun["id"]))
            raise
        return self._file(plain(done).get("file") or {"id": None})

    def file(self, file_id: str) -> RemoteFile:
        client = self.sdk.client
        return self._file(plain(self.sdk.call("looking at a file", lambda: client.files.retrieve(file_id))))

    def delete_file(self, file_id: str) -> None:
        client = self.sdk.client
        self.sdk.call("deleting a file", lambda: client.files.delete(file_id))

    def find_job(self, key: str, kind: str) -> RemoteJob | None:
        client = self.sdk.client
        if self.profile.key_in == "metadata":
            pages = self.pages(
                "looking for the job", lambda **page: client.fine_tuning.jobs.list(metadata={KEY: key}, **page)
            )
            for job in pages:
                if (job.get("metadata") or {}).get(KEY) == key:
                    return self._job(job)
            if load_catalog().provider_at(self.url) == "openai":
                return None
        # Hosts that know no filter answer it with whatever they like, so the list itself is looked through too.
        for job in self.pages("looking for the job", lambda **page: client.fine_tuning.jobs.list(**page)):
            marks = ((job.get("metadata") or {}).get(KEY), job.get("suffix"), job.get("user_provided_suffix"))
            if key in marks or key in str(job.get("fine_tuned_model") or ""):
                return self._job(job)
        return None

    def estimate(self, order: Order) -> float | None:
        if order.kind not in self.profile.estimates:
            return None
        body = order.body | _over(order)
        told = self.sdk.call(
            "estimating the price",
            lambda: self.sdk.client.post("/fine_tuning/jobs/estimate_price", body=body, cast_to=object),
        )
        return _price(plain(told))

    def create_job(self, order: Order) -> RemoteJob:
        client = self.sdk.client
        asked = order.body | ({"extra_body": _over(order)} if order.extra else {})
        job = self.sdk.call("creating the job", lambda: client.fine_tuning.jobs.create(**asked))
        return self._job(plain(job))

    def job(self, job_id: str) -> RemoteJob:
        client = self.sdk.client
        return self._job(plain(self.sdk.call("looking at the job", lambda: client.fine_tuning.jobs.retrieve(job_id))))

    def events(self, job_id: str, seen: set[str]) -> Sequence[RemoteEvent]:
        client = self.sdk.client
        found: list[RemoteEvent] = []
        if not self.profile.events:
            return found
        pages = self.pages("reading events", lambda **page: client.fine_tuning.jobs.list_events(job_id, **page))
        for number, event in enumerate(pages):
            event_id = str(event.get("id") or f"{job_id}-{event.get('created_at')}-{event.get('message')}-{number}")
            if event_id in seen:
                break  # they come newest first
            found += of_event(event_id, event)[::-1]
        return found[::-1]

    def leavings(self, job_id: str) -> Leavings:
        client = self.sdk.client
        job = plain(self.sdk.call("looking at the job", lambda: client.fine_tuning.jobs.retrieve(job_id)))
        events = [event for file_id in job.get("result_files") or () for event in of_results(self.content(file_id))]
        kept = [
            {"step": one.get("step_number"), "model": one.get("fine_tuned_model_checkpoint")}
            for one in self.checkpoints(job_id)
            if one.get("fine_tuned_model_checkpoint")
        ]
        return Leavings(events, sorted(kept, key=lambda one: one["step"] or 0))

    def checkpoints(self, job_id: str) -> list[dict[str, Any]]:
        """The checkpoints of a job; none where the host lists none."""
        client = self.sdk.client
        pages = self.pages(
            "listing checkpoints", lambda **page: client.fine_tuning.jobs.checkpoints.list(job_id, **page)
        )
        try:
            return list(pages) if self.profile.events else []
        except HostError as error:
            if error.status in (404, 405, 501):
                return []
            raise

    def cancel(self, job_id: str) -> RemoteJob:
        client = self.sdk.client
        return self._job(plain(self.sdk.call("cancelling the job", lambda: client.fine_tuning.jobs.cancel(job_id))))

    def pause(self, job_id: str) -> RemoteJob:
        client = self.sdk.client
        return self._job(plain(self.sdk.call("pausing the job", lambda: client.fine_tuning.jobs.pause(job_id))))

    def resume(self, job_id: str) -> RemoteJob:
        client = self.sdk.client
        return self._job(plain(self.sdk.call("resuming the job", lambda: client.fine_tuning.jobs.resume(job_id))))

    def download(self, job_id: str, folder: Path) -> None:
        """Write the files that the last checkpoint of a job lists into ``folder``."""
        client = self.sdk.client
        last = max(self.checkpoints(job_id), key=lambda one: one.get("step_number") or 0, default={})
        for file_id in last.get("result_files") or ():
            held = plain(self.sdk.call("looking at a file", lambda file_id=file_id: client.files.retrieve(file_id)))  # type: ignore[misc]
            place = inside(folder, str(held.get("filename") or file_id))
            if place is not None:
                self.sdk.save(f"downloading {place.name}", client.files.with_streaming_response.content(file_id), place)

    def validate_grader(self, form: dict[str, Any]) -> None:
        """Have a grader's form looked at.

        Raises:
            HostError: status 400: the host says what is wrong with it.
        """
        graders = self.sdk.client.fine_tuning.alpha.graders
        self.sdk.call("checking the grader", lambda: graders.validate(grader=form))

    def run_grader(self, form: dict[str, Any], item: dict[str, Any], answer: str) -> Grade:
        """Have an answer graded."""
        graders = self.sdk.client.fine_tuning.alpha.graders
        return grade_of(
            plain(self.sdk.call("grading", lambda: graders.run(grader=form, item=item, model_sample=answer)))
        )

    def content(self, file_id: str) -> bytes:
        """What a file holds, as the host gives it."""
        client = self.sdk.client
        content: bytes = self.sdk.call("reading a file", lambda: client.files.content(file_id)).read()
        return content

    def shutdown_dates(self) -> dict[str, date]:
        """When models stop answering, by their ids, as far as the host says it (``shutdown_date`` of GET /models)."""
        client = self.sdk.client.with_options(timeout=_QUICK_S)
        found = {}
        for model in self.pages("listing models", lambda **page: client.models.list()):
            with contextlib.suppress(ValueError, TypeError):
                found[str(model["id"])] = date.fromisoformat(model.get("shutdown_date"))  # type: ignore[arg-type]
        return found

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs of the account, newest first, as the host lists them."""
        client = self.sdk.client
        return list(self.pages("listing jobs", lambda **page: client.fine_tuning.jobs.list(**page)))

    def pages(self, doing: str, page: Any) -> Iterator[dict[str, Any]]:
        """All items of a list, page by page; ``page`` asks for one, with ``limit`` and ``after``."""
        after: str | None = None
        before: set[str] = set()
        while True:
            options = {"limit": _PAGE} | ({"after": after} if after else {})
            answer = self.sdk.call(doing, lambda options=options: page(**options))  # type: ignore[misc]
            items = [plain(item) for item in (getattr(answer, "data", None) or [])]
            yield from items
            last = str(items[-1].get("id")) if items else None
            # Hosts that do not page say has_more all the same, or send the same page again.
            if not getattr(answer, "has_more", False) or last is None or last in before:
                return
            before.add(last)
            after = last

    def _limits(self) -> Limits | None:
        """What is taken at this address; those of files are the same for all methods."""
        known = load_catalog()
        return known.limits(known.provider_at(self.url), "sft")

    def _file(self, file: dict[str, Any]) -> RemoteFile:
        file_id, status = file.get("id"), str(file.get("status") or "processed").lower()
        if not file_id:
            raise HostError(f"{self.profile.name}: the file has no id", passing=True, unsure=True)
        if status in _FILE_ENDS:
            return RemoteFile(str(file_id), False, str(file.get("status_details") or status))
        return RemoteFile(str(file_id), status == "processed" or not self.profile.wait_for_file)

    def _job(self, job: dict[str, Any]) -> RemoteJob:
        if not job.get("id"):
            raise HostError(f"{self.profile.name}: the job has no id", passing=True, unsure=True)
        status = str(job.get("status") or "queued").lower()
        # The error object is there, empty, when nothing is wrong.
        error = job.get("error") or {}
        message = error.get("message") if isinstance(error, dict) else str(error)
        tokens = job.get("trained_tokens")
        return RemoteJob(
            id=str(job["id"]),
            state=_STATES.get(status, "running"),
            status=status,
            tuned_model=job.get("fine_tuned_model") or None,
            error=message or None,
            trained_tokens=int(tokens) if tokens else None,
        )


def _price(told: dict[str, Any]) -> float | None:
    """The first amount that is called a price or cost: the documents name the call, and not what it answers."""
    for name, held in told.items():
        if "price" in name or "cost" in name:
            with contextlib.suppress(ValueError, TypeError):
                return float(str(held).lstrip("$"))
    return None


def _over(order: Order) -> dict[str, Any]:
    """What the user sends along, each field with what the body says in it and the user does not."""
    return {name: _merged(order.body.get(name), value) for name, value in order.extra.items()}


def _merged(said: Any, more: Any) -> Any:
    """``more`` over what is said, down to its smallest parts."""
    if not isinstance(said, dict) or not isinstance(more, dict):
        return more
    return said | {name: _merged(said.get(name), value) for name, value in more.items()}
