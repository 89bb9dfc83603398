"""``/v1/files``."""

from __future__ import annotations

import contextlib
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from ftkit.server.errors import ApiError
from ftkit.server.files.file_table import FileTable
from ftkit.server.files.multipart import receive_file
from ftkit.server.jobs.result_file import RESULTS_PURPOSE, decode_results
from ftkit.server.request_body import page_limit, validate_body
from ftkit.server.settings import Settings

__all__ = ["ExpiresAfter", "Purpose", "routes"]

Purpose = Literal["fine-tune"]
"""What a file may be for. OpenAI's other purposes belong to parts of its API that are not here."""

_MOST = 10_000
_MOST_NAME = 255


class ExpiresAfter(BaseModel):
    """When a file is deleted by itself."""

    model_config = ConfigDict(extra="forbid")
    anchor: Literal["created_at"]
    seconds: int = Field(ge=3600, le=2_592_000)


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid")
    purpose: Purpose
    expires_after: ExpiresAfter | None = None


async def _create(request: Request) -> JSONResponse:
    files: FileTable = request.app.state.files
    settings: Settings = request.app.state.settings
    place = await run_in_threadpool(files.place)
    form = await receive_file(request, "file", place, settings.max_file_bytes)
    try:
        if not form.filename:
            raise ApiError(400, "The file has no name.", param="file", code="invalid_value")
        found: dict[str, object] = {name: text for name, text in form.fields.items() if "[" not in name}
        nested = {name[14:-1]: text for name, text in form.fields.items() if name.startswith("expires_after[")}
        unknown = set(form.fields) - set(found) - {f"expires_after[{name}]" for name in nested}
        found |= dict.fromkeys(unknown)  # refused by name, as any other unknown parameter
        fields = validate_body(_Fields, found | ({"expires_after": nested} if nested else {}))
        kept = fields.expires_after
        made = await run_in_threadpool(
            files.add,
            request.state.project,
            form.filename[:_MOST_NAME],
            fields.purpose,
            place,
            expires_s=None if kept is None else kept.seconds,
        )
    finally:
        with contextlib.suppress(FileNotFoundError):
            place.unlink()
    return JSONResponse(made.shown())


async def _list(request: Request) -> JSONResponse:
    files: FileTable = request.app.state.files
    query = request.query_params
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise ApiError(400, "Invalid value for 'order': 'asc' or 'desc'.", param="order", code="invalid_value")
    found, more = await run_in_threadpool(
        files.page,
        request.state.project,
        purpose=query.get("purpose"),
        after=query.get("after"),
        limit=page_limit(request, _MOST, _MOST),
        newest_first=order == "desc",
    )
    shown = [one.shown() for one in found]
    ends = {"first_id": shown[0]["id"] if shown else "", "last_id": shown[-1]["id"] if shown else ""}
    return JSONResponse({"object": "list", "data": shown, **ends, "has_more": more})


async def _retrieve(request: Request) -> JSONResponse:
    files: FileTable = request.app.state.files
    found = await run_in_threadpool(files.get, request.path_params["file"], request.state.project)
    return JSONResponse(found.shown())


async def _content(request: Request) -> Response:
    files: FileTable = request.app.state.files
    found = await run_in_threadpool(files.get, request.path_params["file"], request.state.project)
    if found.purpose == RESULTS_PURPOSE and "text/csv" in request.headers.get("accept", ""):
        return Response(await run_in_threadpool(decode_results, files.content(found)), media_type="text/csv")
    # Never shown by a browser: the content is a client's.
    headers = {"content-disposition": "attachment"}
    return FileResponse(files.content(found), media_type="application/octet-stream", headers=headers)


async def _delete(request: Request) -> JSONResponse:
    files: FileTable = request.app.state.files
    file_id = request.path_params["file"]
    await run_in_threadpool(files.delete, file_id, request.state.project)
    return JSONResponse({"id": file_id, "object": "file", "deleted": True})


routes = [
    Route("/v1/files", _create, methods=["POST"]),
    Route("/v1/files", _list, methods=["GET"]),
    Route("/v1/files/{file}", _retrieve, methods=["GET"]),
    Route("/v1/files/{file}", _delete, methods=["DELETE"]),
    Route("/v1/files/{file}/content", _content, methods=["GET"]),
]
