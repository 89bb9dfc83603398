"""Datasets and fine-tuning jobs of Fireworks' API. The caller chooses resource names, so nothing is created twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from ftkit.backends.hosted.answer_reading import optional_text, reads_answers, remote_id
from ftkit.backends.hosted.host import Host, JobQuery, JobRequest, JobResults, RemoteEvent, RemoteFile, RemoteJob
from ftkit.backends.hosted.http import Http
from ftkit.backends.hosted.weights import HostFiles
from ftkit.errors import HostError, RunError
from ftkit.store import RunState

__all__ = ["FireworksHost"]

_COLLECTIONS = {"sft": "supervisedFineTuningJobs", "dpo": "dpoJobs", "rft": "reinforcementFineTuningJobs"}
"""The collection of jobs by kind of recipe."""

_MAX_DIRECT_UPLOAD_BYTES = 100_000_000
"""A larger file is uploaded to a signed URL. The host's own limit is about 150 MB."""

_FINAL_STATES: dict[str, RunState] = {
    "COMPLETED": "succeeded",
    "EARLY_STOPPED": "succeeded",
    "FAILED": "failed",
    "EXPIRED": "failed",
    "DELETING": "failed",
    "DELETED": "failed",
    "CANCELLED": "cancelled",
}
_QUEUED_STATES = {"UNSPECIFIED", "CREATING", "PENDING", "VALIDATING", "RE_QUEUEING", "IDLE"}
_FILE_FIELDS = ("dataset", "evaluationDataset")


@reads_answers
class FireworksHost(Host):
    """Fireworks' API. Ids of jobs are full resource names.

    Args:
        http: the client.
        account: id of the account.
    """

    repeatable = frozenset({"file", "job"})  # ftkit chooses their names

    def __init__(self, http: Http, account: str) -> None:
        self.http, self.name, self.url, self.secret = http, http.name, http.url, http.secret
        self._account = f"accounts/{account}"

    @override
    def find_file(self, name: str, size: int) -> RemoteFile | None:
        try:
            file = self.file(_dataset_id(name))
        except HostError as error:
            if error.status == 404:
                return None
            raise
        # A dataset that is not ready is of an interrupted upload: the rows are sent again.
        return file if file.ready else None

    @override
    def upload(self, path: Path, name: str) -> RemoteFile:
        dataset = _dataset_id(name)
        with path.open("rb") as file:
            rows = sum(1 for _ in file)
        body = {"datasetId": dataset, "dataset": {"userUploaded": {}, "exampleCount": str(rows), "format": "CHAT"}}
        datasets = f"/v1/{self._account}/datasets"
        self.http.send("creating a dataset", "POST", datasets, json=body, accept=(409,))
        size = path.stat().st_size
        if size <= _MAX_DIRECT_UPLOAD_BYTES:
            with path.open("rb") as file:
                upload = f"{datasets}/{dataset}:upload"
                self.http.send("uploading the rows", "POST", upload, files={"file": (name, file)})
        else:
            endpoint = f"{datasets}/{dataset}:getUploadEndpoint"
            sizes = {"filenameToSize": {name: str(size)}}
            response = self.http.json("asking for an upload address", "POST", endpoint, json=sizes)
            urls = response.get("filenameToSignedUrls") or {}
            if name not in urls:
                raise HostError("fireworks: the host gave no upload address", passing=True, unsure=True)
            self.http.put_signed("uploading the rows", urls[name], path)
            self.http.send("having the file checked", "POST", f"{datasets}/{dataset}:validateUpload", json={})
        return self.file(dataset)

    @override
    def file(self, file_id: str) -> RemoteFile:
        dataset = self.http.json("reading a dataset", "GET", f"/v1/{self._account}/datasets/{file_id}")
        status = dataset.get("status") or {}
        problem = status.get("message") if status.get("code") not in (None, "OK", 0) else None
        return RemoteFile(file_id, dataset.get("state") == "READY", problem)

    @override
    def delete_file(self, file_id: str) -> None:
        self.http.send("deleting a dataset", "DELETE", f"/v1/{self._account}/datasets/{file_id}")

    @override
    def find_jobs(self, query: JobQuery) -> Sequence[RemoteJob]:
        try:
            return (self.job(f"{self._account}/{_COLLECTIONS[query.kind]}/{query.key}"),)
        except HostError as error:
            if error.status == 404:
                return ()
            raise

    @override
    def estimate_price(self, request: JobRequest) -> float | None:
        if request.kind != "sft":
            return None  # the host estimates no other jobs
        path = f"/v1/{self._account}/{_COLLECTIONS[request.kind]}:estimateCost"
        response = self.http.json("estimating the cost", "POST", path, json=self._body(request))
        return _usd(response.get("estimatedCost"))

    @override
    def create_job(self, request: JobRequest) -> RemoteJob:
        collection = _COLLECTIONS[request.kind]
        path, params = f"/v1/{self._account}/{collection}", {f"{collection[:-1]}Id": request.key}
        return _remote_job(self.http.json("creating the job", "POST", path, params=params, json=self._body(request)))

    def _body(self, request: JobRequest) -> dict[str, Any]:
        """The request with the full names of its datasets."""
        names = {field: request.body[field] for field in _FILE_FIELDS if field in request.body}
        return request.body | {field: f"{self._account}/datasets/{name}" for field, name in names.items()}

    @override
    def job(self, job_id: str) -> RemoteJob:
        return _remote_job(self.http.json("reading the job", "GET", f"/v1/{job_id}"))

    @override
    def events(self, job_id: str, seen: set[str]) -> Sequence[RemoteEvent]:
        # The host has no list of events; the job's progress is reported as events.
        job = self.http.json("reading the job", "GET", f"/v1/{job_id}")
        progress = job.get("jobProgress") or {}
        if progress.get("percent") is None:
            return ()
        event_id = f"{progress.get('percent')}-{progress.get('epoch')}"
        data = {"message": f"{progress['percent']} % done", "type": "progress"} | progress
        return (RemoteEvent(event_id, "log", data),)

    @override
    def results(self, job_id: str) -> JobResults:
        return JobResults()

    @override
    def cancel(self, job_id: str) -> RemoteJob:
        self.http.send("cancelling the job", "POST", f"/v1/{job_id}:cancel", json={})
        return self.job(job_id)

    def download(self, model: str, folder: Path) -> None:
        """Download the files of a tuned model.

        Args:
            model: the model's full resource name.
            folder: the folder to write to.
        """
        response = self.http.json("asking for the weights", "GET", f"/v1/{model}:getDownloadEndpoint")
        files = HostFiles(folder, self.name)
        paths = [(files.path(str(name)), url) for name, url in (response.get("filenameToSignedUrls") or {}).items()]
        for path, url in paths:
            self.http.download_signed(f"downloading {path.name}", str(url), path)

    @override
    def pause(self, job_id: str) -> RemoteJob:
        raise RunError(f"fireworks cannot pause jobs ({job_id}); cancel it")

    @override
    def resume(self, job_id: str) -> RemoteJob:
        self.http.send("resuming the job", "POST", f"/v1/{job_id}:resume", json={})
        return self.job(job_id)


def _dataset_id(name: str) -> str:
    return name.removesuffix(".jsonl")


def _remote_job(job: dict[str, Any]) -> RemoteJob:
    name = remote_id(job.get("name"), "the job", "fireworks")
    status = str(job.get("state") or "").removeprefix("JOB_STATE_")
    state = _FINAL_STATES.get(status, "queued" if status in _QUEUED_STATES else "running")
    reason = (job.get("status") or {}).get("message")
    return RemoteJob(
        id=name,
        state=state,
        status=status,
        tuned_model=optional_text(job.get("outputModel")),
        error=str(reason or f"the host reports {status} and gives no reason") if state == "failed" else None,
        cost_usd=_usd(job.get("estimatedCost")),
    )


def _usd(amount: Any) -> float | None:
    """Google's ``Money`` in US dollars: whole units in a string, and billionths."""
    if not isinstance(amount, dict) or amount.get("currencyCode", "USD") != "USD":
        return None
    return float(amount.get("units") or 0) + float(amount.get("nanos") or 0) / 1e9
