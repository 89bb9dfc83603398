"""A comparator: two doses that are the same amount of the same unit, however they are written (0.5 g and 500 mg)."""

from __future__ import annotations

import re
from typing import Any, Literal

from ftkit.evaluation import Comparator

_DOSE = re.compile(r"\s*(\d+(?:[.,]\d+)?)\s*(µg|ug|mcg|mg|g)\s*", re.IGNORECASE)
_MILLIGRAMS = {"µg": 0.001, "ug": 0.001, "mcg": 0.001, "mg": 1.0, "g": 1000.0}


class Dose(Comparator):
    """Doses at most ``percent`` of the target apart; text that is not a dose never agrees."""

    kind: Literal["clinic_dose"] = "clinic_dose"
    percent: float = 0.0

    def agreement(self, answer: Any, target: Any) -> float:
        given, wanted = _milligrams(answer), _milligrams(target)
        if given is None or wanted is None:
            return 0.0
        return float(abs(given - wanted) <= wanted * (self.percent / 100 + 1e-9))

    @classmethod
    def from_text(cls, text: str) -> Dose:
        """Read ``--comparator dose=clinic_dose:5``: five percent."""
        return cls(percent=float(text))


def _milligrams(value: Any) -> float | None:
    match = _DOSE.fullmatch(value) if isinstance(value, str) else None
    return None if match is None else float(match[1].replace(",", ".")) * _MILLIGRAMS[match[2].lower()]
