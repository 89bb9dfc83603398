"""The prompts that a run rehearses, so that it keeps what the model can do besides the task.

``rehearsal.jsonl`` holds general prompts that were written for ftkit, under its licence. None of them is among the
questions of :mod:`ftkit.evaluation.probes`, so a probe of a model that rehearsed them measures what carries over.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np

from ftkit.counts import counted, verb
from ftkit.data import Dataset
from ftkit.errors import DataError, FormatError, RefusedError
from ftkit.recipe.preserve import GENERAL, Preserve

__all__ = ["check_rehearsal", "choose_rehearsal", "open_rehearsal"]

_SPLIT_SEED = 0
"""Seed of the choice of held-out rows: the same for all runs, so that their divergences can be compared."""


def open_rehearsal(preserve: Preserve) -> Dataset:
    """Open the rows to rehearse.

    Args:
        preserve: says which.

    Returns:
        Conversations, with or without an answer.

    Raises:
        DataError: there is no such file, or it cannot be read.
        FormatError: its form is not known.
    """
    if preserve.rows == GENERAL:
        return Dataset.load(Path(str(files("ftkit.training") / "rehearsal.jsonl")), id="id")
    file = Path(preserve.rows).expanduser()
    if not file.exists():
        raise DataError(f'preserve.rows: there is no file {preserve.rows}; write "{GENERAL}" for the prompts of ftkit')
    try:
        return Dataset.load(file)
    except FormatError as error:
        try:
            return Dataset.load(file, format="trl_prompts")
        except DataError:
            raise error from None


def check_rehearsal(preserve: Preserve, data: Dataset) -> None:
    """Refuse rows that are too few or of the wrong kind.

    Args:
        preserve: how many are held out.
        data: the rows.

    Raises:
        RefusedError: names the field.
    """
    if data.kind not in ("prompts", "demonstrations"):
        _refuse(f"preserve.rows: {preserve.rows} has {data.kind}; rehearsal needs prompts or demonstrations", "rows")
    if len(data) <= preserve.held_out:
        _refuse(
            f"preserve.held_out: {counted(preserve.held_out, 'row')} {verb(preserve.held_out, 'is', 'are')} "
            f"held out, and {preserve.rows} has "
            f"{len(data)}; none is left to rehearse",
            "held_out",
        )


def choose_rehearsal(preserve: Preserve, data: Dataset, wanted: int) -> tuple[list[int], list[int]]:
    """Choose which rows are held out and which are rehearsed.

    Args:
        preserve: how many are held out, and the most that are rehearsed.
        data: the rows.
        wanted: rows that the whole run rehearses, each of them counted once.

    Returns:
        Numbers of the held-out rows and of the rehearsed ones; no row is in both.
    """
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(data)).tolist()
    rest = order[preserve.held_out :]
    return order[: preserve.held_out], rest[: max(1, min(preserve.max_rows, wanted))]


def _refuse(message: str, field: str) -> None:
    raise RefusedError(message, backend="local", fields=(f"preserve.{field}",))
