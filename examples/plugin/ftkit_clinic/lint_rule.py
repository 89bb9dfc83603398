"""A lint rule: letters that tell a patient to take a number without a unit."""

from __future__ import annotations

import re
from collections.abc import Iterator

from typing_extensions import override

from ftkit.linting import RowRule, RuleFinding
from ftkit.linting.context import LintContext
from ftkit.linting.row_view import RowView

_DOSE = re.compile(r"\b(?:take|give|dose of)\s+(\d+(?:[.,]\d+)?)\s*([a-zµ]*)", re.IGNORECASE)
_UNITS = {"µg", "mcg", "mg", "g", "ml", "units", "tablet", "tablets", "drops", "puffs"}


class DoseWithoutUnit(RowRule):
    """An answer names a dose without its unit.

    A model trained on "take 500" writes doses that a patient can misread. Checks the number after "take", "give" and
    "dose of". Add the unit.
    """

    code = "CLINIC001"
    name = "dose-without-unit"
    severity = "error"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        for match in _DOSE.finditer(view.answer):
            if match[2].lower() not in _UNITS:
                yield RuleFinding(f"the dose {match[1]} has no unit", "$", match[0])
