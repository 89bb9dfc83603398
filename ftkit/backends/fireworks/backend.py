"""The backend for Fireworks AI."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ftkit.backends.answer import Answerer
from ftkit.backends.fireworks.host import FireworksHost
from ftkit.backends.fireworks.recipe_fields import MOST_BETA, TREATMENTS, loss, parameters, rollouts
from ftkit.backends.hosted.backend import HostedBackend
from ftkit.backends.hosted.endpoint import Endpoint
from ftkit.backends.hosted.http import Http
from ftkit.backends.hosted.retry import Patience
from ftkit.backends.openai_jobs.answerer import OpenAIAnswerer
from ftkit.catalog import load_catalog
from ftkit.errors import ConfigError
from ftkit.graders import EvaluatorGrader
from ftkit.recipe import DPO, RFT, Recipe
from ftkit.schema import Output
from ftkit.store import RunRecord

__all__ = ["Fireworks"]

_ENDPOINT = Endpoint("fireworks", "https://api.fireworks.ai", "FIREWORKS_BASE_URL", ("FIREWORKS_API_KEY",))


class Fireworks(HostedBackend[FireworksHost]):
    """Trains at Fireworks AI. A tuned model answers from a deployment of its own:
    ``"fireworks:accounts/x/models/m#accounts/x/deployments/d"``, or here after ``run.download(folder)``.

    Args:
        model: e.g. ``"qwen3-8b"``, or a whole name, ``"accounts/fireworks/models/qwen3-8b"``.
        account: ``FIREWORKS_ACCOUNT_ID`` by default.
        api_key: ``FIREWORKS_API_KEY`` by default; kept in memory only.
        base_url: ``FIREWORKS_BASE_URL`` by default, else ``https://api.fireworks.ai``.
        concurrency: questions asked at once.
        patience: how failing calls are tried again.
    """

    estimates = ("sft",)

    def __init__(
        self,
        model: str,
        *,
        account: str | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        concurrency: int = 8,
        patience: Patience | None = None,
    ) -> None:
        super().__init__(
            model,
            _ENDPOINT,
            TREATMENTS,
            base_url=base_url,
            api_key=api_key,
            concurrency=concurrency,
            patience=patience,
        )
        self._account = account

    def beyond(self, recipe: Recipe) -> dict[str, str]:
        if isinstance(recipe, DPO) and recipe.beta >= MOST_BETA:
            return {"beta": f"the host takes a beta below {MOST_BETA}"}
        if isinstance(recipe, RFT) and not isinstance(recipe.grader, EvaluatorGrader):
            why = 'the host grades by an evaluator of yours: ft.EvaluatorGrader(evaluator="accounts/…/evaluators/…")'
            return {"grader": why}
        return {}

    def body(
        self, recipe: Recipe, rows: int, files: dict[str, str], key: str, output: Output | None = None
    ) -> dict[str, Any]:
        training = {"baseModel": self._whole_name()} | parameters(recipe, rows)
        body: dict[str, Any] = {"dataset": files["training"], "displayName": key}
        if "validation" in files:
            body["evaluationDataset"] = files["validation"]
        if isinstance(recipe, DPO):
            return body | {"trainingConfig": training, "lossConfig": loss(recipe)}
        if isinstance(recipe, RFT):
            return body | {"trainingConfig": training} | rollouts(recipe)
        return body | training

    def make_host(self) -> FireworksHost:
        account = self._account or os.environ.get("FIREWORKS_ACCOUNT_ID", "")
        if not account:
            raise ConfigError("fireworks needs an account: set FIREWORKS_ACCOUNT_ID, or pass account=")
        return FireworksHost(Http(self.name, self.url(), self.key()), account)

    def make_answerer(self) -> Answerer:
        url = f"{self.url()}/inference/v1"
        return OpenAIAnswerer(self.endpoint, url, self.key(), self._whole_name(), self.patience, self.concurrency)

    def fetch_weights(self, record: RunRecord, folder: Path) -> None:
        self.patience(lambda: self.host().download(str(record.summary["tuned_model"]), folder))

    def _whole_name(self) -> str:
        known = load_catalog().model(*self.listed())
        if known is not None:
            return known.id
        return self.model if "/" in self.model else f"accounts/fireworks/models/{self.model}"
