"""A grader: does the answer name the prescribed dose, in whatever unit it is written?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from ftkit import Sample
from ftkit.graders import SingleGrader

MILLIGRAMS = {"mg": 1.0, "g": 1000.0, "mcg": 0.001}


class DoseGrader(SingleGrader):
    """Grade 1 when the answer contains the row's dose, else 0. ``0.5 g`` and ``500 mg`` are the same dose."""

    own: ClassVar[bool] = True
    type: Literal["dose"] = "dose"
    name: str = "dose"
    column: str = "dose"
    """Column of the row that holds the right dose, e.g. ``500 mg``."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest grade."""
        return 0.0, 1.0

    def reads(self) -> frozenset[str]:
        """Return the columns that the grader reads."""
        return frozenset({self.column})

    def score(self, item: Mapping[str, Any], sample: Sample) -> float:
        """Grade one answer."""
        return float(bool(doses(str(item.get(self.column, ""))) & doses(sample.text)))


def doses(text: str) -> set[float]:
    """Return every dose in a text, in milligrams."""
    return {
        round(float(number) * MILLIGRAMS[unit], 6)
        for number, unit in re.findall(r"(\d+(?:\.\d+)?) ?(mcg|mg|g)\b", text)
    }
