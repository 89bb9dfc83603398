"""A fake of Together's files, fine-tunes and weights, as its public specification describes them."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import zstandard

from .chat import completion
from .openapi import OpenApi
from .serving import Call, Fake, Reply, form

_LIFE = ("pending", "queued", "running", "running", "compressing", "uploading", "completed")


_LIMITS = {
    "default_gradient_accumulation_steps": 1, "max_num_epochs": 20, "max_num_evals": 100, "max_num_checkpoints": 10,
    "max_learning_rate": 1.0, "min_learning_rate": 1e-8, "min_max_seq_length": 128, "max_seq_length_sft": 32768,
    "max_seq_length_dpo": 16384, "supports_vision": False, "supports_tools": True, "supports_reasoning": False,
    "supports_full_training": False, "merge_output_lora": True,
    "lora_training": {
        "max_batch_size": 128, "max_batch_size_dpo": 64, "min_batch_size": 8, "default_rank": 16, "max_rank": 64,
        "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"],
    },
}  # fmt: skip

UNLISTED = frozenset({"POST /files", "POST /files/{id}/preprocess", "PUT /signed/{name}", "GET /signed/{name}"})
"""What the official client calls and the public specification does not have."""


DEVIATIONS = (r"\.logprobs: None is not", r"'prompt' is a required")
"""Of chat completions, whose answers are OpenAI's."""


class TogetherFake(Fake):
    """One account. Jobs move on by one state each time they are looked at; files by one when asked for."""

    provider = "together"

    def __init__(self) -> None:
        super().__init__()
        self.spec = OpenApi(
            "together-openapi.yaml",
            unlisted=UNLISTED,
            deviations=DEVIATIONS,
            also=frozenset({"early_stopping_enabled"}),
        )
        self.files: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.looks: dict[str, int] = {}
        self.invalid = ""
        self.estimate: dict[str, Any] = {
            "estimation_available": True, "allowed_to_proceed": True, "estimated_total_price": 6.8,
            "estimated_train_token_count": 20_000_000, "estimated_eval_token_count": 0, "user_limit": 100,
        }  # fmt: skip
        self.weights = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"\0" * 8}
        self.count = 0

    def answer(self, call: Call) -> Reply:
        if call.path.startswith("/signed/"):
            assert "authorization" not in call.headers, "a signed address was shown the key"
            if call.method == "PUT":
                self.contents[call.path.rpartition("/")[2]] = call.body
                return 200, b"", {}
            return 200, packed(self.weights), {"content-type": "application/zstd"}
        if call.headers.get("authorization") != f"Bearer {self.key}":
            return 401, {"error": {"message": "Invalid API key provided", "code": "invalid_api_key"}}, {}
        match (call.method, *call.path.removeprefix("/v1/").split("/")):
            case ("POST", "files"):
                asked = {name: held.decode() for name, (_, held) in form(call).items()}
                known = [
                    one
                    for one in self.files.values()
                    if one["checksum"] == asked["checksum"] and one["id"] in self.contents
                ]
                if known:
                    return 409, {"file_id": known[0]["id"], "message": "duplicate"}, {}
                self.count += 1
                file_id = f"file-{self.count}"
                self.files[file_id] = {
                    "id": file_id,
                    "object": "file",
                    "filename": asked["file_name"],
                    "checksum": asked["checksum"],
                    "bytes": 0,
                    "created_at": 1_790_000_000,
                    "purpose": asked["purpose"],
                    "FileType": asked["file_type"],
                    "Processed": True,
                    "LineCount": 0,
                    "processing_status": "PENDING",
                }
                return 302, b"", {"location": f"{self.url}/signed/{file_id}", "x-together-file-id": file_id}
            case ("GET", "files"):
                return 200, {"data": [one for one in self.files.values() if one["id"] in self.contents]}, {}
            case ("POST", "files", file_id, "preprocess"):
                self.files[file_id] |= {"processing_status": "QUEUED", "bytes": len(self.contents[file_id])}
                return 200, self.files[file_id], {}
            case ("GET", "files", file_id):
                file = self.files[file_id]
                following = {"PENDING": "QUEUED", "QUEUED": "RUNNING", "RUNNING": "COMPLETED"}
                file["processing_status"] = following.get(file["processing_status"], file["processing_status"])
                if self.invalid:
                    file |= {
                        "processing_status": "INVALID_FORMAT",
                        "validation_report": {"valid": False, "error": self.invalid},
                    }
                return 200, file, {}
            case ("DELETE", "files", file_id):
                self.contents.pop(file_id, None)
                found = self.files.pop(file_id, None)
                return (200, {"id": file_id, "deleted": True}, {}) if found else (404, {"error": "no such file"}, {})
            case ("GET", "fine-tunes", "models", "limits"):
                return 200, _LIMITS | {"model_name": call.query["model_name"]}, {}
            case ("POST", "fine-tunes", "estimate-price"):
                return 200, self.estimate, {}
            case ("GET", "fine-tunes", job_id, "checkpoints"):
                return 200, {"data": []}, {}
            case ("POST", "fine-tunes"):
                return self._create(call.json())
            case ("GET", "fine-tunes"):
                return 200, {"data": list(self.jobs.values())}, {}
            case ("GET", "fine-tunes", job_id):
                return self._look(self.jobs[job_id])
            case ("GET", "fine-tunes", job_id, "events"):
                return 200, {"data": self.jobs[job_id]["events"]}, {}
            case ("GET", "fine-tunes", job_id, "metrics"):
                steps = min(2, max(0, self.looks[job_id] - 1))
                return (
                    200,
                    {"metrics": [{"global_step": step, "train/loss": 1 / step} for step in range(1, steps + 1)]},
                    {},
                )
            case ("POST", "fine-tunes", job_id, "cancel"):
                self.jobs[job_id]["status"] = "cancelled"
                return 200, self.jobs[job_id], {}
            case ("POST", "chat", "completions"):
                return 200, completion(call.json(), self.answers), {}
            case ("GET", "finetune", "download"):
                return 302, b"", {"location": f"{self.url}/signed/weights"}
        return 404, {"error": {"message": f"no {call.path}"}}, {}

    def _create(self, asked: dict[str, Any]) -> Reply:
        assert len(asked["suffix"]) <= 40
        if self.files.get(asked["training_file"], {}).get("processing_status") != "COMPLETED":
            return 400, {"error": {"message": "the file is not ready"}}, {}
        self.count += 1
        job_id = f"ft-{self.count}"
        name = f"acme/{asked['model'].rpartition('/')[2]}-{asked['suffix']}-{self.count:08x}"
        self.jobs[job_id] = {
            "id": job_id,
            **asked,
            "batch_size": 8 if asked["batch_size"] == "max" else asked["batch_size"],
            "status": "pending",
            "model_output_name": name,
            "created_at": "2026-11-24T00:00:00Z",
            "updated_at": "2026-11-24T00:00:00Z",
            "token_count": 0,
            "total_price": 0,
            "events": [],
        }
        self.looks[job_id] = 0
        return 200, self.jobs[job_id], {}

    def _look(self, job: dict[str, Any]) -> Reply:
        if job["status"] not in ("completed", "cancelled", "error"):
            self.looks[job["id"]] += 1
            job["status"] = _LIFE[min(self.looks[job["id"]], len(_LIFE) - 1)]
            sort = {"running": "training_start", "completed": "job_complete"}.get(job["status"], "job_pending")
            job["events"].append(
                {
                    "object": "fine-tune-event",
                    "type": sort,
                    "message": f"now {job['status']}",
                    "created_at": "2026-11-24T00:00:00Z",
                    "hash": f"h{len(job['events'])}",
                    "param_count": 0,
                    "token_count": 0,
                    "total_steps": 2,
                    "wandb_url": "",
                    "step": 0,
                    "checkpoint_path": "",
                    "model_path": "",
                    "training_offset": 0,
                }
            )
            if job["status"] == "completed":
                job["token_count"] = 20_000_000
        return 200, job, {}


def packed(files: dict[str, bytes]) -> bytes:
    """Weights as the host packs them."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return zstandard.ZstdCompressor().compress(raw.getvalue())
