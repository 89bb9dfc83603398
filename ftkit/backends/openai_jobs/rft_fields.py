"""Reinforcement fine-tuning at hosts of OpenAI's jobs API: supported fields of ``RFT``, and the grader in the request.

Sources: https://developers.openai.com/api/docs/guides/reinforcement-fine-tuning; Microsoft Learn, "Reinforcement
fine-tuning"; https://docs.aws.amazon.com/bedrock/latest/userguide/fine-tuning-openai-apis.html.
"""

from __future__ import annotations

from typing import Any

from ftkit.backends.hosted.field_support import HOST_CHOOSES, LOCAL_ONLY, FieldSupport
from ftkit.backends.hosted.host_profile import HostProfile
from ftkit.backends.openai_jobs.response_format import response_format
from ftkit.backends.registry import known_backends
from ftkit.graders import Grader, HostGrader, LambdaGrader
from ftkit.recipe import RFT
from ftkit.schema import Output

__all__ = ["RFT_FIELDS", "grader_body", "grader_problem", "rft_method"]

_LOCAL_GRADERS_ONLY = FieldSupport("no effect", "says what this machine may run; the host runs the grader")

RFT_FIELDS: dict[str, FieldSupport] = {
    "grader": FieldSupport("translated", "method.reinforcement.grader, with bare names of models"),
    "num_generations": HOST_CHOOSES,
    "max_output_tokens": HOST_CHOOSES,
    "temperature": HOST_CHOOSES,
    "top_p": HOST_CHOOSES,
    "advantage": HOST_CHOOSES,
    "loss_type": HOST_CHOOSES,
    "importance_sampling_level": HOST_CHOOSES,
    "epsilon": HOST_CHOOSES,
    "epsilon_high": HOST_CHOOSES,
    "beta": HOST_CHOOSES,
    "use_bias_correction_kl": HOST_CHOOSES,
    "num_iterations": HOST_CHOOSES,
    "mask_truncated_completions": HOST_CHOOSES,
    "dynamic_sampling": HOST_CHOOSES,
    "rollouts": HOST_CHOOSES,
    "rollout_correction": HOST_CHOOSES,
    "rollout_correction_clip_max": HOST_CHOOSES,
    "max_sampler_difference": HOST_CHOOSES,
    "eval_steps": FieldSupport("honoured", "method.reinforcement.hyperparameters.eval_interval"),
    "eval_generations": FieldSupport("honoured", "method.reinforcement.hyperparameters.eval_samples"),
    "compute_multiplier": FieldSupport("honoured", "method.reinforcement.hyperparameters.compute_multiplier"),
    "reasoning_effort": FieldSupport("honoured", "method.reinforcement.hyperparameters.reasoning_effort"),
    "probe_prompts": FieldSupport("no effect", "answers are sampled before the run on this machine only"),
    "allow_python": _LOCAL_GRADERS_ONLY,
    "isolation": LOCAL_ONLY,
    "embedder": _LOCAL_GRADERS_ONLY,
}
"""The fields that ``RFT`` has besides the common ones, and those that hosts support otherwise for it."""


def grader_problem(grader: Grader, profile: HostProfile) -> str | None:
    """Say why a host does not take a grader.

    Args:
        grader: the grader.
        profile: the host.

    Returns:
        The reason; None if the host takes it.
    """
    if profile.lambda_graders:
        if isinstance(grader, LambdaGrader):
            return None
        return 'the host rewards answers by a Lambda function: ft.LambdaGrader(function="arn:aws:lambda:…")'
    if grader.foreign:
        return f"the host knows no grader of type {', '.join(dict.fromkeys(grader.foreign))}"
    if grader.type == "label_model":
        return "the host takes label_model as a part of multi alone"
    parts = _parts(grader.model_dump(mode="json"))
    if any(part.get("evaluation_metric") == "cosine" for part in parts):
        return "the host compares texts by cosine in its evaluations alone, and in no training; take another metric"
    elsewhere = [part["model"] for part in parts if "model" in part and _is_elsewhere(part["model"], profile)]
    return f"the host asks its own models alone, not {', '.join(elsewhere)}" if elsewhere else None


def grader_body(grader: Grader) -> dict[str, Any]:
    """Return a grader in the host's JSON, with names of models that lack the backend's prefix.

    Args:
        grader: the grader.

    Returns:
        The JSON object.
    """
    if isinstance(grader, HostGrader):
        body: dict[str, Any] = grader.at_host()
        return body
    return _with_bare_model_names(grader.model_dump(mode="json"))


def rft_method(recipe: RFT, output: Output | None) -> dict[str, Any]:
    """Return ``method`` of the request for reinforcement fine-tuning.

    Args:
        recipe: the recipe.
        output: the task's output. A JSON object is sent as ``response_format``, without which graders cannot read
            ``sample.output_json``.

    Returns:
        The JSON object.
    """
    body: dict[str, Any] = {
        "grader": grader_body(recipe.grader),
        "hyperparameters": {
            "n_epochs": recipe.epochs,
            "batch_size": recipe.batch_size,
            "eval_interval": recipe.eval_steps,
            "eval_samples": recipe.eval_generations,
        },
    }
    # Some hosts do not know these two, so they are sent only if the user sets them.
    if recipe.compute_multiplier is not None:
        body["hyperparameters"]["compute_multiplier"] = recipe.compute_multiplier
    if recipe.reasoning_effort != "default":
        body["hyperparameters"]["reasoning_effort"] = recipe.reasoning_effort
    schema = response_format(output, strict=True)
    if schema is not None:
        body["response_format"] = schema
    return {"type": "reinforcement", "reinforcement": body}


def _parts(body: dict[str, Any]) -> list[dict[str, Any]]:
    return list(body["graders"].values()) if body["type"] == "multi" else [body]


def _is_elsewhere(model: str, profile: HostProfile) -> bool:
    backend = model.partition(":")[0]
    return backend in known_backends() and backend != profile.name


def _with_bare_model_names(body: dict[str, Any]) -> dict[str, Any]:
    if body["type"] == "multi":
        return {**body, "graders": {name: _with_bare_model_names(part) for name, part in body["graders"].items()}}
    if "model" not in body:
        return body
    backend, _, model = body["model"].partition(":")
    return {**body, "model": model if backend in known_backends() else body["model"]}
