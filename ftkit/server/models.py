"""Routes of ``/v1/models``."""

from __future__ import annotations

import shutil
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ftkit.server.errors import ApiError
from ftkit.server.jobs.job_table import JobTable
from ftkit.server.json_list import list_response
from ftkit.server.model_names import ModelNames, ResolvedModel, epoch_model
from ftkit.server.request_body import check_list_query
from ftkit.server.state import State

__all__ = ["routes"]

_PAGING = ("limit", "after", "before", "order")


async def _list(request: Request) -> Response:
    # Clients say here who they are (Codex sends its version), which changes nothing.
    check_list_query(request, *(name for name in request.query_params if name not in _PAGING))
    names: ModelNames = request.app.state.names
    models = await run_in_threadpool(names.all, request.state.project)
    return await list_response([_model_object(model) for model in models])


async def _retrieve(request: Request) -> JSONResponse:
    names: ModelNames = request.app.state.names
    model = await run_in_threadpool(names.resolve, request.path_params["model"], request.state.project)
    return JSONResponse(_model_object(model))


def _delete_model(request: Request) -> None:
    """Delete a fine-tuned model or a checkpoint, with its files."""
    names: ModelNames = request.app.state.names
    jobs: JobTable = request.app.state.jobs
    state: State = request.app.state.state
    name, project = request.path_params["model"], request.state.project
    trained_by = names.tuned(name, project)
    if trained_by is None:
        names.resolve(name, project)  # raises if there is no such model
        message = f"The model {name!r} belongs to the server and cannot be deleted."
        raise ApiError(403, message, "permission_error", param="model")
    job_id, step = trained_by
    folder = state.store.run_folder(job_id)
    if step is None:
        jobs.update(job_id, lambda now: {"model_deleted": True})
        shutil.rmtree(folder / "model", ignore_errors=True)
        shutil.rmtree(folder / "epochs", ignore_errors=True)
    else:
        shutil.rmtree(epoch_model(folder, step), ignore_errors=True)
    jobs.delete_checkpoints(job_id, step)


async def _delete(request: Request) -> JSONResponse:
    await run_in_threadpool(_delete_model, request)
    return JSONResponse({"id": request.path_params["model"], "object": "model", "deleted": True})


def _model_object(model: ResolvedModel) -> dict[str, Any]:
    return {"id": model.name, "object": "model", "created": model.created, "owned_by": model.owned_by}


routes = [
    Route("/v1/models", _list, methods=["GET"]),
    Route("/v1/models/{model:path}", _retrieve, methods=["GET"]),
    Route("/v1/models/{model:path}", _delete, methods=["DELETE"]),
]
