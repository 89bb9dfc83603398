"""Route of ``/v1/embeddings`` (OpenAI, API reference, "Create embeddings")."""

from __future__ import annotations

import base64
from contextlib import AsyncExitStack

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ftkit.errors import DataError, ModelError
from ftkit.inference.service import InferenceService
from ftkit.server.chat.admission import admit
from ftkit.server.chat.connection import unless_disconnected
from ftkit.server.chat.embedding_request import EmbeddingRequest, invalid_input
from ftkit.server.chat.metrics import Metrics, counted
from ftkit.server.errors import ApiError
from ftkit.server.model_names import ModelNames
from ftkit.server.request_body import parse_json_body

__all__ = ["routes"]


async def _respond(request: Request, metrics: Metrics) -> Response:
    body = await parse_json_body(request, EmbeddingRequest)
    texts = body.texts
    names: ModelNames = request.app.state.names
    served = await run_in_threadpool(names.resolve, body.model, request.state.project)
    async with AsyncExitStack() as stack:
        vectors, tokens = await unless_disconnected(request, _embed(request, stack, served.source, body, texts))
    metrics.tokens.labels("prompt").inc(tokens)
    encode = _base64 if body.encoding_format == "base64" else list
    data = [
        {"object": "embedding", "index": number, "embedding": encode(vector)} for number, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return JSONResponse({"object": "list", "data": data, "model": body.model, "usage": usage})


async def _embed(
    request: Request, stack: AsyncExitStack, model: str, body: EmbeddingRequest, texts: list[str]
) -> tuple[list[list[float]], int]:
    service: InferenceService = request.app.state.serving
    if service.no_weights is not None:  # before the model is loaded for nothing
        raise ApiError(400, f"The model {body.model!r} gives no embeddings: {service.no_weights}.", param="model")
    served = await admit(request, stack, model, body.model)
    vectors: list[list[float]] = []
    tokens = 0
    for number, text in enumerate(texts):  # answers of other requests come between two texts
        try:
            vector, count = await served.embed(text)
        except DataError as error:
            place = "input" if isinstance(body.input, str) else f"input[{number}]"
            raise ApiError(400, f"{place}: {error.message}", param="input", code="context_length_exceeded") from None
        except ModelError as error:
            raise ApiError(400, f"The model {body.model!r} gives no embeddings: {error}", param="model") from None
        if body.dimensions not in (None, len(vector)):
            raise invalid_input(f"the model's embeddings have {len(vector)} dimensions; leave it out", "dimensions")
        vectors.append(vector)
        tokens += count
    return vectors, tokens


def _base64(vector: list[float]) -> str:
    """Little-endian float32, as OpenAI's clients expect."""
    return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()


routes = [Route("/v1/embeddings", counted(_respond), methods=["POST"])]
