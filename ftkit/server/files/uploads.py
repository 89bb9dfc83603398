"""``/v1/uploads``: a large file in parts."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ftkit.server.errors import ApiError, not_found
from ftkit.server.files.file_table import FileTable
from ftkit.server.files.multipart import receive_file
from ftkit.server.files.routes import ExpiresAfter, Purpose
from ftkit.server.request_body import parse_json_body
from ftkit.server.settings import Settings
from ftkit.server.state import State, new_id

__all__ = ["UploadTable", "routes"]

_LIFE_S = 3600
_CHUNK = 2**20
_COLUMNS = (
    "id",
    "filename",
    "purpose",
    "bytes",
    "mime_type",
    "status",
    "created_at",
    "expires_at",
    "file_id",
    "file_expires_s",
)


class _Begin(BaseModel):
    model_config = ConfigDict(extra="forbid")
    filename: str = Field(min_length=1, max_length=255)
    purpose: Purpose
    bytes: int = Field(ge=1)
    mime_type: str = Field(min_length=1, max_length=255)
    expires_after: ExpiresAfter | None = None


class _Complete(BaseModel):
    model_config = ConfigDict(extra="forbid")
    part_ids: list[str] = Field(min_length=1, max_length=100_000)
    md5: str | None = None


class UploadTable:
    """Uploads by project, until they become files. Parts lie beside the files."""

    def __init__(self, state: State, files: FileTable) -> None:
        self._state, self._files = state, files

    def begin(self, project: str, asked: _Begin) -> dict[str, Any]:
        """A new upload."""
        now, kept = int(time.time()), asked.expires_after
        values: dict[str, Any] = {
            **asked.model_dump(exclude={"expires_after"}),
            "id": new_id("upload_"),
            "status": "pending",
            "created_at": now,
            "expires_at": now + _LIFE_S,
            "file_id": None,
            "file_expires_s": None if kept is None else kept.seconds,
        }
        with self._state.connection() as connection:
            connection.execute(
                f"INSERT INTO uploads (project, {', '.join(_COLUMNS)}) VALUES (?, {', '.join('?' for _ in _COLUMNS)})",
                (project, *(values[name] for name in _COLUMNS)),
            )
        return values

    def get(self, upload_id: str, project: str) -> dict[str, Any]:
        """The upload of that id.

        Raises:
            ApiError: 404, there is none in the project.
        """
        with self._state.connection() as connection:
            row = connection.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM uploads WHERE id = ? AND project = ?",
                (upload_id, project),
            ).fetchone()
        if row is None:
            raise not_found("Upload object", upload_id, param="upload_id")
        found = dict(zip(_COLUMNS, row, strict=True))
        if found["status"] == "pending" and found["expires_at"] <= time.time():
            found["status"] = "expired"
        return found

    def pending(self, upload_id: str, project: str) -> dict[str, Any]:
        """The same, to which parts can be added.

        Raises:
            ApiError: 404, there is none; 400, it has ended.
        """
        found = self.get(upload_id, project)
        if found["status"] != "pending":
            message = f"The upload {upload_id} is {found['status']}; begin another one."
            raise ApiError(400, message, param="upload_id", code="upload_ended")
        return found

    def add_part(self, upload_id: str, content: Path) -> dict[str, Any]:
        """Take the file ``content`` over as a part."""
        part_id, now = new_id("part_"), int(time.time())
        size = content.stat().st_size
        os.replace(content, self._state.content(part_id))
        with self._state.connection() as connection:
            connection.execute(
                "INSERT INTO parts (id, upload_id, bytes, created_at) VALUES (?, ?, ?, ?)",
                (part_id, upload_id, size, now),
            )
        return {"id": part_id, "object": "upload.part", "created_at": now, "upload_id": upload_id}

    def parts(self, upload_id: str) -> dict[str, int]:
        """Bytes of each part, by its id."""
        with self._state.connection() as connection:
            return dict(connection.execute("SELECT id, bytes FROM parts WHERE upload_id = ?", (upload_id,)).fetchall())

    def complete(self, upload_id: str, project: str, asked: _Complete) -> dict[str, Any]:
        """Make a file of the parts, in the order that is asked for.

        Raises:
            ApiError: 400, a part is missing or named twice, or bytes or checksum are not those that were said.
        """
        upload = self.pending(upload_id, project)
        known = self.parts(upload_id)
        if len(set(asked.part_ids)) != len(asked.part_ids) or not set(asked.part_ids) <= set(known):
            raise ApiError(400, "part_ids names a part twice, or one that the upload has not.", param="part_ids")
        total = sum(known[part] for part in asked.part_ids)
        if total != upload["bytes"]:
            message = f"The parts have {total:,} bytes, and the upload was to have {upload['bytes']:,}."
            raise ApiError(400, message, param="part_ids", code="wrong_size")
        place = self._files.place()
        try:
            digest = hashlib.md5(usedforsecurity=False)
            with place.open("wb") as whole:
                for part in asked.part_ids:
                    with self._state.content(part).open("rb") as content:
                        while chunk := content.read(_CHUNK):
                            digest.update(chunk)
                            whole.write(chunk)
                whole.flush()
                os.fsync(whole.fileno())
            if asked.md5 is not None and asked.md5.lower() != digest.hexdigest():
                raise ApiError(400, "The file's MD5 is not the one that was given.", param="md5", code="wrong_checksum")
            self._files.add(
                project,
                upload["filename"],
                upload["purpose"],
                place,
                expires_s=upload["file_expires_s"],
                upload_id=upload_id,
            )
        finally:
            with contextlib.suppress(FileNotFoundError):
                place.unlink()
        self._forget_parts(upload_id)
        return self.get(upload_id, project)

    def cancel(self, upload_id: str, project: str) -> dict[str, Any]:
        """End an upload without a file.

        Raises:
            ApiError: 404, there is none; 400, it has ended.
        """
        self.pending(upload_id, project)
        with self._state.connection() as connection:
            connection.execute(
                "UPDATE uploads SET status = 'cancelled' WHERE id = ? AND status = 'pending'", (upload_id,)
            )
        self._forget_parts(upload_id)
        return self.get(upload_id, project)

    def shown(self, upload: dict[str, Any], project: str) -> dict[str, Any]:
        """As OpenAI's API shows it."""
        names = ("id", "filename", "purpose", "bytes", "status", "created_at", "expires_at")
        found = {"object": "upload", **{name: upload[name] for name in names}}
        if upload["file_id"] is not None:
            with contextlib.suppress(ApiError):  # deleted since
                found["file"] = self._files.get(upload["file_id"], project).shown()
        return found

    def _forget_parts(self, upload_id: str) -> None:
        for part in self.parts(upload_id):
            with contextlib.suppress(FileNotFoundError):
                self._state.content(part).unlink()
        with self._state.connection() as connection:
            connection.execute("DELETE FROM parts WHERE upload_id = ?", (upload_id,))


async def _begin(request: Request) -> JSONResponse:
    uploads: UploadTable = request.app.state.uploads
    settings: Settings = request.app.state.settings
    asked = await parse_json_body(request, _Begin)
    if asked.bytes > settings.max_upload_bytes:
        message = f"Uploads have at most {settings.max_upload_bytes:,} bytes."
        raise ApiError(400, message, param="bytes", code="file_too_large")
    made = await run_in_threadpool(uploads.begin, request.state.project, asked)
    return JSONResponse(uploads.shown(made, request.state.project))


async def _part(request: Request) -> JSONResponse:
    uploads: UploadTable = request.app.state.uploads
    files: FileTable = request.app.state.files
    settings: Settings = request.app.state.settings
    upload_id = request.path_params["upload"]
    upload = await run_in_threadpool(uploads.pending, upload_id, request.state.project)
    place = await run_in_threadpool(files.place)
    form = await receive_file(request, "data", place, settings.max_part_bytes)
    try:
        so_far = sum((await run_in_threadpool(uploads.parts, upload_id)).values())
        # Parts may be sent again after a failure, so some more than the whole is borne.
        if so_far + form.bytes > 2 * upload["bytes"] + settings.max_part_bytes:
            raise ApiError(400, "The upload has more parts than its bytes need.", code="wrong_size")
        made = await run_in_threadpool(uploads.add_part, upload_id, place)
    finally:
        with contextlib.suppress(FileNotFoundError):
            place.unlink()
    return JSONResponse(made)


async def _complete(request: Request) -> JSONResponse:
    uploads: UploadTable = request.app.state.uploads
    asked = await parse_json_body(request, _Complete)
    done = await run_in_threadpool(uploads.complete, request.path_params["upload"], request.state.project, asked)
    return JSONResponse(uploads.shown(done, request.state.project))


async def _cancel(request: Request) -> JSONResponse:
    uploads: UploadTable = request.app.state.uploads
    done = await run_in_threadpool(uploads.cancel, request.path_params["upload"], request.state.project)
    return JSONResponse(uploads.shown(done, request.state.project))


routes = [
    Route("/v1/uploads", _begin, methods=["POST"]),
    Route("/v1/uploads/{upload}/parts", _part, methods=["POST"]),
    Route("/v1/uploads/{upload}/complete", _complete, methods=["POST"]),
    Route("/v1/uploads/{upload}/cancel", _cancel, methods=["POST"]),
]
