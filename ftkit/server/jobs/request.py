"""Validate the request that creates a job."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ftkit.server.errors import ApiError
from ftkit.server.jobs.job_record import COMMON_HYPERPARAMETERS, Method

__all__ = ["JobRequest", "method_and_hyperparameters", "seed_of"]

_MAX_PAIRS, _MAX_KEY, _MAX_VALUE = 16, 64, 512
_MAX_SEED = 2**31 - 1

_METHOD_HYPERPARAMETERS: dict[Method, tuple[str, ...]] = {
    "supervised": (),
    "dpo": ("beta",),
    "reinforcement": ("compute_multiplier", "eval_interval", "eval_samples"),
}

Auto = Literal["auto"]


def _metadata(pairs: dict[str, str]) -> dict[str, str]:
    if len(pairs) > _MAX_PAIRS:
        raise ValueError(f"at most {_MAX_PAIRS} pairs")
    for name, value in pairs.items():
        if len(name) > _MAX_KEY or len(value) > _MAX_VALUE:
            raise ValueError(f"keys have at most {_MAX_KEY} characters, values {_MAX_VALUE}")
    return pairs


class _RequestModel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Hyperparameters(_RequestModel):
    n_epochs: Annotated[int, Field(ge=1, le=50)] | Auto | None = None
    batch_size: Annotated[int, Field(ge=1, le=256)] | Auto | None = None
    learning_rate_multiplier: Annotated[float, Field(gt=0, allow_inf_nan=False)] | Auto | None = None


class _DPOHyperparameters(_Hyperparameters):
    beta: Annotated[float, Field(gt=0, le=2)] | Auto | None = None


class _ReinforcementHyperparameters(_Hyperparameters):
    compute_multiplier: Annotated[float, Field(gt=1e-5, le=10)] | Auto | None = None
    eval_interval: Annotated[int, Field(ge=1)] | Auto | None = None
    eval_samples: Annotated[int, Field(ge=1)] | Auto | None = None
    reasoning_effort: Literal["default", "low", "medium", "high"] | None = None


class _Supervised(_RequestModel):
    hyperparameters: _Hyperparameters | None = None


class _DPO(_RequestModel):
    hyperparameters: _DPOHyperparameters | None = None


class _Reinforcement(_RequestModel):
    grader: dict[str, Any]
    hyperparameters: _ReinforcementHyperparameters | None = None
    response_format: dict[str, Any] | None = None


class _Method(_RequestModel):
    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: _Supervised | None = None
    dpo: _DPO | None = None
    reinforcement: _Reinforcement | None = None


class JobRequest(_RequestModel):
    """The body of ``POST /v1/fine_tuning/jobs``. Ranges are those of OpenAI's API reference."""

    model: str = Field(min_length=1, max_length=512)
    training_file: str = Field(min_length=1, max_length=128)
    validation_file: str | None = Field(default=None, min_length=1, max_length=128)
    suffix: str | None = Field(default=None, min_length=1, max_length=64)
    seed: int | None = Field(default=None, ge=0, le=_MAX_SEED)
    metadata: Annotated[dict[str, str], AfterValidator(_metadata)] | None = None
    hyperparameters: _Hyperparameters | None = None
    method: _Method | None = None
    integrations: list[dict[str, Any]] | None = None


def method_and_hyperparameters(request: JobRequest) -> tuple[Method, dict[str, Any]]:
    """Return a request's method and hyperparameters.

    Args:
        request: the body of the request.

    Returns:
        The method, and all its hyperparameters; those left out are ``"auto"``.

    Raises:
        ApiError: 400 if this server does not support the request or the request contradicts itself.
    """
    if request.integrations:
        raise ApiError(
            400,
            "This server does not support integrations. Read the job's events or its result file instead.",
            param="integrations",
            code="unsupported_parameter",
        )
    method = request.method
    kind: Method = "supervised" if method is None else method.type
    for other in _METHOD_HYPERPARAMETERS:
        if method is not None and other != kind and getattr(method, other) is not None:
            message = f"'method.{other}' was given, and the method's type is '{kind}'."
            raise ApiError(400, message, param=f"method.{other}", code="invalid_value")
    details = None if method is None else getattr(method, kind)
    hyperparameters = None if details is None else details.hyperparameters
    if kind == "reinforcement":
        _check_reinforcement(details, has_validation=request.validation_file is not None)
    if request.hyperparameters is not None and (hyperparameters is not None or kind != "supervised"):
        message = (
            "'hyperparameters' is deprecated in favor of 'method.supervised.hyperparameters'; give only the latter."
        )
        raise ApiError(400, message, param="hyperparameters", code="invalid_value")
    hyperparameters = hyperparameters or request.hyperparameters
    return kind, {
        name: getattr(hyperparameters, name, None) or "auto"
        for name in (*COMMON_HYPERPARAMETERS, *_METHOD_HYPERPARAMETERS[kind])
    }


def _check_reinforcement(request: _Reinforcement | None, *, has_validation: bool) -> None:
    """Refuse the parameters that ftkit's training does not support, by name."""
    param = "method.reinforcement"
    if request is None:
        message = f"Missing required parameter: '{param}.grader'."
        raise ApiError(400, message, param=f"{param}.grader", code="missing_required_parameter")
    if request.response_format is not None and request.response_format.get("type") != "text":
        raise ApiError(
            400,
            "This server does not constrain answers during training. Leave response_format out: graders can read "
            "sample.output_json of every answer that is JSON.",
            param=f"{param}.response_format",
            code="unsupported_parameter",
        )
    hyperparameters = request.hyperparameters or _ReinforcementHyperparameters()
    if hyperparameters.reasoning_effort not in (None, "default"):
        raise ApiError(
            400,
            "The models of this server have no reasoning effort. Leave it out or set it to 'default'.",
            param=f"{param}.hyperparameters.reasoning_effort",
            code="unsupported_parameter",
        )
    for name in ("eval_interval", "eval_samples"):
        if getattr(hyperparameters, name) not in (None, "auto") and not has_validation:
            message = f"'{name}' needs a validation_file."
            raise ApiError(400, message, param=f"{param}.hyperparameters.{name}", code="invalid_value")


def seed_of(request: JobRequest) -> int:
    """Return the seed of a request, or a random one if it has none.

    Args:
        request: the body of the request.

    Returns:
        An integer from 0 to 2³¹ - 1.
    """
    return secrets.randbelow(_MAX_SEED + 1) if request.seed is None else request.seed
