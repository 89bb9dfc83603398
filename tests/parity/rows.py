"""Rows, and recipes for them, that the comparisons share."""

from __future__ import annotations

from typing import Any

import torch

import ftkit as ft
from ftkit.modeling.model_source import find_source
from ftkit.modeling.pretrained import load_pretrained
from ftkit.modeling.tokenized_example import TokenizedConversation
from ftkit.training.dataloader import TokenRows, render_rows
from ftkit.training.losses import loss_of

__all__ = ["of_different_lengths", "recipe", "sequences_of", "tokens_of"]

_TASK = ft.Task("Read the age and the bed from the note; answer with both, the age first.", input="{note}")


def of_different_lengths(count: int) -> ft.Dataset:
    """Short notes with one instruction; in a padded batch much is padding."""
    return ft.Dataset.from_rows(
        [
            {
                "note": f"bed {n % 7}: a patient of {30 + n} years" + " sleeps well" * (n % 5),
                "gold": f"{30 + n} in {n % 7}" + ", asleep" * (n % 3),
            }
            for n in range(count)
        ],
        _TASK,
        target="gold",
    )


def recipe(adapter: Any, **changes: Any) -> ft.SFT:
    """One epoch in float32."""
    plain = {"epochs": 1, "learning_rate": 1e-3, "precision": "fp32", "seed": 3}
    return ft.SFT(adapter=adapter, **(plain | changes))


def tokens_of(data: ft.Dataset, model: str) -> TokenRows:
    """The rows in tokens, as a job renders them."""
    pretrained = load_pretrained(find_source(model), precision="fp32", device=torch.device("cpu"))
    return render_rows(data, pretrained.chat_template, loss_of(ft.SFT()).render, None)


def sequences_of(rows: TokenRows) -> list[TokenizedConversation]:
    """All sequences, in the order of the rows."""
    return [sequence for example in rows.examples() for sequence in example.sequences]
