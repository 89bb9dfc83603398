"""A fake of OpenAI's files, uploads, fine-tuning jobs and chat completions, with the deviations of the real one."""

from __future__ import annotations

import base64
import json
from typing import Any

from .batches import Batches
from .chat import completion
from .openapi import OpenApi
from .reasoning import REASONING_MODELS, refusal, response
from .serving import Call, Fake, Reply, form

_LIFE = ("validating_files", "queued", "running", "running", "succeeded")


DEVIATIONS = (
    r"^\S*\.error: \{",  # there, and empty, when nothing is wrong
    r"'(finished_at|hyperparameters|trained_tokens)' is a required property",
    r"^\S*\.data: None is not",  # of an event without metrics
    r"'paused' is not one of",
    r"^\S*\.status: '(pending|running)' is not one of",  # of a file at Azure
    r"'seed' is a required",
    r"'python_grader_\w+' is a required",
    r"token_usage: \{",
)
"""How answers of the real API differ from its own specification, by the specification's own examples."""


def embedding(text: str) -> list[float]:
    """What the fake embeds a text as: how often each letter stands in it."""
    return [float(text.lower().count(letter)) for letter in "abcdefghijklmnopqrstuvwxyz "]


_UPLOAD = {"created_at": 1_790_000_000, "expires_at": 1_790_003_600}


class OpenAIFake(Fake):
    """One account. Jobs move on by one state each time they are looked at.

    Attributes:
        closed: the organisation may not create jobs.
    """

    provider = "openai"

    def __init__(self) -> None:
        super().__init__()
        self.price: float | None = 2.5
        self.spec = OpenApi(
            "openai-finetuning-openapi.yaml",
            unlisted=frozenset({"POST /embeddings", "POST /responses"}),
            also=frozenset({"trainingType"}),
            deviations=DEVIATIONS,
        )
        self.files: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.looks: dict[str, int] = {}
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.uploads: dict[str, dict[str, Any]] = {}
        self.models: list[dict[str, Any]] = []
        self.closed = False
        self.fails = ""
        self.file_status = ["processed"]
        self.filters = True
        self.checkpoint_files: dict[int, list[str]] = {}
        self.rejects: dict[str, str] = {}
        self.count = 0
        self.batches = Batches(self)

    def answer(self, call: Call) -> Reply:
        if call.headers.get("authorization") != f"Bearer {self.key}":
            return _error(401, f"Incorrect API key provided: {call.headers.get('authorization')}", "invalid_api_key")
        path = call.path.removeprefix("/v1")
        parts = path.strip("/").split("/")
        match (call.method, *parts):
            case ("POST", "files"):
                return self._upload(form(call))
            case ("GET", "files"):
                wanted = [
                    one for one in self.files.values() if one["purpose"] == call.query.get("purpose", one["purpose"])
                ]
                return self.page(wanted[::-1], call)
            case ("GET", "files", file_id):
                return self._file(file_id)
            case ("GET", "files", file_id, "content"):
                return 200, self.contents[file_id], {"content-type": "application/octet-stream"}
            case ("DELETE", "files", file_id):
                if self.files.pop(file_id, None) is None:
                    return _error(404, "No such File object", None)
                return 200, {"id": file_id, "object": "file", "deleted": True}, {}
            case ("POST", "uploads", *rest):
                return self._parts(rest, call)
            case ("POST", "fine_tuning", "jobs"):
                return self._create(call)
            case ("GET", "fine_tuning", "jobs"):
                return self._list(call)
            case ("POST", "fine_tuning", "jobs", "estimate_price"):  # Crusoe's
                if call.json()["training_file"] not in self.files:
                    return _error(400, "no such file", None)
                return 200, {"estimated_price": self.price, "currency": "USD"}, {}
            case ("GET", "fine_tuning", "jobs", job_id):
                return self._look(job_id)
            case ("POST", "fine_tuning", "jobs", job_id, action):
                return self._act(job_id, action)
            case ("GET", "fine_tuning", "jobs", job_id, "events"):
                return self.page(self.events[job_id][::-1], call)
            case ("GET", "fine_tuning", "jobs", job_id, "checkpoints"):
                return self.page(self._checkpoints(self.jobs[job_id]), call)
            case ("POST", "fine_tuning", "alpha", "graders", action):
                return self._grade(action, call)
            case ("GET", "models"):
                return 200, {"object": "list", "data": self.models}, {}
            case ("POST", "chat", "completions"):
                status, body = self.chat(call.json())
                return status, body, {"x-request-id": "req_1"}
            case ("POST", "responses"):
                return self.respond(call.json())
            case ("POST", "embeddings"):
                return self._embed(call.json())
            case (_, "batches", *rest):
                return self.batches.answer(call, rest)
        return _error(404, f"no such path {path}", None)

    def _embed(self, asked: dict[str, Any]) -> Reply:
        """The API's answer to what its reference lets be asked; longest text 8,192 tokens, here of two characters."""
        assert asked.keys() <= {"input", "model", "encoding_format", "dimensions", "user"}
        texts = asked["input"]
        assert asked["encoding_format"] == "float"
        assert 0 < len(texts) <= 2048
        if not all(texts):
            return _error(400, "Invalid 'input': input cannot be an empty string.", None)
        if any(len(text) > 2 * 8192 for text in texts):
            message = "This model's maximum context length is 8192 tokens, however you requested more."
            return _error(400, message, None)
        data = [
            {"object": "embedding", "index": number, "embedding": embedding(text)} for number, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        return 200, {"object": "list", "data": data[::-1], "model": asked["model"], "usage": usage}, {}

    def new_id(self, begin: str) -> str:
        self.count += 1
        return f"{begin}{self.count:06d}"

    def keep(self, name: str, content: bytes, purpose: str) -> dict[str, Any]:
        file = {
            "id": self.new_id("file-"),
            "object": "file",
            "bytes": len(content),
            "created_at": 1_790_000_000 + self.count,
            "filename": name,
            "purpose": purpose,
            "status": self.file_status[0],
        }
        self.files[file["id"]] = file
        self.contents[file["id"]] = content
        return file

    def _upload(self, parts: dict[str, tuple[str | None, bytes]]) -> Reply:
        name, content = parts["file"]
        return 200, self.keep(str(name), content, parts["purpose"][1].decode()), {}

    def _parts(self, rest: list[str], call: Call) -> Reply:
        match rest:
            case []:
                asked = call.json()
                upload = {
                    "id": self.new_id("upload_"),
                    "object": "upload",
                    "status": "pending",
                    **asked,
                    **_UPLOAD,
                    "parts": {},
                }
                self.uploads[upload["id"]] = upload
            case [upload_id, "parts"]:
                part = self.new_id("part_")
                self.uploads[upload_id]["parts"][part] = form(call)["data"][1]
                return 200, {"id": part, "object": "upload.part", "upload_id": upload_id, "created_at": 1}, {}
            case [upload_id, "complete"]:
                upload = self.uploads[upload_id]
                content = b"".join(upload["parts"][part] for part in call.json()["part_ids"])
                assert len(content) == upload["bytes"]
                file = self.keep(upload["filename"], content, upload["purpose"])
                upload |= {"status": "completed", "file": file}
            case [upload_id, "cancel"]:
                upload = self.uploads[upload_id]
                upload["status"] = "cancelled"
        return 200, {name: held for name, held in upload.items() if name != "parts"}, {}

    def _file(self, file_id: str) -> Reply:
        if file_id not in self.files:
            return _error(404, "No such File object", None)
        if len(self.file_status) > 1:
            self.file_status.pop(0)
        self.files[file_id]["status"] = self.file_status[0]
        return 200, self.files[file_id], {}

    def _create(self, call: Call) -> Reply:
        if self.closed:
            return _error(403, "Your organization can no longer create fine-tuning jobs.", "training_not_available")
        asked = call.json()
        if asked["training_file"] not in self.files:
            return _error(400, "invalid training_file", "invalid_file")
        if self.files[asked["training_file"]]["status"] not in ("processed", "uploaded"):
            return _error(400, "file is not ready", "file_not_ready")
        job: dict[str, Any] = {
            "id": self.new_id("ftjob-"),
            "object": "fine_tuning.job",
            "created_at": 1_790_000_000 + self.count,
            "fine_tuned_model": None,
            "status": _LIFE[0],
            "error": {},  # there, and empty, when nothing is wrong
            "result_files": [],
            "organization_id": "org-1",
            "user_provided_suffix": asked.get("suffix"),
            "validation_file": None,
            "seed": 42,
            **asked,
        }
        job.pop("suffix", None)
        self.jobs[job["id"]] = job
        self.looks[job["id"]] = 0
        self.events[job["id"]] = []
        self._event(job, f"Created fine-tuning job: {job['id']}")
        return 200, job, {}

    def _list(self, call: Call) -> Reply:
        jobs = list(self.jobs.values())[::-1]
        wanted = {name[9:-1]: value for name, value in call.query.items() if name.startswith("metadata[")}
        if wanted and self.filters:
            jobs = [job for job in jobs if wanted.items() <= (job.get("metadata") or {}).items()]
        return self.page(jobs, call)

    def _look(self, job_id: str) -> Reply:
        if job_id not in self.jobs:
            return _error(404, "Could not find fine tune", "fine_tune_not_found")
        job = self.jobs[job_id]
        if job["status"] not in ("succeeded", "failed", "cancelled", "paused"):
            self.looks[job_id] += 1
            job["status"] = _LIFE[min(self.looks[job_id], len(_LIFE) - 1)]
            if job["status"] == "running":
                if self.fails:
                    job |= {"status": "failed", "error": {"code": "x", "message": self.fails, "param": None}}
                    self._event(job, self.fails, level="error")
                    return 200, job, {}
                step = self.looks[job_id] - 1
                data = {
                    "step": step,
                    "total_steps": 2,
                    "train_loss": 1.0 / step,
                    "train_mean_token_accuracy": step / 4,
                    "valid_loss": None if step < 2 else 0.75,
                    "valid_mean_token_accuracy": None if step < 2 else 0.625,
                }
                said = f"Step {step}/2: training loss={1 / step:.2f}"
                if (job.get("method") or {}).get("type") == "reinforcement":
                    data, said = _rewards(step), f"Step {step}/2"
                self._event(job, said, sort="metrics", data=data)
            elif job["status"] == "succeeded":
                results = self.keep(
                    "results.csv",
                    base64.b64encode(
                        b"step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n1,1.0,0.25,,\n2,0.5,0.5,0.7,0.6\n"
                    ),
                    "fine-tune-results",
                )
                job |= {
                    "error": {"code": None, "message": None, "param": None},
                    "fine_tuned_model": f"ft:{job['model']}:acme::{job_id[-6:]}",
                    "trained_tokens": 10_000,
                    "result_files": [results["id"]],
                    "finished_at": 1_790_009_999,
                }
                self._event(job, f"New fine-tuned model created: {job['fine_tuned_model']}")
        return 200, job, {}

    def _checkpoints(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {
                "id": f"ftckpt_{step}",
                "object": "fine_tuning.job.checkpoint",
                "created_at": 1_790_000_000 + step,
                "fine_tuning_job_id": job["id"],
                "step_number": step,
                "fine_tuned_model_checkpoint": f"{job['fine_tuned_model']}:ckpt-step-{step}",
                "metrics": {"step": step, "train_loss": 1 / step},
            }
            | ({"result_files": self.checkpoint_files[step]} if self.checkpoint_files else {})
            for step in (2, 1)
            if job["fine_tuned_model"]
        ]

    def _act(self, job_id: str, action: str) -> Reply:
        job = self.jobs[job_id]
        ended = job["status"] in ("succeeded", "failed", "cancelled")
        if ended:
            return _error(400, f"Job is {job['status']}", "invalid_state")
        job["status"] = {"cancel": "cancelled", "pause": "paused", "resume": "running"}[action]
        return 200, job, {}

    def _event(
        self, job: dict[str, Any], message: str, *, level: str = "info", sort: str = "message", data: Any = None
    ) -> None:
        event = {
            "id": self.new_id("ftevent-"),
            "object": "fine_tuning.job.event",
            "created_at": 1_790_000_000,
            "level": level,
            "message": message,
            "type": sort,
            "data": data,
        }
        self.events[job["id"]].append(event)

    def page(self, items: list[dict[str, Any]], call: Call) -> Reply:
        limit, after = int(call.query.get("limit", 20)), call.query.get("after")
        ids = [item["id"] for item in items]
        start = ids.index(after) + 1 if after in ids else 0
        page = items[start : start + limit]
        ends = {"first_id": page[0]["id"] if page else "", "last_id": page[-1]["id"] if page else ""}
        return 200, {"object": "list", "data": page, "has_more": start + limit < len(items), **ends}, {}

    def _grade(self, action: str, call: Call) -> Reply:
        """Runs the one kind of grader that needs no thought; another has an error of the model that it asks."""
        asked = call.json()
        grader = asked["grader"]
        if grader["name"] == "refused":
            return _error(400, "Invalid grader: the template names no column", "invalid_grader")
        if action == "validate":
            return 200, {"grader": grader}, {}
        right = grader["type"] == "string_check" and asked["model_sample"] == asked["item"]["team"]
        asks = grader["type"] == "score_model"
        errors: dict[str, Any] = dict.fromkeys(_GRADER_ERRORS, False)
        errors |= {
            "model_grader_server_error": asks,
            "model_grader_server_error_details": "overloaded" if asks else None,
        }
        metadata = {"name": grader["name"], "type": grader["type"], "errors": errors, "execution_time": 0.1}
        metadata |= {"scores": {}, "token_usage": {"total_tokens": 3}, "sampled_model_name": None}
        reward = 1.0 if right else 0.0
        usage: dict[str, Any] = {}
        answer = {
            "reward": reward,
            "metadata": metadata,
            "sub_rewards": {},
            "model_grader_token_usage_per_model": usage,
        }
        return 200, answer, {}

    def chat(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        for name, why in self.rejects.items():
            if name in asked:
                return _error(400, f"Unsupported parameter: '{name}' {why}", "unsupported_parameter")[:2]
        model = REASONING_MODELS.get(asked["model"])
        problem = None if model is None else refusal(model, asked, asked.get("reasoning_effort"), chat=True)
        if problem is not None:
            return _error(400, problem, "unsupported_parameter")[:2]
        return 200, completion(asked, self.answers, reasoning=0 if model is None else model.tokens(asked))

    def respond(self, asked: dict[str, Any]) -> Reply:
        """The Responses API's answer."""
        model = REASONING_MODELS.get(asked["model"])
        problem = refusal(model, asked, (asked.get("reasoning") or {}).get("effort"), chat=False)
        if problem is not None:
            return _error(400, problem, "unsupported_parameter")
        return (
            200,
            response(asked, self.answers, 0 if model is None else model.tokens(asked)),
            {"x-request-id": "req_1"},
        )


_GRADER_ERRORS = (
    *("formula_parse_error", "sample_parse_error", "truncated_observation_error", "unresponsive_reward_error"),
    *("invalid_variable_error", "other_error", "python_grader_server_error", "python_grader_runtime_error"),
    *("model_grader_server_error", "model_grader_refusal_error", "model_grader_parse_error"),
)


def _rewards(step: int) -> dict[str, Any]:
    """The figures of a step of reinforcement, as the guide shows them."""
    return {
        "step": step,
        "total_steps": 2,
        "train_mean_reward": 0.25 * step,
        "full_valid_mean_reward": 0.5 if step == 2 else None,
        "full_valid_mean_parse_error": 0.125 if step == 2 else None,
        "completion_tokens_mean": 40.0,
        "reasoning_tokens_mean": 90.0,
        "scores": {"graders": [{"name": "right", "train_reward_mean": 0.25 * step}], "train_reward_mean": 0.25 * step},
        "errors": {
            "graders": [{"name": "right", "train_invalid_variable_error_count": 3, "train_other_error_count": 0}]
        },
        "usage": {"graders": [], "samples": {"train_prompt_tokens_mean": 20}},
    }


def _error(status: int, message: str, code: str | None) -> Reply:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return status, {"error": error}, {"x-request-id": "req_1"}


def rows(content: bytes) -> list[dict[str, Any]]:
    """The rows of an uploaded file."""
    return [json.loads(line) for line in content.decode("utf-8-sig").splitlines()]
