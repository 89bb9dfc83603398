"""The description of a host that speaks OpenAI's fine-tuning jobs API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ftkit.backends.hosted.endpoint import Endpoint
from ftkit.backends.hosted.field_support import FieldSupportTable
from ftkit.recipe import Recipe

__all__ = ["HostProfile"]


@dataclass(frozen=True, slots=True)
class HostProfile(Endpoint):
    """How a host differs from OpenAI's fine-tuning jobs API.

    Registered in :data:`ftkit.backends.registry.HOSTS`, a profile makes the backend ``"<name>:<model>"``. Prices,
    limits and dates of the host come from the catalogue, by the host's address.

    Attributes:
        recipes: kinds of recipes that the host trains. A kind that ftkit itself does not send to hosts needs an entry
            in ``field_support``.
        validation_required: kinds of recipes that the host trains only with validation rows.
        parameters: where hyperparameters go in the request: in the ``"method"`` or at its ``"top"`` level.
        adapters: whether the request may describe the adapter (rank, alpha, dropout) and the learning rate.
        key_in: where the run's key is stored: in the job's ``"metadata"``, and in its suffix as far as the host takes
            one; or in its ``"suffix"`` only.
        idempotency_header: header of requests that makes the host create something once, however often it is asked,
            e.g. ``"Idempotency-Key"``. None: it has none, so ftkit searches for what it may have created.
        wait_for_file: whether a file must be processed before a job may name it.
        byte_order_mark: whether training files begin with a byte order mark.
        events: whether the host lists the events of a job.
        weights: whether the job's checkpoints list the files of the model.
        answers_at: base URL of chat completions, if it is another one.
        estimates: kinds of recipes for which the host estimates the price before the job is created.
        graders: whether the host validates and runs a grader on request.
        lambda_graders: whether the host grades by AWS Lambda functions, and by nothing else.
        model_in_address: whether the model's name includes the host's address: ``"https://host/v1#model"``.
        field_support: by recipe kind, fields that the host supports otherwise than the other hosts of OpenAI's API.
        hyperparameters: returns what is sent as hyperparameters, from the recipe, the number of rows and ftkit's own
            hyperparameters for this host. None: ftkit's own are sent.
        request_body: returns the request that creates the job, from the recipe and ftkit's own request. None: ftkit's
            own is sent.
        backend_class: ``"module:attribute"`` of the backend that speaks this API.
    """

    recipes: tuple[str, ...] = ("sft", "dpo")
    validation_required: tuple[str, ...] = ()
    parameters: Literal["method", "top"] = "method"
    adapters: bool = False
    key_in: Literal["metadata", "suffix"] = "metadata"
    idempotency_header: str | None = None
    wait_for_file: bool = False
    byte_order_mark: bool = False
    events: bool = True
    weights: bool = False
    answers_at: str | None = None
    estimates: tuple[str, ...] = ()
    graders: bool = False
    lambda_graders: bool = False
    model_in_address: bool = False
    field_support: Mapping[str, FieldSupportTable] = field(default_factory=dict)
    hyperparameters: Callable[[Recipe, int, dict[str, Any]], dict[str, Any]] | None = None
    request_body: Callable[[Recipe, dict[str, Any]], dict[str, Any]] | None = None
    backend_class: str = "ftkit.backends.openai_jobs.backend:OpenAIJobs"
