"""Prometheus metrics."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ftkit.inference.service import InferenceService

__all__ = ["Metrics"]

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Metrics:
    """The counters of one server.

    Args:
        service: whose queue and batches are reported.
    """

    def __init__(self, service: InferenceService) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_EngineCollector(service))
        self.requests = Counter(
            "ftkit_chat_requests", "Chat requests by the status of their answer.", ["status"], registry=self._registry
        )
        self.tokens = Counter(
            "ftkit_chat_tokens", "Tokens: of prompts, read from the cache, answered.", ["kind"], registry=self._registry
        )
        self.first_token = Histogram(
            "ftkit_chat_first_token_seconds",
            "From a request to the first token of its answer.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.seconds = Histogram(
            "ftkit_chat_seconds", "From a request to the end of its answer.", buckets=_SECONDS, registry=self._registry
        )

    def text(self) -> bytes:
        """Render all metrics.

        Returns:
            Prometheus' text format.
        """
        return generate_latest(self._registry)


class _EngineCollector(Collector):
    def __init__(self, service: InferenceService) -> None:
        self._service = service

    def collect(self) -> Iterable[Metric]:
        inside = GaugeMetricFamily("ftkit_chat_inside", "Answers that were let in and are not over.")
        inside.add_metric([], self._service.in_progress)
        yield inside
        loads = self._service.stats()
        for name, said, values in (
            ("ftkit_batch_answers", "Answers that are computed together.", [one.running for one in loads]),
            ("ftkit_queue_answers", "Answers that wait for room in the batch.", [one.waiting for one in loads]),
            ("ftkit_model_bytes", "Memory of a base with adapters and caches.", [one.held_bytes for one in loads]),
            (
                "ftkit_kept_bytes",
                "Of that, beginnings of prompts that are kept.",
                [one.prefix_cache_bytes for one in loads],
            ),
            ("ftkit_model_adapters", "Adapters that stand on a base.", [one.adapters for one in loads]),
        ):
            gauge = GaugeMetricFamily(name, said, labels=["model", "number"])
            for number, (load, value) in enumerate(zip(loads, values, strict=True)):
                gauge.add_metric([load.model, str(number)], value)
            yield gauge
