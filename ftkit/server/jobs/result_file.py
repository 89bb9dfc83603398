"""The result file of a job: its figures as CSV."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ftkit.server.jobs.job_record import Method

__all__ = ["RESULTS_PURPOSE", "decode_results", "results_csv", "write_results"]

RESULTS_PURPOSE = "fine-tune-results"
"""The purpose of such files."""

_COLUMNS = ("step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy")
"""OpenAI's, for supervised jobs (guide "Supervised fine-tuning", result files)."""
_REWARD_COLUMNS = (
    *("step", "train_mean_reward", "full_valid_mean_reward", "completion_tokens_mean"),
    *("pg_loss_sum", "entropy_loss_sum", "total_loss_sum"),
)
"""OpenAI's, for reinforcement, without the reasoning tokens; its sums of losses are not those of this engine."""
_NAMES = {"train_accuracy": "train_mean_token_accuracy"}


def results_csv(method: Method, metrics: Iterable[dict[str, Any]]) -> str:
    """A row for each step; what was not measured is empty."""
    columns = _REWARD_COLUMNS if method == "reinforcement" else _COLUMNS
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for step in metrics:
        writer.writerow([step.get(_NAMES.get(name, name), "") for name in columns])
    return text.getvalue()


def write_results(path: Path, method: Method, metrics: Iterable[dict[str, Any]]) -> None:
    """Write the file as OpenAI's API gives it: the CSV in base64, which code that reads result files decodes."""
    path.write_bytes(base64.b64encode(results_csv(method, metrics).encode()))


def decode_results(path: Path) -> bytes:
    """The CSV in a file of :func:`write_results`."""
    return base64.b64decode(path.read_bytes())
