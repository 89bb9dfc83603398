"""Datasets and fine-tuning jobs of Fireworks' API. The caller names resources, so nothing is created twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ftkit.backends.hosted.host import Leavings, Order, RemoteEvent, RemoteFile, RemoteJob
from ftkit.backends.hosted.http import Http
from ftkit.backends.hosted.weight_download import inside
from ftkit.errors import HostError, RunError
from ftkit.store import RunState

__all__ = ["TUNING", "FireworksHost"]

TUNING = {"sft": "supervisedFineTuningJobs", "dpo": "dpoJobs", "rft": "reinforcementFineTuningJobs"}
"""The collection of jobs of each kind of recipe."""

_SMALL_BYTES = 100_000_000
"""Above this a file goes to a signed address; the host's own limit is given as about 150 MB."""

_ENDED: dict[str, RunState] = {
    "COMPLETED": "succeeded",
    "EARLY_STOPPED": "succeeded",
    "FAILED": "failed",
    "EXPIRED": "failed",
    "DELETING": "failed",
    "DELETED": "failed",
    "CANCELLED": "cancelled",
}
_QUEUED = {"UNSPECIFIED", "CREATING", "PENDING", "VALIDATING", "RE_QUEUEING", "IDLE"}


class FireworksHost:
    """See :class:`~ftkit.backends.hosted.Host`. Jobs go by their whole resource name."""

    def __init__(self, http: Http, account: str) -> None:
        self.http, self.url = http, http.url
        self._account = f"/v1/accounts/{account}"

    def find_file(self, name: str, size: int) -> RemoteFile | None:
        try:
            found = self.file(_dataset(name))
        except HostError as error:
            if error.status == 404:
                return None
            raise
        # One that waits for its bytes is of an upload that was cut off: send them again.
        return found if found.ready else None

    def upload(self, path: Path, name: str) -> RemoteFile:
        dataset = _dataset(name)
        with path.open("rb") as file:
            rows = sum(1 for _ in file)
        body = {"datasetId": dataset, "dataset": {"userUploaded": {}, "exampleCount": str(rows), "format": "CHAT"}}
        self.http.send("creating a dataset", "POST", f"{self._account}/datasets", json=body, also=(409,))
        place = f"{self._account}/datasets/{dataset}"
        size = path.stat().st_size
        if size <= _SMALL_BYTES:
            with path.open("rb") as file:
                self.http.send("uploading the rows", "POST", f"{place}:upload", files={"file": (name, file)})
        else:
            asked = {"filenameToSize": {name: str(size)}}
            told = self.http.json("asking where to upload", "POST", f"{place}:getUploadEndpoint", json=asked)
            urls = told.get("filenameToSignedUrls") or {}
            if name not in urls:
                raise HostError("fireworks: the upload was not told where to go", passing=True, unsure=True)
            self.http.put_signed("uploading the rows", urls[name], path)
            self.http.send("having the file looked at", "POST", f"{place}:validateUpload", json={})
        return self.file(dataset)

    def file(self, file_id: str) -> RemoteFile:
        found = self.http.json("looking at a dataset", "GET", f"{self._account}/datasets/{file_id}")
        status = found.get("status") or {}
        problem = status.get("message") if status.get("code") not in (None, "OK", 0) else None
        return RemoteFile(file_id, found.get("state") == "READY", problem)

    def delete_file(self, file_id: str) -> None:
        self.http.send("deleting a dataset", "DELETE", f"{self._account}/datasets/{file_id}")

    def find_job(self, key: str, kind: str) -> RemoteJob | None:
        try:
            return self.job(f"{self._account[4:]}/{TUNING[kind]}/{key}")
        except HostError as error:
            if error.status == 404:
                return None
            raise

    def estimate(self, order: Order) -> float | None:
        if order.kind != "sft":
            return None  # it estimates no other jobs
        path = f"{self._account}/{TUNING[order.kind]}:estimateCost"
        told = self.http.json("estimating the cost", "POST", path, json=self._body(order))
        return _money(told.get("estimatedCost"))

    def create_job(self, order: Order) -> RemoteJob:
        collection = TUNING[order.kind]
        path = f"{self._account}/{collection}"
        asked = {f"{collection[:-1]}Id": order.key}
        return _job(self.http.json("creating the job", "POST", path, params=asked, json=self._body(order)))

    def _body(self, order: Order) -> dict[str, Any]:
        """The order, its datasets by their whole names."""
        place = f"{self._account[4:]}/datasets"
        return order.body | {name: f"{place}/{order.body[name]}" for name in _FILES if name in order.body}

    def job(self, job_id: str) -> RemoteJob:
        return _job(self.http.json("looking at the job", "GET", f"/v1/{job_id}"))

    def events(self, job_id: str, seen: set[str]) -> Sequence[RemoteEvent]:
        """Its progress, as the host keeps no list of events."""
        job = self.http.json("looking at the job", "GET", f"/v1/{job_id}")
        progress = job.get("jobProgress") or {}
        if progress.get("percent") is None:
            return ()
        mark = f"{progress.get('percent')}-{progress.get('epoch')}"
        data = {"message": f"{progress['percent']} % done", "type": "progress"} | progress
        return (RemoteEvent(mark, "log", data),)

    def leavings(self, job_id: str) -> Leavings:
        return Leavings()  # the events tell all

    def cancel(self, job_id: str) -> RemoteJob:
        self.http.send("cancelling the job", "POST", f"/v1/{job_id}:cancel", json={})
        return self.job(job_id)

    def download(self, model: str, folder: Path) -> None:
        """Fetch the files of a tuned model, by its whole resource name, into ``folder``."""
        told = self.http.json("asking for the weights", "GET", f"/v1/{model}:getDownloadEndpoint")
        for name, url in (told.get("filenameToSignedUrls") or {}).items():
            place = inside(folder, str(name))
            if place is not None:
                self.http.get_signed(f"downloading {place.name}", str(url), place)

    def pause(self, job_id: str) -> RemoteJob:
        raise RunError(f"fireworks pauses no jobs ({job_id}); cancel it")

    def resume(self, job_id: str) -> RemoteJob:
        self.http.send("resuming the job", "POST", f"/v1/{job_id}:resume", json={})
        return self.job(job_id)


_FILES = ("dataset", "evaluationDataset")


def _dataset(name: str) -> str:
    return name.removesuffix(".jsonl")


def _job(job: dict[str, Any]) -> RemoteJob:
    if not job.get("name"):
        raise HostError("fireworks: the job has no name", passing=True, unsure=True)
    status = str(job.get("state") or "").removeprefix("JOB_STATE_")
    state = _ENDED.get(status, "queued" if status in _QUEUED else "running")
    told = job.get("status") or {}
    return RemoteJob(
        id=str(job["name"]),
        state=state,
        status=status,
        tuned_model=job.get("outputModel"),
        error=str(told.get("message") or f"the host says {status} and no more") if state == "failed" else None,
        cost_usd=_money(job.get("estimatedCost")),
    )


def _money(cost: Any) -> float | None:
    """Google's money: whole units in a string, and billionths."""
    if not isinstance(cost, dict) or cost.get("currencyCode", "USD") != "USD":
        return None
    return float(cost.get("units") or 0) + float(cost.get("nanos") or 0) / 1e9
