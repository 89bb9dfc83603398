"""The batch API of the fake of OpenAI: a file of questions, and two files of answers when it has ended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .serving import Call, Reply

if TYPE_CHECKING:
    from .openai_host import OpenAIFake

_LIFE = ("validating", "in_progress", "finalizing", "completed")


class Batches:
    """Batches move on by one state each time they are looked at.

    Attributes:
        ends: how the next batch ends, when not ``completed``.
        unanswered: ids of questions that no batch has time for, as long as they are in here.
    """

    def __init__(self, host: OpenAIFake) -> None:
        self._host = host
        self.all: dict[str, dict[str, Any]] = {}
        self.ends = "completed"
        self.unanswered: set[str] = set()

    def answer(self, call: Call, rest: list[str]) -> Reply:
        match (call.method, *rest):
            case ("POST",):
                return self._create(call.json())
            case ("GET",):
                return self._host.page(list(self.all.values())[::-1], call)
            case ("GET", batch_id) if batch_id in self.all:
                batch = self.all[batch_id]
                if batch["status"] in _LIFE[:-1]:
                    self._move(batch)
                return 200, batch, {}
            case ("POST", batch_id, "cancel"):
                self.all[batch_id] |= {"status": "cancelled", "cancelled_at": 1_790_000_100}
                return 200, self.all[batch_id], {}
        return 404, {"error": {"message": "No batch found", "type": "invalid_request_error", "code": None}}, {}

    def _create(self, asked: dict[str, Any]) -> Reply:
        file = self._host.files.get(asked["input_file_id"])
        if file is None or file["purpose"] != "batch":
            return 400, {"error": {"message": "no such input file", "type": "invalid_request_error"}}, {}
        lines = _lines(self._host.contents[file["id"]])
        batch = {
            "id": self._host.new_id("batch_"),
            "object": "batch",
            **asked,
            "status": "validating",
            "created_at": 1_790_000_000,
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
        }
        self.all[batch["id"]] = batch
        return 200, batch, {}

    def _move(self, batch: dict[str, Any]) -> None:
        batch["status"] = _LIFE[_LIFE.index(batch["status"]) + 1]
        if batch["status"] != "completed":
            return
        batch["status"] = self.ends
        if self.ends == "failed":
            problem = {"code": "invalid_json_line", "message": "This line is not parseable", "line": 2, "param": None}
            batch["errors"] = {"object": "list", "data": [problem]}
            return
        batch["expired_at" if self.ends == "expired" else "completed_at"] = 1_790_000_060
        right: list[dict[str, Any]] = []
        wrong: list[dict[str, Any]] = []
        for line in _lines(self._host.contents[batch["input_file_id"]]):
            answer: dict[str, Any] = {"id": "batch_req_1", "custom_id": line["custom_id"], "response": None}
            if line["custom_id"] in self.unanswered:
                code = "batch_expired"
                wrong.append(answer | {"error": {"code": code, "message": "This request could not be executed"}})
                continue
            assert (line["method"], line["url"]) == ("POST", batch["endpoint"])
            answering = {"/v1/chat/completions": self._host.chat, "/v1/responses": self._host.respond}
            status, body, *_ = answering[line["url"]](line["body"])
            answer |= {"response": {"status_code": status, "request_id": "req_1", "body": body}, "error": None}
            (right if status == 200 else wrong).append(answer)
        counts = {"completed": len(right), "failed": len(wrong)}
        batch["request_counts"] |= counts
        for kind, lines in (("output_file_id", right[::-1]), ("error_file_id", wrong)):
            if lines:
                content = "".join(json.dumps(line) + "\n" for line in lines).encode()
                batch[kind] = self._host.keep(f"{batch['id']}_{kind}.jsonl", content, "batch_output")["id"]


def _lines(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.decode().splitlines()]
