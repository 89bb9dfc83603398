"""The result file of a job: its metrics as CSV."""

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
"""Purpose of result files."""

_COLUMNS = ("step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy")
"""OpenAI's columns for supervised jobs (guide "Supervised fine-tuning", result files)."""
_REWARD_COLUMNS = (
    *("step", "train_mean_reward", "full_valid_mean_reward", "completion_tokens_mean"),
    *("pg_loss_sum", "entropy_loss_sum", "total_loss_sum"),
)
"""OpenAI's columns for reinforcement jobs, without reasoning tokens."""
_NAMES = {"train_accuracy": "train_mean_token_accuracy"}


def results_csv(method: Method, metrics: Iterable[dict[str, Any]]) -> str:
    """Format a job's metrics as CSV.

    Args:
        method: the job's method, which determines the columns.
        metrics: metrics of each step.

    Returns:
        A header and a row for each step; values that were not measured are empty.
    """
    columns = _REWARD_COLUMNS if method == "reinforcement" else _COLUMNS
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for step in metrics:
        writer.writerow([step.get(_NAMES.get(name, name), "") for name in columns])
    return buffer.getvalue()


def write_results(path: Path, method: Method, metrics: Iterable[dict[str, Any]]) -> None:
    """Write a result file like OpenAI's: the CSV, encoded in base64.

    Args:
        path: file to write.
        method: the job's method.
        metrics: metrics of each step.
    """
    path.write_bytes(base64.b64encode(results_csv(method, metrics).encode()))


def decode_results(path: Path) -> bytes:
    """Read the CSV from a result file.

    Args:
        path: file written by :func:`write_results`.

    Returns:
        The CSV in UTF-8.
    """
    return base64.b64decode(path.read_bytes())
