"""Files and fine-tuning jobs of Together's API."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from typing_extensions import override

from ftkit.backends.hosted.answer_reading import optional_text, reads_answers, remote_id
from ftkit.backends.hosted.host import Host, JobQuery, JobRequest, JobResults, RemoteEvent, RemoteFile, RemoteJob
from ftkit.backends.hosted.http import Http
from ftkit.backends.hosted.run_key import unix_seconds
from ftkit.errors import HostError, RunError
from ftkit.store import EventKind, RunState

__all__ = ["TogetherHost"]

_STATES: dict[str, RunState] = {
    "pending": "queued",
    "queued": "queued",
    "running": "running",
    "compressing": "running",
    "uploading": "running",
    "cancel_requested": "running",
    "cancelled": "cancelled",
    "error": "failed",
    "user_error": "failed",
    "completed": "succeeded",
}
_EVENT_KINDS: dict[str, EventKind] = {
    "checkpoint_save": "checkpoint",
    "job_error": "error",
    "warning": "warning",
    "billing_limit": "warning",
}
_PRICED_FIELDS = (
    "training_file",
    "validation_file",
    "model",
    "n_epochs",
    "n_evals",
    "training_type",
    "training_method",
)
"""Fields of a request that its price depends on."""


@reads_answers
class TogetherHost(Host):
    """Together's API.

    Args:
        http: the client.
    """

    repeatable = frozenset({"file"})  # the host knows the contents of a file by their checksum

    def __init__(self, http: Http) -> None:
        self.http, self.name, self.url, self.secret = http, http.name, http.url, http.secret

    @override
    def find_file(self, name: str, size: int) -> RemoteFile | None:
        for file in self.http.json("listing files", "GET", "/files").get("data") or []:
            if file.get("filename") == name and file.get("bytes") in (size, 0, None):
                remote = _remote_file(file)
                if remote.problem is None:
                    return remote
        return None

    @override
    def upload(self, path: Path, name: str) -> RemoteFile:
        with path.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        fields = {"purpose": "fine-tune", "file_name": name, "file_type": "jsonl", "checksum": checksum}
        form = {field: (None, value) for field, value in fields.items()}  # multipart without a file
        response = self.http.send("beginning an upload", "POST", "/files", files=form, accept=(302, 409))
        if response.status_code == 409:  # the host has a file with these contents
            existing = _file_id(response)
            if existing is None:
                raise HostError("together: it has a file with these contents and does not say which", status=409)
            return self.file(existing)
        file_id, location = response.headers.get("x-together-file-id"), response.headers.get("location")
        if not file_id or not location:
            raise HostError("together: the host gave no upload address", passing=True, unsure=True)
        self.http.put_signed("uploading the rows", location, path)
        self.http.send("having the file checked", "POST", f"/files/{file_id}/preprocess")
        return RemoteFile(file_id, ready=False)

    @override
    def file(self, file_id: str) -> RemoteFile:
        return _remote_file(self.http.json("reading a file", "GET", f"/files/{file_id}"))

    @override
    def delete_file(self, file_id: str) -> None:
        self.http.send("deleting a file", "DELETE", f"/files/{file_id}")

    @override
    def find_jobs(self, query: JobQuery) -> Sequence[RemoteJob]:
        jobs = self.http.json("searching for the job", "GET", "/fine-tunes").get("data") or []
        found = [_remote_job(job) for job in jobs if _has_key(job, query.key)]
        return sorted(found, key=lambda job: job.created_at or 0.0)

    @override
    def estimate_price(self, request: JobRequest) -> float | None:
        body = {name: request.body[name] for name in _PRICED_FIELDS if name in request.body}
        response = self.http.json("estimating the price", "POST", "/fine-tunes/estimate-price", json=body)
        price = response.get("estimated_total_price")
        if response.get("estimation_available") and response.get("allowed_to_proceed") is False:
            limit = response.get("user_limit")
            raise HostError(
                f"together: the job is estimated at ${price}, and the account may spend "
                f"{'less' if limit is None else f'${limit}'}; add credit at the host. Nothing was charged"
            )
        return None if price is None else float(price)

    @override
    def create_job(self, request: JobRequest) -> RemoteJob:
        created = self.http.json("creating the job", "POST", "/fine-tunes", json=request.body)
        lost = None
        if not _has_key(created, request.key):
            lost = "without the suffix that ftkit sent: after a lost response ftkit cannot find such a job"
        return replace(_remote_job(created), lost_key=lost)

    @override
    def job(self, job_id: str) -> RemoteJob:
        return _remote_job(self.http.json("reading the job", "GET", f"/fine-tunes/{job_id}"))

    @override
    def events(self, job_id: str, seen: set[str]) -> Sequence[RemoteEvent]:
        listed = self.http.json("reading events", "GET", f"/fine-tunes/{job_id}/events").get("data") or []
        metrics = self.http.json("reading metrics", "GET", f"/fine-tunes/{job_id}/metrics").get("metrics") or []
        events = [_remote_event(number, event) for number, event in enumerate(listed)]
        for row in metrics:
            step, loss = row.get("global_step", row.get("step")), row.get("train/loss", row.get("train_loss"))
            if step is not None and loss is not None:
                rate = {"learning_rate": row["train/learning_rate"]} if "train/learning_rate" in row else {}
                data = {"step": int(step), "loss": float(loss)} | rate
                events.append(RemoteEvent(f"step-{int(step)}", "step", data))
        return events

    @override
    def results(self, job_id: str) -> JobResults:
        return JobResults()  # the events have everything

    @override
    def cancel(self, job_id: str) -> RemoteJob:
        return _remote_job(self.http.json("cancelling the job", "POST", f"/fine-tunes/{job_id}/cancel"))

    @override
    def pause(self, job_id: str) -> RemoteJob:
        raise RunError(f"together cannot pause jobs ({job_id}); cancel it")

    @override
    def resume(self, job_id: str) -> RemoteJob:
        raise RunError(f"together cannot resume jobs; start a new run from the checkpoint of {job_id}")

    def download(self, job_id: str, target: Path, checkpoint: str) -> None:
        """Download the weights, a tar.zst file.

        Args:
            job_id: id of the job.
            target: the file to write.
            checkpoint: ``"adapter"``, or ``"model_output_path"`` for a job that trained all weights.
        """
        params = {"ft_id": job_id, "checkpoint": checkpoint}
        self.http.download("downloading the weights", "/finetune/download", target, params)


def _has_key(job: dict[str, Any], key: str) -> bool:
    """Whether a job was created with a key. The suffix is part of the new model's name."""
    return key == job.get("suffix") or key in str(job.get("model_output_name") or "")


def _remote_file(file: dict[str, Any]) -> RemoteFile:
    file_id = remote_id(file.get("id"), "the file", "together")
    status = str(file.get("processing_status") or ("COMPLETED" if file.get("Processed", True) else "PENDING")).upper()
    if status in ("FAILED", "INVALID_FORMAT"):
        report = file.get("validation_report")
        reason = report.get("error") if isinstance(report, dict) else report
        return RemoteFile(file_id, False, f"{status}: {reason or 'no reason given'}")
    return RemoteFile(file_id, status == "COMPLETED")


def _remote_event(number: int, event: dict[str, Any]) -> RemoteEvent:
    event_id = str(event.get("hash") or f"{number}-{event.get('type')}-{event.get('created_at')}")
    kind = _EVENT_KINDS.get(str(event.get("type")), "log")
    data: dict[str, Any] = {"message": str(event.get("message") or event.get("type")), "type": event.get("type")}
    if kind == "checkpoint":
        data["step"] = int(event.get("step") or 0)
    return RemoteEvent(event_id, kind, data)


def _remote_job(job: dict[str, Any]) -> RemoteJob:
    job_id = remote_id(job.get("id"), "the job", "together")
    status = str(job.get("status") or "pending").lower()
    state = _STATES.get(status, "running")
    events = job.get("events") or []
    reason = next((event.get("message") for event in reversed(events) if event.get("type") == "job_error"), None)
    return RemoteJob(
        id=job_id,
        state=state,
        status=status,
        tuned_model=optional_text(job.get("model_output_name")),
        error=str(reason or f"the host reports {status} and gives no reason") if state == "failed" else None,
        trained_tokens=job.get("token_count") or None,
        created_at=unix_seconds(job.get("created_at")),
    )


def _file_id(response: Any) -> str | None:
    """The id of a file in a response's headers or body."""
    header = response.headers.get("x-together-file-id")
    if header:
        return str(header)
    try:
        body = response.json()
    except ValueError:
        return None
    file_id = body.get("id") or body.get("file_id") if isinstance(body, dict) else None
    return None if file_id is None else str(file_id)
