"""The backend for Fireworks AI."""

from __future__ import annotations

import os
from typing import Any

from ftkit.backends.answer import Answerer
from ftkit.backends.fireworks.fields import MOST_BETA, TREATMENTS, loss, parameters
from ftkit.backends.fireworks.host import FireworksHost
from ftkit.backends.hosted.backend import HostedBackend
from ftkit.backends.hosted.http import Http
from ftkit.backends.hosted.patience import Patience
from ftkit.catalog import load_catalog
from ftkit.data import Dataset
from ftkit.errors import ConfigError, RefusedError
from ftkit.recipe import DPO, Recipe

__all__ = ["Fireworks"]


class Fireworks(HostedBackend):
    """Trains at Fireworks AI. A tuned model answers from a deployment of its own:
    ``"fireworks:accounts/x/models/m#accounts/x/deployments/d"``.

    Args:
        model: e.g. ``"qwen3-8b"``, or a whole name, ``"accounts/fireworks/models/qwen3-8b"``.
        account: ``FIREWORKS_ACCOUNT_ID`` by default.
        api_key: ``FIREWORKS_API_KEY`` by default; kept in memory only.
        base_url: ``FIREWORKS_BASE_URL`` by default, else ``https://api.fireworks.ai``.
        concurrency: questions asked at once.
    """

    name = "fireworks"

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
        super().__init__(model, patience=patience)
        self.treatments = TREATMENTS
        self._account, self._api_key, self._base_url = account, api_key, base_url
        self._concurrency = concurrency

    def check(self, recipe: Recipe, data: Dataset, validation: Dataset | None) -> None:
        super().check(recipe, data, validation)
        if isinstance(recipe, DPO) and recipe.beta >= MOST_BETA:
            raise RefusedError(
                f"fireworks:{self.model} takes a beta below {MOST_BETA}, not {recipe.beta}",
                backend=self.name,
                fields=("beta",),
            )

    def body(self, recipe: Recipe, rows: int, files: dict[str, str], key: str) -> dict[str, Any]:
        known = load_catalog().model(self.name, self.model)
        training = {"baseModel": self.model if known is None else known.id} | parameters(recipe, rows)
        body: dict[str, Any] = {"dataset": files["training"], "displayName": key}
        if "validation" in files:
            body["evaluationDataset"] = files["validation"]
        if isinstance(recipe, DPO):
            return body | {"trainingConfig": training, "lossConfig": loss(recipe)}
        return body | training

    def make_host(self) -> FireworksHost:
        account = self._account or os.environ.get("FIREWORKS_ACCOUNT_ID", "")
        if not account:
            raise ConfigError("fireworks needs an account: set FIREWORKS_ACCOUNT_ID, or pass account=")
        return FireworksHost(Http(self.name, self._url(), self._key()), account)

    def make_answerer(self) -> Answerer:
        from ftkit.backends.openai_jobs.answerer import OpenAIAnswerer
        from ftkit.backends.openai_jobs.profiles import Profile
        from ftkit.backends.openai_jobs.sdk import Sdk

        url = f"{self._url()}/inference/v1"
        profile = Profile(self.name, url, "FIREWORKS_BASE_URL", ("FIREWORKS_API_KEY",))
        known = load_catalog().model(self.name, self.model)
        model = self.model if known is None else known.id
        return OpenAIAnswerer(profile, Sdk(self.name, url, self._key()), model, self.patience, self._concurrency)

    def _url(self) -> str:
        return (self._base_url or os.environ.get("FIREWORKS_BASE_URL") or "https://api.fireworks.ai").rstrip("/")

    def _key(self) -> str:
        key = self._api_key or os.environ.get("FIREWORKS_API_KEY", "")
        if not key:
            raise ConfigError("fireworks needs a key: set FIREWORKS_API_KEY, or pass api_key=")
        return key
