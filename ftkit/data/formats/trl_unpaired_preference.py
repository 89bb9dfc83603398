"""``prompt``, ``completion`` and ``label``: TRL's form of unpaired preferences, for KTO."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import override

from ftkit.data.formats.prompt_completion import PromptCompletion
from ftkit.data.formats.trl import trl_message, with_tools
from ftkit.data.row import Row

__all__ = ["TRLUnpairedPreference"]


class TRLUnpairedPreference(PromptCompletion):
    """Read like ``prompt_completion``, which also takes a label; written with the label.

    Source: https://huggingface.co/docs/trl/dataset_formats.
    """

    name = "trl_unpaired_preference"
    required = "prompt, completion and label"
    columns: ClassVar[tuple[str, ...]] = (*PromptCompletion.columns, "label")
    label_field: ClassVar[str | None] = "label"
    is_detected = False

    @override
    def matches(self, columns: Mapping[str, Any]) -> bool:
        return super().matches(columns) and "label" in columns

    @override
    def write(self, row: Row) -> dict[str, Any]:
        answer, at = row.labelled_answer, len(row.prompt)
        line = {
            "prompt": [trl_message(row, number, message) for number, message in enumerate(row.prompt)],
            "completion": [trl_message(row, at, answer)],
            "label": row.label,
        }
        return with_tools(row, line)
