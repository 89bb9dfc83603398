"""The backend for Fireworks AI."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from typing_extensions import override

from ftkit.backends.answer import Answerer
from ftkit.backends.fireworks.host import FireworksHost
from ftkit.backends.fireworks.recipe_fields import (
    FIELD_SUPPORT,
    MAX_BETA,
    dpo_loss,
    request_parameters,
    rft_parameters,
)
from ftkit.backends.hosted.backend import HostedBackend
from ftkit.backends.hosted.endpoint import Endpoint
from ftkit.backends.hosted.http import Http
from ftkit.backends.hosted.retry import RetryPolicy
from ftkit.backends.openai_jobs.answerer import OpenAIAnswerer
from ftkit.catalog import load_catalog
from ftkit.errors import ConfigError
from ftkit.graders import EvaluatorGrader
from ftkit.recipe import RFT, Recipe
from ftkit.schema import Output
from ftkit.store import RunRecord

__all__ = ["Fireworks"]

_ENDPOINT = Endpoint("fireworks", "https://api.fireworks.ai", "FIREWORKS_BASE_URL", ("FIREWORKS_API_KEY",))


class Fireworks(HostedBackend[FireworksHost]):
    """Trains at Fireworks AI.

    A tuned model answers from a deployment of its own:
    ``"fireworks:accounts/x/models/m#accounts/x/deployments/d"``, or on this machine after ``run.download(folder)``.

    Args:
        model: the model, e.g. ``"qwen3-8b"``, or its full name, ``"accounts/fireworks/models/qwen3-8b"``.
        account: ``FIREWORKS_ACCOUNT_ID`` by default.
        api_key: ``FIREWORKS_API_KEY`` by default; kept in memory only.
        base_url: ``FIREWORKS_BASE_URL`` by default, else ``https://api.fireworks.ai``.
        concurrency: number of requests at the same time.
        retry_policy: how failing calls are retried.
    """

    price_estimates = ("sft",)

    def __init__(
        self,
        model: str,
        *,
        account: str | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
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
        self._account = account

    @override
    def out_of_range(self, recipe: Recipe) -> dict[str, str]:
        if recipe.kind == "dpo" and recipe.model_dump()["beta"] >= MAX_BETA:
            return {"beta": f"the host takes a beta below {MAX_BETA}"}
        if recipe.kind == "rft" and not isinstance(cast("RFT", recipe).grader, EvaluatorGrader):
            reason = 'the host grades by an evaluator of yours: ft.EvaluatorGrader(evaluator="accounts/…/evaluators/…")'
            return {"grader": reason}
        return {}

    @override
    def request_body(
        self, recipe: Recipe, rows: int, files: Mapping[str, str], key: str, output: Output | None = None
    ) -> dict[str, Any]:
        training = {"baseModel": self._full_name()} | request_parameters(recipe, rows)
        body: dict[str, Any] = {"dataset": files["training"], "displayName": key}
        if "validation" in files:
            body["evaluationDataset"] = files["validation"]
        if recipe.kind == "dpo":
            return body | {"trainingConfig": training, "lossConfig": dpo_loss(recipe.model_dump()["beta"])}
        if recipe.kind == "rft":
            return body | {"trainingConfig": training} | rft_parameters(cast("RFT", recipe))
        return body | training

    @override
    def create_host(self) -> FireworksHost:
        account = self._account or os.environ.get("FIREWORKS_ACCOUNT_ID", "")
        if not account:
            raise ConfigError("fireworks needs an account: set FIREWORKS_ACCOUNT_ID, or pass account=")
        return FireworksHost(Http(self.name, self.url(), self.key()), account)

    @override
    def create_answerer(self) -> Answerer:
        url = f"{self.url()}/inference/v1"
        return OpenAIAnswerer(self.endpoint, url, self.key(), self._full_name(), self.retry_policy, self.limiter)

    @override
    def download_weights(self, record: RunRecord, folder: Path) -> None:
        self.retry_policy(lambda: self.host().download(str(record.summary["tuned_model"]), folder))

    def _full_name(self) -> str:
        listed = load_catalog().model(*self.catalog_key())
        if listed is not None:
            return listed.id
        return self.model if "/" in self.model else f"accounts/fireworks/models/{self.model}"
