"""Declare a fine-tuning job once in typed Python, train it anywhere, and get the same report from every place.

    import ftkit as ft

    task  = ft.Task("Extract the visit record.", input="{note}", output=Visit)
    data  = ft.Dataset.load("visits.jsonl", task, target="record")
    train, test = data.split(test=0.2, seed=7)
    run   = ft.train(ft.SFT(adapter=ft.QLoRA()), train, backend="local:smollm2-135m").wait()
    print(ft.compare(ft.evaluate(ft.Model("local:smollm2-135m", task), test), ft.evaluate(run.model, test)))

Names are imported on first use, so ``import ftkit`` itself loads none of the heavy packages.
"""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING

from ftkit.version import __version__

if TYPE_CHECKING:
    from ftkit import runs
    from ftkit.backends import Answer, Request, Sampling
    from ftkit.backends.hosted.retry import Patience, RetryPolicy
    from ftkit.backends.local.vllm import VLLM
    from ftkit.backends.openai_jobs import OpenAI
    from ftkit.backends.ray import Ray
    from ftkit.backends.ssh import SSH
    from ftkit.data import Dataset, Row
    from ftkit.errors import (
        AnswerTimeoutError,
        ConfigError,
        DataError,
        ExportError,
        FormatError,
        FtkitError,
        HostError,
        MigrationError,
        MissingExtraError,
        ModelError,
        OutputError,
        PromptError,
        RefusedError,
        ReportError,
        RunCancelledError,
        RunError,
        RunFailedError,
        RunNotFoundError,
        StorageError,
        TrainingError,
    )
    from ftkit.evaluation import (
        Asking,
        Comparison,
        Diagnosis,
        LearningCurve,
        OptimisedTask,
        Overview,
        Prices,
        Probes,
        Report,
        RequestOptions,
        baselines,
        compare,
        diagnose,
        evaluate,
        grade,
        learning_curve,
        optimise_prompt,
        overview,
        sweep,
    )
    from ftkit.exporting import Export, export
    from ftkit.graders import (
        EvaluatorGrader,
        FunctionGrader,
        Grade,
        Grader,
        LabelModelGrader,
        LambdaGrader,
        MultiGrader,
        PythonGrader,
        RewardModelGrader,
        Sample,
        SchemaGrader,
        ScoreModelGrader,
        StringCheckGrader,
        TextSimilarityGrader,
        load_grader,
    )
    from ftkit.linting import LintReport, lint, lint_rule
    from ftkit.migration import Certificate, migrate
    from ftkit.model import Model, Scorer
    from ftkit.planning import Plan
    from ftkit.planning.plan import plan  # from ftkit.planning mypy would take the module
    from ftkit.recipe import (
        CPT,
        DPO,
        GKD,
        KTO,
        ORPO,
        RFT,
        SFT,
        AdaLoRA,
        Adapter,
        Distillation,
        DoRA,
        Full,
        LoRA,
        Preserve,
        QLoRA,
        Recipe,
        RewardModel,
        SimPO,
        load_recipe,
    )
    from ftkit.results.tool_call import ToolCall
    from ftkit.runs import RewardSignal, Run, train
    from ftkit.runs.reward_signal import reward_signal
    from ftkit.schema import ChoiceOutput, JsonOutput, Output, TextOutput
    from ftkit.store import Event
    from ftkit.task import Message, Task

_HOMES = {
    "ftkit.backends": ("Answer", "Request", "Sampling"),
    "ftkit.backends.hosted.retry": ("Patience", "RetryPolicy"),
    "ftkit.backends.local.vllm": ("VLLM",),
    "ftkit.backends.openai_jobs": ("OpenAI",),
    "ftkit.backends.ray": ("Ray",),
    "ftkit.backends.ssh": ("SSH",),
    "ftkit.data": ("Dataset", "Row"),
    "ftkit.errors": (
        "AnswerTimeoutError",
        "ConfigError",
        "DataError",
        "ExportError",
        "FormatError",
        "FtkitError",
        "HostError",
        "MigrationError",
        "MissingExtraError",
        "ModelError",
        "OutputError",
        "PromptError",
        "RefusedError",
        "ReportError",
        "RunCancelledError",
        "RunError",
        "RunFailedError",
        "RunNotFoundError",
        "StorageError",
        "TrainingError",
    ),
    "ftkit.evaluation": (
        "Asking",
        "Comparison",
        "Diagnosis",
        "LearningCurve",
        "OptimisedTask",
        "Overview",
        "Prices",
        "Probes",
        "Report",
        "RequestOptions",
        "baselines",
        "compare",
        "diagnose",
        "evaluate",
        "grade",
        "learning_curve",
        "optimise_prompt",
        "overview",
        "sweep",
    ),
    "ftkit.exporting": ("Export", "export"),
    "ftkit.graders": (
        "EvaluatorGrader",
        "FunctionGrader",
        "Grade",
        "Grader",
        "LabelModelGrader",
        "LambdaGrader",
        "MultiGrader",
        "PythonGrader",
        "RewardModelGrader",
        "Sample",
        "SchemaGrader",
        "ScoreModelGrader",
        "StringCheckGrader",
        "TextSimilarityGrader",
        "load_grader",
    ),
    "ftkit.linting": ("LintReport", "lint", "lint_rule"),
    "ftkit.migration": ("Certificate", "migrate"),
    "ftkit.model": ("Model", "Scorer"),
    "ftkit.planning": ("Plan", "plan"),
    "ftkit.recipe": (
        "CPT",
        "DPO",
        "GKD",
        "KTO",
        "ORPO",
        "RFT",
        "SFT",
        "AdaLoRA",
        "Adapter",
        "Distillation",
        "DoRA",
        "Full",
        "LoRA",
        "Preserve",
        "QLoRA",
        "Recipe",
        "RewardModel",
        "SimPO",
        "load_recipe",
    ),
    "ftkit.runs": ("RewardSignal", "Run", "reward_signal", "train"),
    "ftkit.results.tool_call": ("ToolCall",),
    "ftkit.store": ("Event",),
    "ftkit.schema": ("ChoiceOutput", "JsonOutput", "Output", "TextOutput"),
    "ftkit.task": ("Message", "Task"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CPT",
    "DPO",
    "GKD",
    "KTO",
    "ORPO",
    "RFT",
    "SFT",
    "SSH",
    "VLLM",
    "AdaLoRA",
    "Adapter",
    "Answer",
    "AnswerTimeoutError",
    "Asking",
    "Certificate",
    "ChoiceOutput",
    "Comparison",
    "ConfigError",
    "DataError",
    "Dataset",
    "Diagnosis",
    "Distillation",
    "DoRA",
    "EvaluatorGrader",
    "Event",
    "Export",
    "ExportError",
    "FormatError",
    "FtkitError",
    "Full",
    "FunctionGrader",
    "Grade",
    "Grader",
    "HostError",
    "JsonOutput",
    "LabelModelGrader",
    "LambdaGrader",
    "LearningCurve",
    "LintReport",
    "LoRA",
    "Message",
    "MigrationError",
    "MissingExtraError",
    "Model",
    "ModelError",
    "MultiGrader",
    "OpenAI",
    "OptimisedTask",
    "Output",
    "OutputError",
    "Overview",
    "Patience",
    "Plan",
    "Preserve",
    "Prices",
    "Probes",
    "PromptError",
    "PythonGrader",
    "QLoRA",
    "Ray",
    "Recipe",
    "RefusedError",
    "Report",
    "ReportError",
    "Request",
    "RequestOptions",
    "RetryPolicy",
    "RewardModel",
    "RewardModelGrader",
    "RewardSignal",
    "Row",
    "Run",
    "RunCancelledError",
    "RunError",
    "RunFailedError",
    "RunNotFoundError",
    "Sample",
    "Sampling",
    "SchemaGrader",
    "ScoreModelGrader",
    "Scorer",
    "SimPO",
    "StorageError",
    "StringCheckGrader",
    "Task",
    "TextOutput",
    "TextSimilarityGrader",
    "ToolCall",
    "TrainingError",
    "__version__",
    "baselines",
    "compare",
    "diagnose",
    "evaluate",
    "export",
    "grade",
    "learning_curve",
    "lint",
    "lint_rule",
    "load_grader",
    "load_recipe",
    "migrate",
    "optimise_prompt",
    "overview",
    "plan",
    "reward_signal",
    "runs",
    "sweep",
    "train",
]


if not TYPE_CHECKING:  # for type checkers a name that does not exist is an error

    def __getattr__(name: str) -> object:
        if name == "runs":
            return importlib.import_module("ftkit.runs")
        try:
            home = _HOME_OF[name]
        except KeyError:
            raise AttributeError(_unknown(name)) from None
        value = getattr(importlib.import_module(home), name)
        globals()[name] = value
        return value


_OTHER_NAMES = {
    "DPOConfig": "DPO",
    "DPOTrainer": "train",
    "GRPOConfig": "RFT",
    "GRPOTrainer": "train",
    "KTOConfig": "KTO",
    "LoraConfig": "LoRA",
    "SFTConfig": "SFT",
    "SFTTrainer": "train",
    "Trainer": "train",
    "TrainingArguments": "SFT",
    "finetune": "train",
    "fine_tune": "train",
    "load_dataset": "Dataset.load",
}
"""Names of TRL, PEFT, transformers and datasets to what has their place here."""


def _unknown(name: str) -> str:
    if name in _OTHER_NAMES:
        return f"module 'ftkit' has no attribute {name!r}; use ft.{_OTHER_NAMES[name]}"
    close = difflib.get_close_matches(name.lower(), [known.lower() for known in __all__], n=1)
    meant = "".join(f"; did you mean {known}?" for known in __all__ if known.lower() in close)
    return f"module 'ftkit' has no attribute {name!r}{meant}"


def __dir__() -> list[str]:
    return sorted(__all__)
