"""Rows, a task and a recipe with which the example package's losses and adapters train a tiny model in seconds."""

from __future__ import annotations

import ftkit as ft

__all__ = ["RECIPE", "rated_rows", "task_file"]

RECIPE = """\
epochs: 2
learning_rate: 0.01
batch_size: 4
precision: fp32
adapter: {kind: lora, rank: 4}
"""


def rated_rows() -> list[dict[str, str]]:
    rows = []
    for number in range(6):
        note = f"bed {number}, {30 + number} years"
        rows.append({"note": note, "gold": f"{30 + number} in {number}", "thumb": "up"})
        rows.append({"note": note, "gold": "I do not know.", "thumb": "down"})
    return rows


def task_file() -> str:
    return ft.Task("Read the age and the bed from the note; answer with both.", input="{note}").to_yaml()
