"""The backend for every host of OpenAI's jobs API."""

from __future__ import annotations

import os
from typing import Any

from ftkit.backends.answer import Answerer
from ftkit.backends.hosted.backend import HostedBackend
from ftkit.backends.hosted.patience import Patience
from ftkit.backends.openai_jobs.fields import hyperparameters, treatments
from ftkit.backends.openai_jobs.host import KEY, OpenAIHost
from ftkit.backends.openai_jobs.profiles import PROFILES
from ftkit.backends.openai_jobs.sdk import Sdk
from ftkit.catalog import load_catalog
from ftkit.data import Dataset
from ftkit.errors import ConfigError, RefusedError
from ftkit.recipe import DPO, Recipe

__all__ = ["OpenAIJobs"]

_MOST_EPOCHS, _MOST_BATCH, _MOST_BETA = 50, 256, 2.0
"""Ranges in OpenAI's specification of the API."""


class OpenAIJobs(HostedBackend):
    """Trains and answers at OpenAI, or at a host that speaks the same.

    Args:
        model: the host's name of it, or of a tuned version.
        profile: which host; see :data:`~ftkit.backends.openai_jobs.PROFILES`.
        base_url: the host's address, when it is not the profile's.
        api_key: its key; from the environment by default. It is kept nowhere but in memory.
        extra: fields to send along when a job is created, e.g. ``{"trainingType": "GlobalStandard"}`` on Azure.
        concurrency: questions asked at once.
        patience: how failing calls are tried again.
    """

    def __init__(
        self,
        model: str,
        *,
        profile: str = "openai",
        base_url: str | None = None,
        api_key: str | None = None,
        extra: dict[str, Any] | None = None,
        concurrency: int = 8,
        patience: Patience | None = None,
    ) -> None:
        if profile not in PROFILES:
            raise ConfigError(f"there is no profile {profile!r}; known are {', '.join(PROFILES)}")
        super().__init__(model, patience=patience)
        self.profile = PROFILES[profile]
        self.name = profile
        self.byte_order_mark = self.profile.byte_order_mark
        self.treatments = treatments(self.profile)
        self._base_url, self._api_key = base_url, api_key
        self._extra = extra or {}
        self._concurrency = concurrency
        # The address is part of the name where nothing else says it, so that another process finds the host again.
        self._known_as = model
        if profile == "compatible" and base_url is not None:
            self.model = f"{base_url}#{model}"

    def check(self, recipe: Recipe, data: Dataset, validation: Dataset | None) -> None:
        super().check(recipe, data, validation)
        wrong = []
        if recipe.epochs != "auto" and recipe.epochs > _MOST_EPOCHS:
            wrong.append(("epochs", f"at most {_MOST_EPOCHS}"))
        if recipe.batch_size != "auto" and recipe.batch_size > _MOST_BATCH:
            wrong.append(("batch_size", f"at most {_MOST_BATCH}"))
        if isinstance(recipe, DPO) and recipe.beta > _MOST_BETA:
            wrong.append(("beta", f"at most {_MOST_BETA:g}"))
        if wrong:
            told = "; ".join(f"{name}={getattr(recipe, name)}: {why}" for name, why in wrong)
            raise RefusedError(
                f"{self.name}:{self.model} cannot honour the recipe. {told}",
                backend=self.name,
                fields=tuple(name for name, _ in wrong),
            )

    def body(self, recipe: Recipe, rows: int, files: dict[str, str], key: str) -> dict[str, Any]:
        known = load_catalog().model(self.name, self._known_as)
        asked = hyperparameters(self.profile, recipe, rows)
        body: dict[str, Any] = {
            "model": self._known_as if known is None or self._known_as.startswith("ft:") else known.id,
            "training_file": files["training"],
            "seed": recipe.seed,
        }
        if "validation" in files:
            body["validation_file"] = files["validation"]
        if self.profile.key_in == "metadata":
            body["metadata"] = {KEY: key}
        else:
            body["suffix"] = key
        if self.profile.parameters == "top":
            body["hyperparameters"] = asked
        else:
            method = "dpo" if isinstance(recipe, DPO) else "supervised"
            body["method"] = {"type": method, method: {"hyperparameters": asked}}
        if self._extra:
            body["extra_body"] = dict(self._extra)
        return body

    def make_host(self) -> OpenAIHost:
        return OpenAIHost(self.profile, Sdk(self.name, self._url(), self._key()))

    def make_answerer(self) -> Answerer:
        from ftkit.backends.openai_jobs.answerer import OpenAIAnswerer

        url = self._url() if self._base_url or not self.profile.answers_at else self.profile.answers_at
        sdk = Sdk(self.name, url, self._key())
        return OpenAIAnswerer(self.profile, sdk, self._known_as, self.patience, self._concurrency)

    def openai_host(self) -> OpenAIHost:
        """The host, with what only this family has: pause, contents of files, models, jobs."""
        host = self.host()
        assert isinstance(host, OpenAIHost)  # noqa: S101  (make_host makes no other)
        return host

    def _url(self) -> str:
        said = self._base_url or os.environ.get(self.profile.url_variable, "")
        if self._base_url is None and "{}" in self.profile.url and said and "://" not in said:
            said = self.profile.url.replace("{}", said)
        url = (said or self.profile.url).rstrip("/")
        if not url or "{}" in url:
            raise ConfigError(f"where is {self.name}? Set {self.profile.url_variable}, or pass base_url=")
        if self.name == "azure" and not url.endswith("/v1"):
            url += "/openai/v1"
        return url

    def _key(self) -> str:
        key = self._api_key or next(
            (os.environ[name] for name in self.profile.key_variables if os.environ.get(name)), ""
        )
        if not key:
            raise ConfigError(
                f"{self.name} needs a key: set {' or '.join(self.profile.key_variables)}, or pass api_key="
            )
        return key
