"""``/v1/models``."""

from __future__ import annotations

import shutil
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ftkit.server.errors import ApiError
from ftkit.server.jobs.job_table import JobTable
from ftkit.server.model_names import ModelNames, ServedModel, epoch_model
from ftkit.server.state import State

__all__ = ["routes"]


async def _list(request: Request) -> JSONResponse:
    names: ModelNames = request.app.state.names
    found = await run_in_threadpool(names.all, request.state.project)
    return JSONResponse({"object": "list", "data": [_shown(one) for one in found]})


async def _retrieve(request: Request) -> JSONResponse:
    names: ModelNames = request.app.state.names
    found = await run_in_threadpool(names.resolve, request.path_params["model"], request.state.project)
    return JSONResponse(_shown(found))


def _delete_model(request: Request) -> None:
    """Delete a tuned model or a checkpoint, with its files."""
    names: ModelNames = request.app.state.names
    jobs: JobTable = request.app.state.jobs
    state: State = request.app.state.state
    name, project = request.path_params["model"], request.state.project
    found = names.tuned(name, project)
    if found is None:
        names.resolve(name, project)  # says so when there is no such model at all
        message = f"The model {name!r} is the server's own and cannot be deleted."
        raise ApiError(403, message, "permission_error", param="model")
    job_id, step = found
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


def _shown(one: ServedModel) -> dict[str, Any]:
    return {"id": one.name, "object": "model", "created": one.created, "owned_by": one.owned_by}


routes = [
    Route("/v1/models", _list, methods=["GET"]),
    Route("/v1/models/{model:path}", _retrieve, methods=["GET"]),
    Route("/v1/models/{model:path}", _delete, methods=["DELETE"]),
]
