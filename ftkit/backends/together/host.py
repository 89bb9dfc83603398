"""Files and fine-tuning jobs of Together's API."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ftkit.backends.hosted.host import Leavings, Order, RemoteEvent, RemoteFile, RemoteJob
from ftkit.backends.hosted.http import Http
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
_KINDS: dict[str, EventKind] = {
    "checkpoint_save": "checkpoint",
    "job_error": "error",
    "warning": "warning",
    "billing_limit": "warning",
}


class TogetherHost:
    """See :class:`~ftkit.backends.hosted.Host`."""

    def __init__(self, http: Http) -> None:
        self.http, self.url = http, http.url

    def find_file(self, name: str, size: int) -> RemoteFile | None:
        for file in self.http.json("listing files", "GET", "/files").get("data") or []:
            if file.get("filename") == name and file.get("bytes") in (size, 0, None):
                found = _file(file)
                if found.problem is None:
                    return found
        return None

    def upload(self, path: Path, name: str) -> RemoteFile:
        with path.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        asked = {"purpose": "fine-tune", "file_name": name, "file_type": "jsonl", "checksum": checksum}
        form = {field: (None, value) for field, value in asked.items()}  # multipart without a file
        answer = self.http.send("beginning an upload", "POST", "/files", files=form, also=(302, 409))
        if answer.status_code == 409:  # the host has these contents
            known = _id_of(answer)
            if known is None:
                raise HostError("together: it has a file with these contents and does not say which", status=409)
            return self.file(known)
        file_id, location = answer.headers.get("x-together-file-id"), answer.headers.get("location")
        if not file_id or not location:
            raise HostError("together: the upload was not told where to go", passing=True, unsure=True)
        self.http.put_signed("uploading the rows", location, path)
        self.http.send("having the file looked at", "POST", f"/files/{file_id}/preprocess")
        return RemoteFile(file_id, ready=False)

    def file(self, file_id: str) -> RemoteFile:
        return _file(self.http.json("looking at a file", "GET", f"/files/{file_id}"))

    def delete_file(self, file_id: str) -> None:
        self.http.send("deleting a file", "DELETE", f"/files/{file_id}")

    def find_job(self, key: str, kind: str) -> RemoteJob | None:
        for job in self.http.json("looking for the job", "GET", "/fine-tunes").get("data") or []:
            # The suffix is part of the new model's name.
            if key == job.get("suffix") or key in str(job.get("model_output_name") or ""):
                return _job(job)
        return None

    def estimate(self, order: Order) -> float | None:
        names = ("training_file", "validation_file", "model", "n_epochs", "n_evals", "training_type", "training_method")
        asked = {name: order.body[name] for name in names if name in order.body}
        told = self.http.json("estimating the price", "POST", "/fine-tunes/estimate-price", json=asked)
        price = told.get("estimated_total_price")
        if told.get("estimation_available") and told.get("allowed_to_proceed") is False:
            limit = told.get("user_limit")
            raise HostError(
                f"together: the job is estimated at ${price}, and the account may spend "
                f"{'less' if limit is None else f'${limit}'}; add credit at the host. Nothing was charged"
            )
        return None if price is None else float(price)

    def create_job(self, order: Order) -> RemoteJob:
        return _job(self.http.json("creating the job", "POST", "/fine-tunes", json=order.body))

    def job(self, job_id: str) -> RemoteJob:
        return _job(self.http.json("looking at the job", "GET", f"/fine-tunes/{job_id}"))

    def events(self, job_id: str, seen: set[str]) -> Sequence[RemoteEvent]:
        listed = self.http.json("reading events", "GET", f"/fine-tunes/{job_id}/events").get("data") or []
        found = []
        for number, event in enumerate(listed):
            event_id = str(event.get("hash") or f"{number}-{event.get('type')}-{event.get('created_at')}")
            kind = _KINDS.get(str(event.get("type")), "log")
            data: dict[str, Any] = {
                "message": str(event.get("message") or event.get("type")),
                "type": event.get("type"),
            }
            if kind == "checkpoint":
                data["step"] = int(event.get("step") or 0)
            found.append(RemoteEvent(event_id, kind, data))
        metrics = self.http.json("reading metrics", "GET", f"/fine-tunes/{job_id}/metrics").get("metrics") or []
        for row in metrics:
            step, loss = row.get("global_step", row.get("step")), row.get("train/loss", row.get("train_loss"))
            if step is not None and loss is not None:
                data = {"step": int(step), "loss": float(loss)} | (
                    {"learning_rate": row["train/learning_rate"]} if "train/learning_rate" in row else {}
                )
                found.append(RemoteEvent(f"step-{int(step)}", "step", data))
        return found

    def leavings(self, job_id: str) -> Leavings:
        return Leavings()  # the events tell all

    def cancel(self, job_id: str) -> RemoteJob:
        return _job(self.http.json("cancelling the job", "POST", f"/fine-tunes/{job_id}/cancel"))

    def pause(self, job_id: str) -> RemoteJob:
        raise RunError(f"together pauses no jobs ({job_id}); cancel it")

    def resume(self, job_id: str) -> RemoteJob:
        raise RunError(f"together does not resume jobs; start a new run from the checkpoint of {job_id}")

    def download(self, job_id: str, target: Path, which: str) -> None:
        """Fetch the weights, a tar.zst file, into ``target``.

        Args:
            which: ``"adapter"``, or ``"model_output_path"`` of a job that trained all weights.
        """
        asked = {"ft_id": job_id, "checkpoint": which}
        self.http.fetch("downloading the weights", "/finetune/download", target, asked)


def _file(file: dict[str, Any]) -> RemoteFile:
    if not file.get("id"):
        raise HostError("together: the file has no id", passing=True, unsure=True)
    status = str(file.get("processing_status") or ("COMPLETED" if file.get("Processed", True) else "PENDING")).upper()
    if status in ("FAILED", "INVALID_FORMAT"):
        report = file.get("validation_report")
        said = report.get("error") if isinstance(report, dict) else report
        return RemoteFile(file["id"], False, f"{status}: {said or 'no reason given'}")
    return RemoteFile(file["id"], status == "COMPLETED")


def _job(job: dict[str, Any]) -> RemoteJob:
    if not job.get("id"):
        raise HostError("together: the job has no id", passing=True, unsure=True)
    status = str(job.get("status") or "pending").lower()
    state = _STATES.get(status, "running")
    events = job.get("events") or []
    said = next((event.get("message") for event in reversed(events) if event.get("type") == "job_error"), None)
    return RemoteJob(
        id=str(job["id"]),
        state=state,
        status=status,
        tuned_model=job.get("model_output_name"),
        error=str(said or f"the host says {status} and no more") if state == "failed" else None,
        trained_tokens=job.get("token_count") or None,
    )


def _id_of(answer: Any) -> str | None:
    said = answer.headers.get("x-together-file-id")
    if said:
        return str(said)
    try:
        body = answer.json()
    except ValueError:
        return None
    found = body.get("id") or body.get("file_id") if isinstance(body, dict) else None
    return None if found is None else str(found)
