"""The backend for Together AI."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from typing_extensions import override

from ftkit.backends.answer import Answerer
from ftkit.backends.hosted.backend import HostedBackend
from ftkit.backends.hosted.endpoint import Endpoint
from ftkit.backends.hosted.field_support import fractional_alpha
from ftkit.backends.hosted.http import Http
from ftkit.backends.hosted.retry import RetryPolicy
from ftkit.backends.hosted.weight_archive import unpack_weights
from ftkit.backends.openai_jobs.answerer import OpenAIAnswerer
from ftkit.backends.together.host import TogetherHost
from ftkit.backends.together.recipe_fields import EVALUATIONS, FIELD_SUPPORT, request_parameters
from ftkit.catalog import load_catalog
from ftkit.recipe import Recipe
from ftkit.schema import Output
from ftkit.store import RunRecord

__all__ = ["Together"]

# The official client's TOGETHER_BASE_URL has no version in it, hence the suffix.
_ENDPOINT = Endpoint(
    "together", "https://api.together.ai/v1", "TOGETHER_BASE_URL", ("TOGETHER_API_KEY",), url_suffix="/v1"
)


class Together(HostedBackend[TogetherHost]):
    """Trains at Together AI.

    A tuned model answers from a dedicated endpoint, or on this machine after ``run.download(folder)``.

    Args:
        model: the model, e.g. ``"Qwen/Qwen3.5-9B"``.
        api_key: ``TOGETHER_API_KEY`` by default; kept in memory only.
        base_url: ``TOGETHER_BASE_URL`` by default, else ``https://api.together.ai/v1``.
        inference_url: where the model answers. ``TOGETHER_INFERENCE_URL`` by default, else ``base_url``. Dedicated
            endpoints of the v2 API answer at ``https://api-inference.together.ai/v1``.
        concurrency: number of requests at the same time.
        retry_policy: how failing calls are retried.
    """

    price_estimates = ("sft", "dpo")
    charged_evaluations = EVALUATIONS

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        inference_url: str | None = None,
        concurrency: int = 8,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        super().__init__(
            model,
            _ENDPOINT,
            FIELD_SUPPORT,
            base_url=base_url,
            api_key=api_key,
            concurrency=concurrency,
            retry_policy=retry_policy,
        )
        self._inference_url = inference_url or os.environ.get("TOGETHER_INFERENCE_URL") or None

    @override
    def out_of_range(self, recipe: Recipe) -> dict[str, str]:
        listed = load_catalog().model(*self.catalog_key())
        max_rank, rank = None if listed is None else listed.max_rank, getattr(recipe.adapter, "rank", None)
        problems = fractional_alpha(recipe)
        if listed is not None and max_rank is not None and rank is not None and rank > max_rank:
            problems["adapter.rank"] = f"the model takes adapters up to rank {max_rank} ({listed.source})"
        return problems

    @override
    def request_body(
        self, recipe: Recipe, rows: int, files: Mapping[str, str], key: str, output: Output | None = None
    ) -> dict[str, Any]:
        body = {"model": self.model, "training_file": files["training"], "suffix": key}
        if "validation" in files:
            body["validation_file"] = files["validation"]
        return body | request_parameters(recipe, rows, validated="validation" in files)

    @override
    def create_host(self) -> TogetherHost:
        return TogetherHost(Http(self.name, self.url(), self.key()))

    @override
    def create_answerer(self) -> Answerer:
        url = self.url() if self._inference_url is None else self.endpoint.address(self._inference_url)
        return OpenAIAnswerer(self.endpoint, url, self.key(), self.model, self.retry_policy, self.limiter)

    @override
    def download_weights(self, record: RunRecord, folder: Path) -> None:
        packed = folder / "weights.tar.zst"
        checkpoint = "model_output_path" if record.recipe["adapter"]["kind"] == "full" else "adapter"
        self.retry_policy(lambda: self.host().download(record.handle["job"], packed, checkpoint))
        unpack_weights(packed, folder, self.name)
        packed.unlink()
