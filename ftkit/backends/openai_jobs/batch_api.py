"""Questions sent as one file at the batch price: created once, found again after anything, and cleaned up.

Source: OpenAI, "Batch API"; the specification's POST /batches.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ftkit.backends.hosted.idempotency import create_once
from ftkit.backends.hosted.retry import Patience
from ftkit.backends.openai_jobs.host import OpenAIHost
from ftkit.backends.openai_jobs.sdk import plain
from ftkit.errors import HostError, ModelError
from ftkit.files import write_atomically

__all__ = ["Batch", "OnCount"]

OnCount = Callable[[int], None]
"""Called with the number of questions that have been answered so far."""

_KEY = "ftkit_batch"
"""Name of the metadata that holds a batch's key."""

_PURPOSE = "batch"
_ENDED = {"completed", "failed", "expired", "cancelled"}
_LONGEST_LOOK_S = 300.0


class Batch:
    """One batch and what is known of it, in ``folder``, where another process finds it after a crash.

    ``state.json`` holds ``key`` (unique, written before the first call and carried by the batch), ``ids`` (of the
    questions), ``file`` (the name of the uploaded file), ``asked_at`` and ``batch``.
    """

    def __init__(self, host: OpenAIHost, patience: Patience, folder: Path) -> None:
        self._host, self._patience, self._folder = host, patience, folder
        self._path = folder / "state.json"
        self._state: dict[str, Any] = {}
        self._last: dict[str, Any] = {}
        with contextlib.suppress(FileNotFoundError):
            self._state = json.loads(self._path.read_text(encoding="utf-8"))

    @property
    def ids(self) -> tuple[str, ...]:
        """Of the questions in it; empty when there is none yet."""
        return tuple(self._state.get("ids", ()))

    def begin(self, questions: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Write the file of questions: ids and bodies of chat completions."""
        lines = [
            json.dumps({"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body})
            for name, body in questions
        ]
        content = ("\n".join(lines) + "\n").encode()
        write_atomically(self._folder / "questions.jsonl", content)
        self._note(
            key=f"ftkit-{secrets.token_hex(8)}",
            ids=[name for name, _ in questions],
            file=f"ftkit-{hashlib.sha256(content).hexdigest()[:24]}.jsonl",
        )

    def results(self, on_count: OnCount) -> Iterator[dict[str, Any]]:
        """Send what was begun, or take it up; wait until it has ended; give its lines, with ``seconds`` taken.

        Raises:
            HostError: the host refused it, or cannot be asked.
            ModelError: it failed or was cancelled at the host; what was answered has been given.
        """
        if "batch" not in self._state:
            self._create()
        batch = self._wait(on_count)
        ended_at = batch.get("completed_at") or batch.get("expired_at") or batch.get("cancelled_at") or time.time()
        took = max(0.0, float(ended_at - batch["created_at"]))
        for file_id in filter(None, (batch.get("output_file_id"), batch.get("error_file_id"))):
            lines = self._patience(lambda file_id=file_id: _lines(self._host.content(file_id)))  # type: ignore[misc]
            yield from (line | {"seconds": took} for line in lines)
        if batch["status"] in ("failed", "cancelled"):
            self.forget(batch)
            raise ModelError(_ended(self._host.profile.name, batch))

    def forget(self, batch: dict[str, Any] | None = None) -> None:
        """Remove its files from the host, as far as that can be done, and its folder from here."""
        held = batch or self._last
        for file_id in (held.get(kind) for kind in ("input_file_id", "output_file_id", "error_file_id")):
            if file_id:
                with contextlib.suppress(HostError):
                    self._patience(lambda file_id=file_id: self._host.delete_file(file_id))  # type: ignore[misc]
        shutil.rmtree(self._folder, ignore_errors=True)

    def _create(self) -> None:
        found = self._settled() if "asked_at" in self._state else None
        if found is None:
            file_id = self._upload()
            self._note(asked_at=time.time())
            try:
                found = create_once(self._patience, lambda: self._ask(file_id), self._find)
            except HostError:
                self.forget({"input_file_id": file_id})  # a clear no: nothing was created
                raise
        if found is None:
            raise HostError(
                f"{self._host.profile.name} did not say whether it took the batch; ask again in a few minutes, and it "
                "is looked for before another is sent",
                passing=True,
            )
        self._note(batch=found["id"])

    def _settled(self) -> dict[str, Any] | None:
        """The batch of a creation that was cut off, once its request cannot be under way any more."""
        while True:
            waited = time.time() - self._state["asked_at"]
            found = self._patience(self._find)
            if found is not None or waited >= self._patience.settle_s:
                return found
            self._patience.sleep(min(5.0, self._patience.settle_s - waited))

    def _upload(self) -> str:
        path, name = self._folder / "questions.jsonl", self._state["file"]

        def once() -> str:
            known = self._host.find_file(name, path.stat().st_size, purpose=_PURPOSE)
            return (known or self._host.upload(path, name, purpose=_PURPOSE)).id

        return self._patience(once)

    def _ask(self, file_id: str) -> dict[str, Any]:
        client = self._host.sdk.client
        made = self._host.sdk.call(
            "creating the batch",
            lambda: client.batches.create(
                input_file_id=file_id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={_KEY: self._state["key"]},
            ),
        )
        return _whole(plain(made))

    def _find(self) -> dict[str, Any] | None:
        client = self._host.sdk.client
        for one in self._host.pages("looking for the batch", lambda **page: client.batches.list(**page)):
            if (one.get("metadata") or {}).get(_KEY) == self._state["key"]:
                return _whole(one)
        return None

    def _wait(self, on_count: OnCount) -> dict[str, Any]:
        """The batch when it has ended. An outage of the host does not end the wait."""
        client, batch_id = self._host.sdk.client, self._state["batch"]
        pause, later = self._patience.poll_s
        while True:
            try:
                made = self._host.sdk.call("looking at the batch", lambda: client.batches.retrieve(batch_id))
                self._last = _whole(plain(made))
            except HostError as error:
                if error.status == 404:
                    shutil.rmtree(self._folder, ignore_errors=True)
                    raise ModelError(f"{error}. Ask again, and another batch is sent") from None
                if not error.passing:
                    raise
                pause = min(_LONGEST_LOOK_S, max(pause * 2, error.retry_after_s or 0.0))
            else:
                counts = self._last.get("request_counts") or {}
                on_count(int(counts.get("completed") or 0) + int(counts.get("failed") or 0))
                if self._last["status"] in _ENDED:
                    return self._last
                pause = min(later, pause * 1.5)
            self._patience.sleep(pause)

    def _note(self, **changes: Any) -> None:
        self._state |= changes
        write_atomically(self._path, json.dumps(self._state))


def _whole(batch: dict[str, Any]) -> dict[str, Any]:
    if not batch.get("id") or not batch.get("status") or not batch.get("created_at"):
        raise HostError("the host sent no whole batch", passing=True, unsure=True)
    return batch


def _lines(content: bytes) -> list[dict[str, Any]]:
    try:
        return [dict(json.loads(line)) for line in content.decode("utf-8-sig").split("\n") if line.strip()]
    except (ValueError, TypeError):
        raise HostError("a file of answers came with a line that cannot be read", passing=True) from None


def _ended(name: str, batch: dict[str, Any]) -> str:
    told = [
        f"line {one['line']}: {one.get('message')}" if one.get("line") is not None else str(one.get("message"))
        for one in (batch.get("errors") or {}).get("data") or ()
    ]
    if batch["status"] == "failed":
        return f"{name} refused the batch {batch['id']}: {'; '.join(told[:3]) or 'it gives no reason'}"
    return f"the batch {batch['id']} was cancelled at {name}; what it had answered is kept. Ask again for the rest"
