"""Fix one row, and say whether it can be fixed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ftkit.data import Dataset
from ftkit.linting.fixing.answer_location import replace_answer
from ftkit.linting.fixing.text_fixes import fix_answer_text, fix_answer_value
from ftkit.linting.row_view import RowView

__all__ = ["fixed_columns", "is_fixable"]


def fixed_columns(view: RowView, data: Dataset, codes: Collection[str]) -> dict[str, Any] | None:
    """Fix the answer of a row.

    Args:
        view: the row.
        data: the rows that it is one of.
        codes: rules whose findings are fixed.

    Returns:
        The new columns; None if nothing changes.
    """
    # ftkit itself writes the answer of a column in the schema's order.
    if data.options.target is not None or data.options.chosen is not None:
        codes = [code for code in codes if code != "C001"]
    # Only good answers would change, and the whitespace of the bad ones would then give them away.
    if data.kind in ("preferences", "unpaired_preferences"):
        codes = [code for code in codes if code != "C006"]
    if not codes:
        return None

    def fix_answer(value: Any) -> Any:
        return (fix_answer_text if isinstance(value, str) else fix_answer_value)(value, data.task, codes)

    return replace_answer(view.columns, data.format, data.options, fix_answer)


def is_fixable(view: RowView, data: Dataset, code: str) -> bool:
    """Say whether ``--fix`` changes a row because of a rule.

    Args:
        view: the row.
        data: the rows that it is one of.
        code: the rule's code.

    Returns:
        Whether the row's file can be fixed, and the fix of the rule alone changes the row.
    """
    return view.place.source in data.json_lines_names and fixed_columns(view, data, [code]) is not None
