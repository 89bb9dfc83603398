"""A request for a job, checked: field by field, then against what this server has."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ftkit.server.errors import ApiError
from ftkit.server.jobs.job_record import COMMON_HYPERPARAMETERS, Method

__all__ = ["JobRequest", "method_and_hyperparameters", "seed_of"]

_MOST_PAIRS, _MOST_KEY, _MOST_VALUE = 16, 64, 512
_MOST_SEED = 2**31 - 1

_NUMBERS: dict[Method, tuple[str, ...]] = {
    "supervised": (),
    "dpo": ("beta",),
    "reinforcement": ("compute_multiplier", "eval_interval", "eval_samples"),
}

Auto = Literal["auto"]


def _metadata(pairs: dict[str, str]) -> dict[str, str]:
    if len(pairs) > _MOST_PAIRS:
        raise ValueError(f"at most {_MOST_PAIRS} pairs")
    for name, value in pairs.items():
        if len(name) > _MOST_KEY or len(value) > _MOST_VALUE:
            raise ValueError(f"keys have at most {_MOST_KEY} characters, values {_MOST_VALUE}")
    return pairs


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Hyperparameters(_Asked):
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


class _Supervised(_Asked):
    hyperparameters: _Hyperparameters | None = None


class _DPO(_Asked):
    hyperparameters: _DPOHyperparameters | None = None


class _Reinforcement(_Asked):
    grader: dict[str, Any]
    hyperparameters: _ReinforcementHyperparameters | None = None
    response_format: dict[str, Any] | None = None


class _MethodAsked(_Asked):
    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: _Supervised | None = None
    dpo: _DPO | None = None
    reinforcement: _Reinforcement | None = None


class JobRequest(_Asked):
    """The body of ``POST /v1/fine_tuning/jobs``. Ranges are those of OpenAI's API reference."""

    model: str = Field(min_length=1, max_length=512)
    training_file: str = Field(min_length=1, max_length=128)
    validation_file: str | None = Field(default=None, min_length=1, max_length=128)
    suffix: str | None = Field(default=None, min_length=1, max_length=64)
    seed: int | None = Field(default=None, ge=0, le=_MOST_SEED)
    metadata: Annotated[dict[str, str], AfterValidator(_metadata)] | None = None
    hyperparameters: _Hyperparameters | None = None
    method: _MethodAsked | None = None
    integrations: list[dict[str, Any]] | None = None


def method_and_hyperparameters(asked: JobRequest) -> tuple[Method, dict[str, Any]]:
    """What to do and with which numbers; what was not said is ``"auto"``.

    Raises:
        ApiError: 400: this server cannot do it, or the request contradicts itself.
    """
    if asked.integrations:
        raise ApiError(
            400,
            "Integrations are not offered by this server; read the job's events, or its result file.",
            param="integrations",
            code="unsupported_parameter",
        )
    method = asked.method
    kind: Method = "supervised" if method is None else method.type
    for other in _NUMBERS:
        if method is not None and other != kind and getattr(method, other) is not None:
            message = f"'method.{other}' was given, and the method's type is '{kind}'."
            raise ApiError(400, message, param=f"method.{other}", code="invalid_value")
    details = None if method is None else getattr(method, kind)
    said = None if details is None else details.hyperparameters
    if kind == "reinforcement":
        _check_reinforcement(details, watched=asked.validation_file is not None)
    if asked.hyperparameters is not None and (said is not None or kind != "supervised"):
        message = "'hyperparameters' is the old place of 'method.supervised.hyperparameters'; give the latter only."
        raise ApiError(400, message, param="hyperparameters", code="invalid_value")
    said = said or asked.hyperparameters
    return kind, {name: getattr(said, name, None) or "auto" for name in (*COMMON_HYPERPARAMETERS, *_NUMBERS[kind])}


def _check_reinforcement(asked: _Reinforcement | None, *, watched: bool) -> None:
    """Refuse what the engine does not do, by name; ``watched``: there are validation rows."""
    where = "method.reinforcement"
    if asked is None:
        message = f"Missing required parameter: '{where}.grader'."
        raise ApiError(400, message, param=f"{where}.grader", code="missing_required_parameter")
    if asked.response_format is not None and asked.response_format.get("type") != "text":
        raise ApiError(
            400,
            "Answers are not held to a form while a model is trained here. Leave response_format out: a grader reads "
            "sample.output_json of every answer that is JSON.",
            param=f"{where}.response_format",
            code="unsupported_parameter",
        )
    said = asked.hyperparameters or _ReinforcementHyperparameters()
    if said.reasoning_effort not in (None, "default"):
        raise ApiError(
            400,
            "Models here have no reasoning effort to be set; leave it out, or at 'default'.",
            param=f"{where}.hyperparameters.reasoning_effort",
            code="unsupported_parameter",
        )
    for name in ("eval_interval", "eval_samples"):
        if getattr(said, name) not in (None, "auto") and not watched:
            message = f"'{name}' is about the validation rows; give a validation_file, or leave it out."
            raise ApiError(400, message, param=f"{where}.hyperparameters.{name}", code="invalid_value")


def seed_of(asked: JobRequest) -> int:
    """The seed, drawn when none was given."""
    return secrets.randbelow(_MOST_SEED + 1) if asked.seed is None else asked.seed
