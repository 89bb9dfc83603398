"""Send requests as one file at the batch price: created once, found again after a crash, and cleaned up.

Source: OpenAI, "Batch API"; the specification's POST /batches.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ftkit.backends.hosted.answer_reading import cleaned, reading_answer, remote_id
from ftkit.backends.hosted.idempotency import create_once, search_until_settled
from ftkit.backends.hosted.retry import RetryPolicy
from ftkit.backends.hosted.run_key import unix_seconds
from ftkit.backends.openai_jobs.host import OpenAIHost
from ftkit.backends.openai_jobs.sdk import to_dict
from ftkit.errors import HostError, ModelError
from ftkit.files import write_atomically

__all__ = ["Batch", "OnCount"]

OnCount = Callable[[int], None]
"""Called with the number of requests that have been answered so far."""

_KEY = "ftkit_batch"
"""Name of the metadata that holds a batch's key."""

_PURPOSE = "batch"
_FINAL_STATUSES = {"completed", "failed", "expired", "cancelled"}
_ENDING_STATUSES = _FINAL_STATUSES | {"cancelling"}
_MAX_POLL_S = 300.0
_LOG = logging.getLogger("ftkit.hosts")


class Batch:
    """One batch of requests at a host.

    ``state.json`` in its folder holds ``key`` (unique, written before the first call, and stored with the batch),
    ``ids`` (of the requests), ``endpoint`` (that answers them), ``file`` (name of the uploaded file), ``asked_at`` and
    ``asked_boot`` (when the batch was requested), and ``batch``.

    Args:
        host: the host.
        retry_policy: how failing calls are retried, and how often the batch is polled.
        folder: the folder in which another process finds the batch after a crash.
    """

    def __init__(self, host: OpenAIHost, retry_policy: RetryPolicy, folder: Path) -> None:
        self._host, self._retry_policy, self._folder = host, retry_policy, folder
        self._path = folder / "state.json"
        self._state: dict[str, Any] = {}
        self._last: dict[str, Any] = {}
        with contextlib.suppress(FileNotFoundError):
            self._state = json.loads(self._path.read_text(encoding="utf-8"))

    @property
    def endpoint(self) -> str:
        """Path of the API that answers the requests."""
        return str(self._state.get("endpoint", "/v1/chat/completions"))

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the requests; empty if the batch has not been prepared."""
        return tuple(self._state.get("ids", ()))

    def prepare(self, requests: Sequence[tuple[str, dict[str, Any]]], *, endpoint: str) -> None:
        """Write the file of requests.

        Args:
            requests: ids and bodies of requests.
            endpoint: path of the API that answers them.
        """
        lines = [
            json.dumps({"custom_id": name, "method": "POST", "url": endpoint, "body": body}) for name, body in requests
        ]
        content = ("\n".join(lines) + "\n").encode()
        write_atomically(self._folder / "questions.jsonl", content)
        # The file's name has the key, so that the id of the file tells this batch from others.
        key = f"ftkit-{secrets.token_hex(8)}"
        digest = hashlib.sha256(content).hexdigest()[:24]
        file = f"ftkit-{digest}-{key.removeprefix('ftkit-')}.jsonl"
        self._save(key=key, ids=[name for name, _ in requests], file=file, endpoint=endpoint)

    def results(self, on_count: OnCount) -> Iterator[dict[str, Any]]:
        """Create the batch or find it again, wait until it has ended, and read its output.

        Args:
            on_count: called with the number of requests that the host has answered.

        Yields:
            The lines of its output, each with ``seconds``, the time that the batch took.

        Raises:
            ModelError: the batch failed or was cancelled at the host. The lines that it has are yielded first.
        """
        if "batch" not in self._state:
            self._create()
        batch = self._wait(on_count)
        ends = (unix_seconds(batch.get(f"{how}_at")) for how in ("completed", "expired", "cancelled"))
        ended_at = next((at for at in ends if at is not None), time.time())
        seconds = max(0.0, ended_at - batch["created_at"])
        for file_id in filter(None, (batch.get("output_file_id"), batch.get("error_file_id"))):
            yield from (
                line | {"seconds": seconds} for line in self._retry_policy(functools.partial(self._read, file_id))
            )
        if batch["status"] in ("failed", "cancelled"):
            self.delete(batch)
            raise ModelError(_failure_message(self._host.profile.name, batch))

    def delete(self, batch: dict[str, Any] | None = None) -> None:
        """Delete the batch's files at the host as far as possible, and its folder on this machine.

        Args:
            batch: the batch as the host describes it; as it was polled last by default.
        """
        files = batch or self._last
        for file_id in (files.get(kind) for kind in ("input_file_id", "output_file_id", "error_file_id")):
            if file_id:
                with contextlib.suppress(HostError):
                    self._retry_policy(functools.partial(self._host.delete_file, file_id))
        shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self, file_id: str) -> list[dict[str, Any]]:
        return _parse_lines(self._host.content(file_id))

    def _create(self) -> None:
        batch = self._find_interrupted() if "asked_at" in self._state else None
        if batch is None:
            file_id = self._upload()
            try:
                batch = create_once(
                    self._retry_policy,
                    lambda: self._request(file_id),
                    self._find,
                    repeatable="batch" in self._host.repeatable,
                )
            except HostError:
                self.delete({"input_file_id": file_id})  # the host refused: nothing was created
                raise
        if batch is None:
            raise self._unconfirmed()
        self._save(batch=batch["id"])

    def _unconfirmed(self) -> HostError:
        return HostError(
            f"{self._host.profile.name} did not say whether it took the batch; ask again in a few minutes, and it is "
            "searched for before another is sent",
            passing=True,
        )

    def _find_interrupted(self) -> dict[str, Any] | None:
        """The batch of an interrupted creation, once its request can no longer be under way."""
        policy = self._retry_policy
        boot = self._state.get("asked_boot")  # batches of earlier versions have none
        unsettled_s = policy.unsettled_s(self._state["asked_at"], None if boot is None else (boot[0], boot[1]))
        search = search_until_settled(policy, self._find, unsettled_s)
        if not search.certain:
            raise search.error or self._unconfirmed()
        return search.found

    def _upload(self) -> str:
        path, name, policy = self._folder / "questions.jsonl", self._state["file"], self._retry_policy
        find = functools.partial(self._host.find_file, name, path.stat().st_size, purpose=_PURPOSE)
        upload = functools.partial(self._host.upload, path, name, purpose=_PURPOSE)
        file = policy(find) or create_once(policy, upload, find, repeatable="file" in self._host.repeatable)
        if file is None:
            raise self._unconfirmed()
        self._save(file_id=file.id)
        return file.id

    def _request(self, file_id: str) -> dict[str, Any]:
        client, key = self._host.sdk.client, self._state["key"]
        self._save(asked_at=self._retry_policy.clock(), asked_boot=self._retry_policy.boot())
        batch = self._host.sdk.call(
            "creating the batch",
            lambda: client.batches.create(
                input_file_id=file_id,
                endpoint=self.endpoint,
                completion_window="24h",
                metadata={_KEY: key},
                **self._host.idempotency_headers(key),
            ),
        )
        return _checked(to_dict(batch))

    def _find(self) -> dict[str, Any] | None:
        """The batch with this key that was created first; later ones are cancelled."""
        found = [_checked(batch) for batch in self._list() if self._is_this(batch)]
        first, *later = sorted(found, key=lambda batch: batch["created_at"]) or (None,)
        for batch in later:
            if batch["status"] not in _ENDING_STATUSES:
                cancel = functools.partial(self._host.sdk.client.batches.cancel, batch["id"])
                with contextlib.suppress(HostError):
                    self._host.sdk.call("cancelling a batch", cancel)
                _LOG.warning("the host has two batches of the same requests; %s is cancelled", batch["id"])
        return first

    def _list(self) -> Iterator[dict[str, Any]]:
        client = self._host.sdk.client
        return self._host.pages("searching for the batch", lambda **page: client.batches.list(**page))

    def _is_this(self, batch: dict[str, Any]) -> bool:
        if (batch.get("metadata") or {}).get(_KEY) == self._state["key"]:
            return True
        file_id = self._state.get("file_id")  # a proxy may drop the metadata
        return file_id is not None and batch.get("input_file_id") == file_id

    def _wait(self, on_count: OnCount) -> dict[str, Any]:
        """The batch when it has ended. An outage of the host does not end the wait."""
        client, batch_id = self._host.sdk.client, self._state["batch"]
        pause, longest = self._retry_policy.poll_s
        while True:
            try:
                batch = self._host.sdk.call("polling the batch", lambda: client.batches.retrieve(batch_id))
                with reading_answer(self._host.name, "polling the batch"):
                    self._last = _checked(to_dict(batch))
                    counts = self._last.get("request_counts") or {}
                    done = int(counts.get("completed") or 0) + int(counts.get("failed") or 0)
            except HostError as error:
                if error.status == 404:
                    shutil.rmtree(self._folder, ignore_errors=True)
                    raise ModelError(f"{error}. Ask again, and another batch is sent") from None
                if not error.passing:
                    raise
                pause = min(_MAX_POLL_S, max(pause * 2, error.retry_after_s or 0.0))
            else:
                on_count(done)
                if self._last["status"] in _FINAL_STATUSES:
                    return self._last
                pause = min(longest, pause * 1.5)
            self._retry_policy.sleep(pause)

    def _save(self, **changes: Any) -> None:
        self._state |= changes
        write_atomically(self._path, json.dumps(self._state))


def _checked(batch: dict[str, Any]) -> dict[str, Any]:
    created_at, status = unix_seconds(batch.get("created_at")), batch.get("status")
    if not batch.get("id") or not isinstance(status, str) or not created_at:
        raise HostError("the host sent an incomplete batch", passing=True, unsure=True)
    return batch | {"id": remote_id(batch["id"], "the batch", "the host"), "created_at": created_at}


def _parse_lines(content: bytes) -> list[dict[str, Any]]:
    """Read the lines of a batch's output. A damaged one is left out, so that the others, which are paid, are not lost.

    Returns:
        The lines.

    Raises:
        HostError: no line can be read.
    """
    lines, damaged = [], 0
    for line in filter(None, map(bytes.strip, content.removeprefix(b"\xef\xbb\xbf").split(b"\n"))):
        try:
            found = json.loads(line)
            int(found["custom_id"])
        except (ValueError, TypeError, LookupError, RecursionError):
            damaged += 1
        else:
            lines.append(cleaned(found))
    if damaged and not lines:
        raise HostError("the batch's output cannot be read", passing=True)
    if damaged:
        _LOG.warning(
            "%s of %s lines of the batch's output cannot be read; these are asked again", damaged, damaged + len(lines)
        )
    return lines


def _failure_message(host: str, batch: dict[str, Any]) -> str:
    if batch["status"] == "failed":
        reasons = [
            f"line {error['line']}: {error.get('message')}"
            if error.get("line") is not None
            else str(error.get("message"))
            for error in (batch.get("errors") or {}).get("data") or ()
        ]
        return f"{host} refused the batch {batch['id']}: {'; '.join(reasons[:3]) or 'it gives no reason'}"
    return f"the batch {batch['id']} was cancelled at {host}; what it had answered is kept. Ask again for the rest"
