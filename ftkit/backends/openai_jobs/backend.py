"""The backend for every host of OpenAI's jobs API."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from ftkit.backends.answer import Answerer
from ftkit.backends.hosted.backend import HostedBackend
from ftkit.backends.hosted.retry import Patience
from ftkit.backends.openai_jobs.answerer import OpenAIAnswerer
from ftkit.backends.openai_jobs.embeddings import OpenAIEmbedder
from ftkit.backends.openai_jobs.host import KEY, OpenAIHost
from ftkit.backends.openai_jobs.profiles import PROFILES
from ftkit.backends.openai_jobs.recipe_fields import hyperparameters, treatments
from ftkit.backends.openai_jobs.rft_fields import grader_form, grader_refused, reinforcement
from ftkit.backends.openai_jobs.sdk import Sdk
from ftkit.catalog import load_catalog
from ftkit.errors import ConfigError, HostError, RefusedError
from ftkit.graders import Grade, Grader
from ftkit.recipe import DPO, RFT, Recipe
from ftkit.schema import Output
from ftkit.store import RunRecord

__all__ = ["OpenAIJobs"]

_MOST_EPOCHS, _MOST_BATCH, _MOST_BETA = 50, 256, 2.0
"""Ranges in OpenAI's specification of the API."""


class OpenAIJobs(HostedBackend[OpenAIHost]):
    """Trains and answers at OpenAI, or at a host that speaks the same.

    Args:
        model: the host's name of it, or of a tuned version.
        profile: which host; see :data:`~ftkit.backends.openai_jobs.PROFILES`.
        base_url: the host's address, when it is not the profile's.
        api_key: its key; from the environment by default. It is kept nowhere but in memory.
        extra: what to send along when a job is created and no recipe says: ``{"trainingType": "GlobalStandard"}`` on
            Azure, or, within the request, ``{"method": {"supervised": {"hyperparameters": {"learning_rate_multiplier":
            0.5}}}}``. It goes as it is, before what the recipe says, and is kept with the run: no
            key belongs in it.
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
        self.profile = PROFILES[profile]
        super().__init__(
            model,
            self.profile,
            treatments(self.profile),
            base_url=base_url,
            api_key=api_key,
            concurrency=concurrency,
            patience=patience,
        )
        self.byte_order_mark = self.profile.byte_order_mark
        self.validation_needed, self.estimates = self.profile.validation_needed, self.profile.estimates
        self.extra = _plain(extra or {})
        self._embedder: OpenAIEmbedder | None = None
        # The address is part of the name where nothing else says it, so that another process finds the host again.
        if profile == "compatible" and base_url is not None:
            self.model = f"{base_url}#{model}"

    def beyond(self, recipe: Recipe) -> dict[str, str]:
        found = {}
        if recipe.epochs != "auto" and recipe.epochs > _MOST_EPOCHS:
            found["epochs"] = f"at most {_MOST_EPOCHS}"
        if recipe.batch_size != "auto" and recipe.batch_size > _MOST_BATCH:
            found["batch_size"] = f"at most {_MOST_BATCH}"
        if isinstance(recipe, DPO) and recipe.beta > _MOST_BETA:
            found["beta"] = f"at most {_MOST_BETA:g}"
        if isinstance(recipe, RFT):
            refused = grader_refused(recipe.grader, self.profile)
            if refused is not None:
                found["grader"] = refused
        return found

    def body(
        self, recipe: Recipe, rows: int, files: dict[str, str], key: str, output: Output | None = None
    ) -> dict[str, Any]:
        known = load_catalog().model(*self.listed())
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
        if isinstance(recipe, RFT):
            body["method"] = reinforcement(recipe, output)
        elif self.profile.parameters == "top":
            body["hyperparameters"] = asked
        else:
            method = "dpo" if isinstance(recipe, DPO) else "supervised"
            body["method"] = {"type": method, method: {"hyperparameters": asked}}
        return body

    def fetch_weights(self, record: RunRecord, folder: Path) -> None:
        if not self.profile.weights:
            super().fetch_weights(record, folder)
        self.patience(lambda: self.host().download(record.handle["job"], folder))

    def shutdown_date(self) -> date | None:
        known = load_catalog().model(*self.listed())
        names = [self._known_as, *(() if known is None else (known.id, *known.aliases))]
        try:
            said = self.host().shutdown_dates()
        except (ConfigError, HostError):  # no key, or it cannot be asked now
            return None
        listed = load_catalog().stops(*self.listed())
        if listed is not None and listed.ends == "tuned_models":  # the base model's own end says nothing of these
            names = names[:1] if self._known_as.startswith("ft:") else []
        return next((said[name] for name in names if name in said), None)

    def validate_grader(self, grader: Grader) -> None:
        """Let the host say whether it takes the grader; nothing is graded or charged.

        Raises:
            RefusedError: it does not take such a grader, or says what is wrong with it.
            HostError: it cannot be asked.
        """
        self._check_grader(grader)
        try:
            self.patience(lambda: self.host().validate_grader(grader_form(grader)))
        except HostError as error:
            if error.status == 400:
                raise RefusedError(str(error), backend=self.name, fields=("grader",)) from None
            raise

    def run_grader(self, grader: Grader, item: Mapping[str, Any], answer: str) -> Grade:
        """Let the host grade one answer, to hold its grade beside that of :func:`ftkit.grade`. Models that it asks are
        charged.

        Args:
            item: the row's columns.
            answer: what a model said.

        Raises:
            RefusedError: the host does not take such a grader.
            HostError: it cannot be asked.
        """
        self._check_grader(grader)
        return self.patience(lambda: self.host().run_grader(grader_form(grader), dict(item), answer))

    def _check_grader(self, grader: Grader) -> None:
        refused = grader_refused(grader, self.profile) if self.profile.graders else "it runs no grader by itself"
        if refused is not None:
            raise RefusedError(f"{self.name}: {refused}", backend=self.name, fields=("grader",))

    def embeddings(self, texts: Sequence[str]) -> list[list[float]]:
        """The embedding of each text, none of them empty, by this model.

        Raises:
            ConfigError: there is no key.
            DataError: a text is longer than the model takes.
            HostError: the host refuses, or cannot be reached.
        """
        if self._embedder is None:
            self._embedder = OpenAIEmbedder(Sdk(self.name, self._asked_at(), self.key()), self._known_as, self.patience)
        return self._embedder(texts)

    def make_host(self) -> OpenAIHost:
        return OpenAIHost(self.profile, Sdk(self.name, self.url(), self.key()))

    def make_answerer(self) -> Answerer:
        url = self._asked_at()
        batches = self.host() if self.profile.batches else None
        return OpenAIAnswerer(
            self.profile, url, self.key(), self._known_as, self.patience, self.concurrency, batches=batches
        )

    def _asked_at(self) -> str:
        return self.url() if self._base_url or not self.profile.answers_at else self.profile.answers_at

    def url(self) -> str:
        url = super().url()
        return f"{url}/openai/v1" if self.name == "azure" and not url.endswith("/v1") else url


def _plain(extra: dict[str, Any]) -> dict[str, Any]:
    """``extra`` as the JSON that is sent and kept."""
    try:
        found: dict[str, Any] = json.loads(json.dumps(extra, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"extra is no plain JSON data: {error}") from None
    return found
