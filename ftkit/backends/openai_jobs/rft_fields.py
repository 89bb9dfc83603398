"""Reinforcement fine-tuning at hosts of OpenAI's jobs API: what becomes of ``RFT``, and of its grader.

Sources: https://developers.openai.com/api/docs/guides/reinforcement-fine-tuning; Microsoft Learn, "Reinforcement
fine-tuning"; https://docs.aws.amazon.com/bedrock/latest/userguide/fine-tuning-openai-apis.html.
"""

from __future__ import annotations

from typing import Any

from ftkit.backends.hosted.field_support import HERE_ONLY, HOST_CHOOSES, Treatment
from ftkit.backends.openai_jobs.profiles import Profile
from ftkit.backends.openai_jobs.response_format import response_format
from ftkit.backends.registry import known_backends
from ftkit.graders import Grader, HostGrader, LambdaGrader
from ftkit.recipe import RFT
from ftkit.schema import Output

__all__ = ["REINFORCEMENT", "grader_form", "grader_refused", "reinforcement"]

_RUN_THERE = Treatment("no effect", "says what this machine may run; the host runs the grader")

REINFORCEMENT: dict[str, Treatment] = {
    "grader": Treatment("translated", "method.reinforcement.grader, with bare names of models"),
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
    "eval_steps": Treatment("honoured", "method.reinforcement.hyperparameters.eval_interval"),
    "eval_generations": Treatment("honoured", "method.reinforcement.hyperparameters.eval_samples"),
    "compute_multiplier": Treatment("honoured", "method.reinforcement.hyperparameters.compute_multiplier"),
    "reasoning_effort": Treatment("honoured", "method.reinforcement.hyperparameters.reasoning_effort"),
    "probe_prompts": Treatment("no effect", "answers are looked at beforehand on this machine alone"),
    "allow_python": _RUN_THERE,
    "isolation": HERE_ONLY,
    "embedder": _RUN_THERE,
}
"""The fields that ``RFT`` adds to, or that it changes of, the other recipes'."""


def grader_refused(grader: Grader, profile: Profile) -> str | None:
    """Why the host does not take the grader; None when it does."""
    if profile.name == "bedrock-mantle":
        if isinstance(grader, LambdaGrader):
            return None
        return 'the host rewards answers by a Lambda function: ft.LambdaGrader(function="arn:aws:lambda:…")'
    if grader.foreign:
        return f"the host knows no grader of type {', '.join(dict.fromkeys(grader.foreign))}"
    if grader.type == "label_model":
        return "the host takes label_model as a part of multi alone"
    form = grader.model_dump(mode="json")
    if any(part.get("evaluation_metric") == "cosine" for part in _parts(form)):
        return "the host compares texts by cosine in its evaluations alone, and in no training; take another metric"
    elsewhere = [model for model in _models(form) if _elsewhere(model, profile)]
    return f"the host asks its own models alone, not {', '.join(elsewhere)}" if elsewhere else None


def grader_form(grader: Grader) -> dict[str, Any]:
    """The grader in the host's JSON: names of models without the backend's before them."""
    if isinstance(grader, HostGrader):
        found: dict[str, Any] = grader.at_host()
        return found
    return _with_bare_names(grader.model_dump(mode="json"))


def reinforcement(recipe: RFT, output: Output | None) -> dict[str, Any]:
    """``method`` of the request.

    Args:
        output: of the task; a JSON object becomes ``response_format``, without which no ``sample.output_json`` is read.
    """
    asked: dict[str, Any] = {
        "grader": grader_form(recipe.grader),
        "hyperparameters": {
            "n_epochs": recipe.epochs,
            "batch_size": recipe.batch_size,
            "eval_interval": recipe.eval_steps,
            "eval_samples": recipe.eval_generations,
        },
    }
    # Not every host of the family knows these, so the host's own choice is left unsaid.
    if recipe.compute_multiplier is not None:
        asked["hyperparameters"]["compute_multiplier"] = recipe.compute_multiplier
    if recipe.reasoning_effort != "default":
        asked["hyperparameters"]["reasoning_effort"] = recipe.reasoning_effort
    held = response_format(output, strict=True)
    if held is not None:
        asked["response_format"] = held
    return {"type": "reinforcement", "reinforcement": asked}


def _models(form: dict[str, Any]) -> list[str]:
    return [part["model"] for part in _parts(form) if "model" in part]


def _parts(form: dict[str, Any]) -> list[dict[str, Any]]:
    return list(form["graders"].values()) if form["type"] == "multi" else [form]


def _elsewhere(model: str, profile: Profile) -> bool:
    backend = model.partition(":")[0]
    return backend in known_backends() and backend != profile.name


def _with_bare_names(form: dict[str, Any]) -> dict[str, Any]:
    if form["type"] == "multi":
        return {**form, "graders": {name: _with_bare_names(part) for name, part in form["graders"].items()}}
    if "model" not in form:
        return form
    backend, _, model = form["model"].partition(":")
    return {**form, "model": model if backend in known_backends() else form["model"]}
