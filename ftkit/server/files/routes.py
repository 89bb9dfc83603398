"""Routes of ``/v1/files``."""

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
from ftkit.server.json_list import list_response
from ftkit.server.request_body import check_list_query, page_limit, validate_body
from ftkit.server.settings import Settings

__all__ = ["ExpiresAfter", "Purpose", "routes"]

Purpose = Literal["fine-tune"]
"""The supported purpose. OpenAI's other purposes belong to parts of its API that this server does not have."""

_MAX_PAGE = 10_000
_MAX_FILENAME = 255


class ExpiresAfter(BaseModel):
    """When a file expires."""

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
    content = await run_in_threadpool(files.new_path)
    form = await receive_file(request, "file", content, settings.max_file_bytes)
    try:
        if not form.filename:
            raise ApiError(400, "The file has no name.", param="file", code="invalid_value")
        values: dict[str, object] = {name: text for name, text in form.fields.items() if "[" not in name}
        nested = {name[14:-1]: text for name, text in form.fields.items() if name.startswith("expires_after[")}
        unknown = set(form.fields) - set(values) - {f"expires_after[{name}]" for name in nested}
        values |= dict.fromkeys(unknown)  # refused by name, like any other unknown parameter
        fields = validate_body(_Fields, values | ({"expires_after": nested} if nested else {}))
        expiry = fields.expires_after
        file = await run_in_threadpool(
            files.add,
            request.state.project,
            form.filename[:_MAX_FILENAME],
            fields.purpose,
            content,
            expires_s=None if expiry is None else expiry.seconds,
        )
    finally:
        with contextlib.suppress(FileNotFoundError):
            content.unlink()
    return JSONResponse(file.to_openai())


async def _list(request: Request) -> Response:
    files: FileTable = request.app.state.files
    query = request.query_params
    check_list_query(request, "limit", "after", "order", "purpose")
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise ApiError(400, "Invalid value for 'order': 'asc' or 'desc'.", param="order", code="invalid_value")
    page, has_more = await run_in_threadpool(
        files.page,
        request.state.project,
        purpose=query.get("purpose"),
        after=query.get("after"),
        limit=page_limit(request, _MAX_PAGE, _MAX_PAGE),
        newest_first=order == "desc",
    )
    data = [file.to_openai() for file in page]
    ids = {"first_id": data[0]["id"] if data else "", "last_id": data[-1]["id"] if data else ""}
    return await list_response(data, **ids, has_more=has_more)


async def _retrieve(request: Request) -> JSONResponse:
    files: FileTable = request.app.state.files
    file = await run_in_threadpool(files.get, request.path_params["file"], request.state.project)
    return JSONResponse(file.to_openai())


async def _content(request: Request) -> Response:
    files: FileTable = request.app.state.files
    file = await run_in_threadpool(files.get, request.path_params["file"], request.state.project)
    if file.purpose == RESULTS_PURPOSE and "text/csv" in request.headers.get("accept", ""):
        return Response(await run_in_threadpool(decode_results, files.content(file)), media_type="text/csv")
    # A browser must download it, not show it: the content is a client's.
    headers = {"content-disposition": "attachment"}
    return FileResponse(files.content(file), media_type="application/octet-stream", headers=headers)


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
