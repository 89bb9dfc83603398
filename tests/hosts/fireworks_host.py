"""A fake of Fireworks' datasets and fine-tuning jobs, as its public reference describes them."""

from __future__ import annotations

from typing import Any

from .chat import completion
from .serving import Call, Fake, Reply, form

_LIFE = ("CREATING", "PENDING", "VALIDATING", "RUNNING", "RUNNING", "WRITING_RESULTS", "COMPLETED")


class FireworksFake(Fake):
    """One account, ``acme``. Names are the caller's; a name that is taken answers 409."""

    provider = "fireworks"

    def __init__(self) -> None:
        super().__init__()
        self.datasets: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.looks: dict[str, int] = {}
        self.estimate: dict[str, Any] = {"currencyCode": "USD", "units": "3", "nanos": 250_000_000}
        self.weights = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"\0" * 8}

    def answer(self, call: Call) -> Reply:
        if call.path.startswith("/signed/"):
            assert "authorization" not in call.headers, "a signed address was shown the key"
            return 200, self.weights[call.path.removeprefix("/signed/")], {"content-type": "application/octet-stream"}
        if call.headers.get("authorization") != f"Bearer {self.key}":
            return _error(401, "UNAUTHENTICATED", "bad key")
        if call.path == "/inference/v1/chat/completions":
            return 200, completion(call.json(), self.answers), {}
        path = call.path.removeprefix("/v1/accounts/acme/")
        collection, _, rest = path.partition("/")
        name, _, action = rest.partition(":")
        if collection == "datasets":
            return self._dataset(call, name, action)
        if path == "supervisedFineTuningJobs:estimateCost":
            dataset = call.json()["dataset"].rpartition("/")[2]
            if dataset not in self.datasets:
                return _error(404, "NOT_FOUND", "no such dataset")
            return 200, {"estimatedCost": self.estimate}, {}
        if collection == "models" and action == "getDownloadEndpoint":
            if not any(job.get("outputModel") == f"accounts/acme/models/{name}" for job in self.jobs.values()):
                return _error(404, "NOT_FOUND", "no such model")
            return 200, {"filenameToSignedUrls": {file: f"{self.url}/signed/{file}" for file in self.weights}}, {}
        return self._job(call, collection, name, action)

    def _dataset(self, call: Call, name: str, action: str) -> Reply:
        if call.method == "POST" and not name:
            asked = call.json()
            if asked["datasetId"] in self.datasets:
                return _error(409, "ALREADY_EXISTS", "it exists")
            assert asked["dataset"]["exampleCount"].isdigit()
            made = {"name": f"accounts/acme/datasets/{asked['datasetId']}", "state": "UPLOADING", **asked["dataset"]}
            self.datasets[asked["datasetId"]] = made
            return 200, made, {}
        if name not in self.datasets:
            return _error(404, "NOT_FOUND", "no such dataset")
        if call.method == "DELETE":
            del self.datasets[name]
            return 200, {}, {}
        if action == "upload":
            self.contents[name] = form(call)["file"][1]
            self.datasets[name]["state"] = "READY"
        return 200, {**self.datasets[name], "status": {"code": "OK", "message": ""}}, {}

    def _job(self, call: Call, collection: str, name: str, action: str) -> Reply:
        if call.method == "POST" and not name:
            name = call.query[f"{collection[:-1]}Id"]
            key = f"accounts/acme/{collection}/{name}"
            if key in self.jobs:
                return _error(409, "ALREADY_EXISTS", "it exists")
            asked = call.json()
            assert asked["dataset"].rpartition("/")[2] in self.datasets
            self.jobs[key] = {"name": key, "state": "JOB_STATE_CREATING", **asked}
            self.looks[key] = 0
            return 200, self.jobs[key], {}
        key = f"accounts/acme/{collection}/{name}"
        if key not in self.jobs:
            return _error(404, "NOT_FOUND", "no such job")
        job = self.jobs[key]
        if action == "cancel":
            job["state"] = "JOB_STATE_CANCELLED"
        elif action == "resume":
            job["state"] = "JOB_STATE_RUNNING"
        elif job["state"].removeprefix("JOB_STATE_") not in ("COMPLETED", "CANCELLED", "FAILED", "PAUSED"):
            self.looks[key] += 1
            at = min(self.looks[key] // 2, len(_LIFE) - 1)  # a look at the job, and one at its progress
            job |= {"state": f"JOB_STATE_{_LIFE[at]}", "jobProgress": {"percent": 100 * at // 6, "epoch": 0}}
            if _LIFE[at] == "COMPLETED":
                job |= {
                    "outputModel": f"accounts/acme/models/{name}",
                    "estimatedCost": self.estimate,
                }
        return 200, job, {}


def _error(status: int, code: str, message: str) -> Reply:
    return status, {"error": {"code": code, "message": message, "status": code}}, {}
