"""``/v1/uploads``: large files in parts."""

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

_LIFETIME_S = 3600
_MAX_PARTS = 10_000
"""Most parts of an upload, which may be empty: each is a file."""
_CHUNK_BYTES = 2**20
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


class _CreateRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    filename: str = Field(min_length=1, max_length=255)
    purpose: Purpose
    bytes: int = Field(ge=1)
    mime_type: str = Field(min_length=1, max_length=255)
    expires_after: ExpiresAfter | None = None


class _CompleteRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    part_ids: list[str] = Field(min_length=1, max_length=100_000)
    md5: str | None = None


class UploadTable:
    """The uploads of all projects. Parts are stored beside the files.

    Args:
        state: the server's tables.
        files: the table to which complete uploads are added.
    """

    def __init__(self, state: State, files: FileTable) -> None:
        self._state, self._files = state, files

    def create(self, project: str, request: _CreateRequest) -> dict[str, Any]:
        """Create an upload.

        Args:
            project: the owning project.
            request: the body of the request.

        Returns:
            The columns of the upload.
        """
        now, expiry = int(time.time()), request.expires_after
        values: dict[str, Any] = {
            **request.model_dump(exclude={"expires_after"}),
            "id": new_id("upload_"),
            "status": "pending",
            "created_at": now,
            "expires_at": now + _LIFETIME_S,
            "file_id": None,
            "file_expires_s": None if expiry is None else expiry.seconds,
        }
        with self._state.connection() as connection:
            connection.execute(
                f"INSERT INTO uploads (project, {', '.join(_COLUMNS)}) VALUES (?, {', '.join('?' for _ in _COLUMNS)})",
                (project, *(values[name] for name in _COLUMNS)),
            )
        return values

    def get(self, upload_id: str, project: str) -> dict[str, Any]:
        """Return an upload.

        Args:
            upload_id: the upload's id.
            project: the project that must own it.

        Returns:
            The columns of the upload.

        Raises:
            ApiError: 404 if the project has no such upload.
        """
        with self._state.connection() as connection:
            row = connection.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM uploads WHERE id = ? AND project = ?",
                (upload_id, project),
            ).fetchone()
        if row is None:
            raise not_found("Upload object", upload_id, param="upload_id")
        upload = dict(zip(_COLUMNS, row, strict=True))
        if upload["status"] == "pending" and upload["expires_at"] <= time.time():
            upload["status"] = "expired"
        return upload

    def pending(self, upload_id: str, project: str) -> dict[str, Any]:
        """Return an upload that still accepts parts.

        Args:
            upload_id: the upload's id.
            project: the project that must own it.

        Returns:
            The columns of the upload.

        Raises:
            ApiError: 404 if there is none; 400 if it has ended.
        """
        upload = self.get(upload_id, project)
        if upload["status"] != "pending":
            message = f"The upload {upload_id} is {upload['status']}; create another one."
            raise ApiError(400, message, param="upload_id", code="upload_ended")
        return upload

    def add_part(self, upload_id: str, content: Path) -> dict[str, Any]:
        """Add a part, moving ``content`` into the folder of contents.

        Args:
            upload_id: the upload's id.
            content: complete file.

        Returns:
            The part as an object of OpenAI's API.
        """
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
        """Return the sizes of an upload's parts.

        Args:
            upload_id: the upload's id.

        Returns:
            Bytes by part id.
        """
        with self._state.connection() as connection:
            return dict(connection.execute("SELECT id, bytes FROM parts WHERE upload_id = ?", (upload_id,)).fetchall())

    def received(self, upload_id: str) -> tuple[int, int]:
        """Count what an upload has.

        Args:
            upload_id: the upload's id.

        Returns:
            The number of its parts, and their bytes.
        """
        with self._state.connection() as connection:
            count, size = connection.execute(
                "SELECT count(*), coalesce(sum(bytes), 0) FROM parts WHERE upload_id = ?", (upload_id,)
            ).fetchone()
        return int(count), int(size)

    def complete(self, upload_id: str, project: str, request: _CompleteRequest) -> dict[str, Any]:
        """Join the parts to a file, in the order of ``request.part_ids``.

        Args:
            upload_id: the upload's id.
            project: the project that must own it.
            request: the body of the request.

        Returns:
            The columns of the upload.

        Raises:
            ApiError: 400 if a part is missing or named twice, or the size or checksum differs from the announced one.
        """
        upload = self.pending(upload_id, project)
        sizes = self.parts(upload_id)
        if len(set(request.part_ids)) != len(request.part_ids) or not set(request.part_ids) <= set(sizes):
            raise ApiError(400, "part_ids names a part twice, or a part that the upload has not.", param="part_ids")
        total = sum(sizes[part] for part in request.part_ids)
        if total != upload["bytes"]:
            message = f"The parts have {total:,} bytes, but the upload was created for {upload['bytes']:,}."
            raise ApiError(400, message, param="part_ids", code="wrong_size")
        joined = self._files.new_path()
        try:
            digest = hashlib.md5(usedforsecurity=False)
            with joined.open("wb") as file:
                for part in request.part_ids:
                    with self._state.content(part).open("rb") as content:
                        while chunk := content.read(_CHUNK_BYTES):
                            digest.update(chunk)
                            file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            if request.md5 is not None and request.md5.lower() != digest.hexdigest():
                raise ApiError(400, "The file's MD5 differs from the given one.", param="md5", code="wrong_checksum")
            self._files.add(
                project,
                upload["filename"],
                upload["purpose"],
                joined,
                expires_s=upload["file_expires_s"],
                upload_id=upload_id,
            )
        finally:
            with contextlib.suppress(FileNotFoundError):
                joined.unlink()
        self._delete_parts(upload_id)
        return self.get(upload_id, project)

    def cancel(self, upload_id: str, project: str) -> dict[str, Any]:
        """Cancel an upload and delete its parts.

        Args:
            upload_id: the upload's id.
            project: the project that must own it.

        Returns:
            The columns of the upload.

        Raises:
            ApiError: 404 if there is none; 400 if it has ended.
        """
        self.pending(upload_id, project)
        with self._state.connection() as connection:
            connection.execute(
                "UPDATE uploads SET status = 'cancelled' WHERE id = ? AND status = 'pending'", (upload_id,)
            )
        self._delete_parts(upload_id)
        return self.get(upload_id, project)

    def to_openai(self, upload: dict[str, Any], project: str) -> dict[str, Any]:
        """Convert to an upload object of OpenAI's API.

        Args:
            upload: the columns of the upload.
            project: the owning project.

        Returns:
            A dict for JSON.
        """
        names = ("id", "filename", "purpose", "bytes", "status", "created_at", "expires_at")
        fields = {"object": "upload", **{name: upload[name] for name in names}}
        if upload["file_id"] is not None:
            with contextlib.suppress(ApiError):  # the file was deleted since
                fields["file"] = self._files.get(upload["file_id"], project).to_openai()
        return fields

    def _delete_parts(self, upload_id: str) -> None:
        for part in self.parts(upload_id):
            with contextlib.suppress(FileNotFoundError):
                self._state.content(part).unlink()
        with self._state.connection() as connection:
            connection.execute("DELETE FROM parts WHERE upload_id = ?", (upload_id,))


async def _create(request: Request) -> JSONResponse:
    uploads: UploadTable = request.app.state.uploads
    settings: Settings = request.app.state.settings
    body = await parse_json_body(request, _CreateRequest)
    if body.bytes > settings.max_upload_bytes:
        message = f"Uploads have at most {settings.max_upload_bytes:,} bytes."
        raise ApiError(400, message, param="bytes", code="file_too_large")
    upload = await run_in_threadpool(uploads.create, request.state.project, body)
    return JSONResponse(uploads.to_openai(upload, request.state.project))


async def _part(request: Request) -> JSONResponse:
    uploads: UploadTable = request.app.state.uploads
    files: FileTable = request.app.state.files
    settings: Settings = request.app.state.settings
    upload_id = request.path_params["upload"]
    upload = await run_in_threadpool(uploads.pending, upload_id, request.state.project)
    content = await run_in_threadpool(files.new_path)
    form = await receive_file(request, "data", content, settings.max_part_bytes)
    try:
        count, received = await run_in_threadpool(uploads.received, upload_id)
        if count >= _MAX_PARTS:
            raise ApiError(400, f"An upload may have at most {_MAX_PARTS:,} parts.", code="too_many_parts")
        # Clients may send parts again after a failure, so up to twice the size is accepted.
        if received + form.bytes > 2 * upload["bytes"] + settings.max_part_bytes:
            raise ApiError(400, "The upload has more parts than its bytes need.", code="wrong_size")
        part = await run_in_threadpool(uploads.add_part, upload_id, content)
    finally:
        with contextlib.suppress(FileNotFoundError):
            content.unlink()
    return JSONResponse(part)


async def _complete(request: Request) -> JSONResponse:
    uploads: UploadTable = request.app.state.uploads
    body = await parse_json_body(request, _CompleteRequest)
    upload = await run_in_threadpool(uploads.complete, request.path_params["upload"], request.state.project, body)
    return JSONResponse(uploads.to_openai(upload, request.state.project))


async def _cancel(request: Request) -> JSONResponse:
    uploads: UploadTable = request.app.state.uploads
    upload = await run_in_threadpool(uploads.cancel, request.path_params["upload"], request.state.project)
    return JSONResponse(uploads.to_openai(upload, request.state.project))


routes = [
    Route("/v1/uploads", _create, methods=["POST"]),
    Route("/v1/uploads/{upload}/parts", _part, methods=["POST"]),
    Route("/v1/uploads/{upload}/complete", _complete, methods=["POST"]),
    Route("/v1/uploads/{upload}/cancel", _cancel, methods=["POST"]),
]
