"""The torch inference engine, run by the calling thread."""

from __future__ import annotations

from typing_extensions import override

from ftkit.inference.active_request import ActiveRequest
from ftkit.inference.batch_settings import BatchSettings
from ftkit.inference.continuous_batching import ContinuousBatch
from ftkit.inference.decoding import Decoding, choose_decoding
from ftkit.inference.multi_lora import MultiLoRAModel
from ftkit.inference.protocol import EngineStats, GenerationRequest, InferenceEngine, OnEvent
from ftkit.inference.sequential_batch import SequentialBatch

__all__ = ["TorchEngine"]


class TorchEngine(InferenceEngine):
    """An engine that works when :meth:`step` or :meth:`run` is called. Use it from one thread.

    With the same requests added in the same order and the same weights it computes the same bits.

    Args:
        model: the loaded model.
        settings: size of its batch.

    Raises:
        ModelError: the model is none that writes text from left to right.
    """

    def __init__(self, model: MultiLoRAModel, settings: BatchSettings | None = None) -> None:
        settings = settings or BatchSettings()
        self.model = model
        decoding = choose_decoding(model)
        self._batch: ContinuousBatch | SequentialBatch = (
            ContinuousBatch(model, settings)
            if decoding is Decoding.BATCHED
            else SequentialBatch(
                model,
                settings.rows,
                cached=decoding is not Decoding.NO_CACHE,
                positions=decoding is Decoding.OWN_CACHE_AND_POSITIONS,
            )
        )
        self._open: dict[int, ActiveRequest] = {}
        self._max_running = 0

    @property
    @override
    def max_length(self) -> int | None:
        return self.model.pretrained.max_length

    @property
    def busy(self) -> bool:
        """Whether a request waits or is being answered."""
        return bool(self._batch.running or self._batch.waiting)

    @override
    def add(self, request: GenerationRequest, on_event: OnEvent) -> ActiveRequest:
        active = ActiveRequest(request, on_event)
        self.add_active(active)
        return active

    def add_active(self, request: ActiveRequest) -> None:
        """Queue a request that was made before.

        Args:
            request: the request.
        """
        self._open[id(request)] = request
        self._batch.add(request)

    @override
    def cancel(self, handle: ActiveRequest) -> None:
        handle.finished = True
        if self._open.pop(id(handle), None) is not None:
            self._batch.remove(handle)

    @override
    def stats(self) -> EngineStats:
        batch = self._batch
        prefix_bytes = batch.prefixes.held_bytes if isinstance(batch, ContinuousBatch) else 0
        return EngineStats(batch.running, batch.waiting, self._max_running, batch.steps, prefix_bytes)

    def step(self) -> None:
        """Compute waiting prompts and generate one token for each running answer.

        Raises:
            Exception: whatever torch raises, e.g. out of memory. :meth:`fail` then ends all requests.
        """
        self._batch.step()
        self._max_running = max(self._max_running, self._batch.running)
        for key in [key for key, request in self._open.items() if request.finished]:
            del self._open[key]

    def run(self) -> None:
        """Step until every request is answered."""
        while self.busy:
            self.step()

    def fail(self, error: Exception) -> None:
        """End all requests with an error, and free their memory.

        Args:
            error: the error that their callers get.
        """
        self._batch.clear()
        failed = [*self._open.values()]
        self._open.clear()
        for request in failed:
            request.fail(error)
