"""The backend for every host that speaks OpenAI's fine-tuning jobs API."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, cast

from typing_extensions import override

from ftkit.backends.answer import Answerer
from ftkit.backends.hosted.backend import HostedBackend
from ftkit.backends.hosted.field_support import fractional_alpha
from ftkit.backends.hosted.host_profile import HostProfile
from ftkit.backends.hosted.redaction import redact
from ftkit.backends.hosted.retry import RetryPolicy
from ftkit.backends.hosted.run_key import key_tag
from ftkit.backends.openai_jobs.answerer import OpenAIAnswerer
from ftkit.backends.openai_jobs.embeddings import OpenAIEmbedder
from ftkit.backends.openai_jobs.host import OpenAIHost
from ftkit.backends.openai_jobs.job_key import KEY
from ftkit.backends.openai_jobs.recipe_fields import field_support, hyperparameters
from ftkit.backends.openai_jobs.rft_fields import grader_body, grader_problem, rft_method
from ftkit.backends.openai_jobs.sdk import Sdk
from ftkit.backends.registry import HOSTS
from ftkit.catalog import load_catalog
from ftkit.errors import ConfigError, HostError, RefusedError
from ftkit.graders import Grade, Grader
from ftkit.recipe import RFT, Recipe
from ftkit.schema import Output
from ftkit.store import RunRecord

__all__ = ["OpenAIJobs"]

_MAX_EPOCHS, _MAX_BATCH_SIZE, _MAX_BETA = 50, 256, 2.0
"""Ranges in OpenAI's specification of the API."""

_SHORTEST_SUFFIX = 18
"""Longest suffix in characters that every host takes."""

_METHODS = {"sft": "supervised"}
"""OpenAI's names of methods by kind of recipe, if they differ."""


class OpenAIJobs(HostedBackend[OpenAIHost]):
    """Trains and answers at OpenAI, or at a host with the same API.

    Args:
        model: the host's name of the model, or of a tuned version.
        profile: the host: a name registered in :data:`ftkit.backends.registry.HOSTS`, or a profile.
        base_url: the host's address, if it is not the profile's.
        api_key: its key; from the environment by default. It is kept in memory only.
        extra: what is added to the request that creates a job, for settings that no recipe has:
            ``{"trainingType": "GlobalStandard"}`` on Azure, or, inside the request,
            ``{"method": {"supervised": {"hyperparameters": {"learning_rate_multiplier": 0.5}}}}``. It takes precedence
            over the recipe and is stored with the run, so it must not contain a key.
        concurrency: number of requests at the same time.
        retry_policy: how failing calls are retried.
        patience: former name of ``retry_policy``.
    """

    def __init__(
        self,
        model: str,
        *,
        profile: str | HostProfile = "openai",
        base_url: str | None = None,
        api_key: str | None = None,
        extra: dict[str, Any] | None = None,
        concurrency: int = 8,
        retry_policy: RetryPolicy | None = None,
        patience: RetryPolicy | None = None,
    ) -> None:
        self.profile = profile if isinstance(profile, HostProfile) else HOSTS.get(profile)
        named = "#" in model or not os.environ.get(self.profile.url_variable)
        if self.profile.model_in_address and base_url is None and named:
            base_url, model = _split_address(self.profile.name, model)
        super().__init__(
            model,
            self.profile,
            field_support(self.profile),
            base_url=base_url,
            api_key=api_key,
            concurrency=concurrency,
            retry_policy=retry_policy or patience,
        )
        self.byte_order_mark = self.profile.byte_order_mark
        self.validation_required, self.price_estimates = self.profile.validation_required, self.profile.estimates
        self.extra = _json_copy(extra or {})
        self._embedder: OpenAIEmbedder | None = None
        if self.profile.model_in_address and base_url is not None:  # so that another process finds the host again
            self.model = f"{base_url}#{model}"

    @override
    def out_of_range(self, recipe: Recipe) -> dict[str, str]:
        problems = fractional_alpha(recipe) if self.profile.adapters else {}
        if recipe.epochs != "auto" and recipe.epochs > _MAX_EPOCHS:
            problems["epochs"] = f"at most {_MAX_EPOCHS}"
        if recipe.batch_size != "auto" and recipe.batch_size > _MAX_BATCH_SIZE:
            problems["batch_size"] = f"at most {_MAX_BATCH_SIZE}"
        if recipe.kind == "dpo" and recipe.model_dump()["beta"] > _MAX_BETA:
            problems["beta"] = f"at most {_MAX_BETA:g}"
        if recipe.kind == "rft":
            problem = grader_problem(cast("RFT", recipe).grader, self.profile)
            if problem is not None:
                problems["grader"] = problem
        return problems

    @override
    def request_body(
        self, recipe: Recipe, rows: int, files: Mapping[str, str], key: str, output: Output | None = None
    ) -> dict[str, Any]:
        listed = load_catalog().model(*self.catalog_key())
        body: dict[str, Any] = {
            "model": self._host_model if listed is None or self._host_model.startswith("ft:") else listed.id,
            "training_file": files["training"],
            "seed": recipe.seed,
        }
        if "validation" in files:
            body["validation_file"] = files["validation"]
        if self.profile.key_in == "metadata":
            body["metadata"] = {KEY: key}
            suffix = self._suffix(key)
            if suffix is not None:  # for the case that a proxy drops the metadata
                body["suffix"] = suffix
        else:
            body["suffix"] = key
        if recipe.kind == "rft":
            body["method"] = rft_method(cast("RFT", recipe), output)
        elif self.profile.parameters == "top":
            body["hyperparameters"] = hyperparameters(self.profile, recipe, rows)
        else:
            method = _METHODS.get(recipe.kind, recipe.kind)
            body["method"] = {
                "type": method,
                method: {"hyperparameters": hyperparameters(self.profile, recipe, rows)},
            }
        return body if self.profile.request_body is None else self.profile.request_body(recipe, body)

    def _suffix(self, key: str) -> str | None:
        """The suffix with the key of a run, as long as the host takes it; None if it takes none."""
        longest = self._longest_suffix()
        return next((text for text in (key, key_tag(key)) if len(text) <= longest), None)

    def _longest_suffix(self) -> int:
        """Most characters of a suffix, by what is known of the address and of the host of the backend's name."""
        catalog = load_catalog()
        providers = {self.catalog_key()[0], self.name}
        limits = [catalog.limits(provider, kind) for provider in providers for kind in self.profile.recipes]
        lengths = [limit.suffix_length for limit in limits if limit is not None and limit.suffix_length is not None]
        return min(lengths, default=_SHORTEST_SUFFIX)

    @override
    def own_files(self) -> bool:
        # A proxy may drop the metadata and the suffix, but no job can be without the id of its file.
        return self.profile.idempotency_header is None

    @override
    def download_weights(self, record: RunRecord, folder: Path) -> None:
        if not self.profile.weights:
            super().download_weights(record, folder)
        self.retry_policy(lambda: self.host().download(record.handle["job"], folder))

    @override
    def shutdown_date(self) -> date | None:
        listed = load_catalog().model(*self.catalog_key())
        names = [self._host_model, *(() if listed is None else (listed.id, *listed.aliases))]
        try:
            dates = self.host().shutdown_dates()
        except (ConfigError, HostError):  # there is no key, or the host cannot be asked now
            return None
        deadline = load_catalog().stops(*self.catalog_key())
        if deadline is not None and deadline.ends == "tuned_models":
            # The shutdown date of the base model says nothing about models tuned from it.
            names = names[:1] if self._host_model.startswith("ft:") else []
        return next((dates[name] for name in names if name in dates), None)

    def validate_grader(self, grader: Grader) -> None:
        """Ask the host whether it takes a grader. Nothing is graded or charged.

        Args:
            grader: the grader.

        Raises:
            RefusedError: the host does not take the grader; with its reason.
            HostError: the host cannot be asked.
        """
        self._check_grader(grader)
        try:
            self.retry_policy(lambda: self.host().validate_grader(grader_body(grader)))
        except HostError as error:
            if error.status == 400:
                raise RefusedError(str(error), backend=self.name, fields=("grader",)) from None
            raise

    def run_grader(self, grader: Grader, item: Mapping[str, Any], answer: str) -> Grade:
        """Let the host grade one answer, to compare its grade with that of :func:`ftkit.grade`.

        The host charges for the models that the grader asks.

        Args:
            grader: the grader.
            item: the row's columns.
            answer: a model's answer.

        Returns:
            The host's grade.
        """
        self._check_grader(grader)
        return self.retry_policy(lambda: self.host().run_grader(grader_body(grader), dict(item), answer))

    def _check_grader(self, grader: Grader) -> None:
        problem = grader_problem(grader, self.profile) if self.profile.graders else "it runs no grader by itself"
        if problem is not None:
            raise RefusedError(f"{self.name}: {problem}", backend=self.name, fields=("grader",))

    def embeddings(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed texts with this model.

        Args:
            texts: the texts, none of them empty.

        Returns:
            One vector for each text.
        """
        if self._embedder is None:
            sdk = Sdk(self.name, self._inference_url(), self.key())
            self._embedder = OpenAIEmbedder(sdk, self._host_model, self.retry_policy)
        return self._embedder(texts)

    @override
    def create_host(self) -> OpenAIHost:
        return OpenAIHost(self.profile, Sdk(self.name, self.url(), self.key()))

    @override
    def create_answerer(self) -> Answerer:
        return OpenAIAnswerer(
            self.profile,
            self._inference_url(),
            self.key(),
            self._host_model,
            self.retry_policy,
            self.limiter,
            batch_host=self.host() if self.profile.batches else None,
        )

    def _inference_url(self) -> str:
        return self.url() if self._base_url or not self.profile.answers_at else self.profile.answers_at


def _split_address(name: str, model: str) -> tuple[str, str]:
    """Address and model of ``"https://host.example/v1#model"``."""
    url, separator, host_model = model.partition("#")
    if not separator or not host_model or not url.startswith(("http://", "https://")):
        shown = redact(model.partition("?")[0])
        raise ConfigError(f'{name}:{shown}: write it as "{name}:https://host.example/v1#model"')
    return url, host_model


def _json_copy(extra: dict[str, Any]) -> dict[str, Any]:
    """``extra`` as the JSON that is sent and stored."""
    try:
        copy: dict[str, Any] = json.loads(json.dumps(extra, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"extra is no plain JSON data: {error}") from None
    return copy
