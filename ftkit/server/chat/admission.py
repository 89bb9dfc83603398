"""Admit a request to its model."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack

from starlette.requests import Request

from ftkit.errors import BusyError, ModelError
from ftkit.inference.engine_error import EngineError
from ftkit.inference.service import InferenceService, ServedModel
from ftkit.server.errors import ApiError, busy

__all__ = ["admit"]

_log = logging.getLogger("ftkit.server")


async def admit(request: Request, stack: AsyncExitStack, model: str, name: str, answers: int = 1) -> ServedModel:
    """Wait until a request may use its model.

    Args:
        request: the HTTP request.
        stack: holds the model in memory.
        model: the model, as :class:`ftkit.server.model_names.ModelNames` resolved its name.
        name: the client's name for it.
        answers: how many answers the request wants.

    Returns:
        The loaded model.

    Raises:
        ApiError: 429 if the queue is full, 503 if the model cannot be used.
    """
    service: InferenceService = request.app.state.serving
    try:
        return await stack.enter_async_context(service.model(model, answers, project=request.state.project))
    except BusyError as error:
        raise busy(error) from None
    except EngineError as error:
        _log.error("the model %r cannot be used: %s", name, error)
        raise ApiError(503, f"The model {name!r} cannot be used: {error.outward}.", "server_error") from None
    except ModelError as error:
        raise ApiError(503, f"The model {name!r} cannot be used: {error}", "server_error") from None
