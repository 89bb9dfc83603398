"""Prometheus metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import override

from ftkit.inference.service import InferenceService
from ftkit.server.errors import as_api_error

__all__ = ["Metrics", "counted"]

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Metrics:
    """The metrics of a server.

    Args:
        service: the inference engine whose queue and batches are reported.
        name_of: turns a loaded model's name, which may be a path, into the clients' name for it.
    """

    def __init__(self, service: InferenceService, name_of: Callable[[str], str]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_EngineCollector(service, name_of))
        self.requests = Counter("ftkit_chat_requests", "Chat requests by status.", ["status"], registry=self._registry)
        self.tokens = Counter(
            "ftkit_chat_tokens",
            "Tokens of prompts, tokens read from the cache, tokens of answers.",
            ["kind"],
            registry=self._registry,
        )
        self.first_token = Histogram(
            "ftkit_chat_first_token_seconds",
            "Time to first token.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.seconds = Histogram(
            "ftkit_chat_seconds", "Time to the end of the answer.", buckets=_SECONDS, registry=self._registry
        )

    def text(self) -> bytes:
        """Render all metrics.

        Returns:
            Prometheus' text format.
        """
        return generate_latest(self._registry)


def counted(
    respond: Callable[[Request, Metrics], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Make a route's function that counts its responses by status, errors included.

    Args:
        respond: answers a request. It receives the server's metrics for what else it counts.

    Returns:
        The function, as a ``Route`` takes it.
    """

    async def endpoint(request: Request) -> Response:
        metrics: Metrics = request.app.state.metrics
        try:
            response = await respond(request, metrics)
        except Exception as error:
            metrics.requests.labels(str(as_api_error(request, error).status)).inc()
            raise
        metrics.requests.labels(str(response.status_code)).inc()
        return response

    return endpoint


class _EngineCollector(Collector):
    def __init__(self, service: InferenceService, name_of: Callable[[str], str]) -> None:
        self._service, self._name_of = service, name_of

    @override
    def collect(self) -> Iterable[Metric]:
        in_progress = GaugeMetricFamily("ftkit_chat_inside", "Accepted answers that are not complete.")
        in_progress.add_metric([], self._service.in_progress)
        yield in_progress
        stats = self._service.stats()
        gauges: tuple[tuple[str, str, list[int] | list[int | None]], ...] = (
            ("ftkit_batch_answers", "Answers in the batch.", [model.running for model in stats]),
            ("ftkit_queue_answers", "Answers waiting for the batch.", [model.waiting for model in stats]),
            (
                "ftkit_model_bytes",
                "Memory of a base model with adapters and caches.",
                [model.held_bytes for model in stats],
            ),
            (
                "ftkit_kept_bytes",
                "Memory of cached prefixes.",
                [model.prefix_cache_bytes for model in stats],
            ),
            ("ftkit_model_adapters", "Adapters loaded on a base model.", [model.adapters for model in stats]),
        )
        for name, description, values in gauges:
            gauge = GaugeMetricFamily(name, description, labels=["model", "number"])
            for number, (model, value) in enumerate(zip(stats, values, strict=True)):
                if value is not None:
                    gauge.add_metric([self._name_of(model.model), str(number)], value)
            yield gauge
