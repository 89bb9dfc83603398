"""Comparators: how one field's answer is compared with its target where equality is too strict.

A comparator is a small frozen object. A report stores the comparators it was scored with, so that it can be scored and
compared again.
"""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializeAsAny, ValidationError, WithJsonSchema, WrapValidator
from typing_extensions import override

from ftkit.errors import ConfigError
from ftkit.registry import Registry, subclass_check
from ftkit.schema.equality import normalize_text, same_normalized_value, same_value
from ftkit.schema.frozen_model import DeclaredModel

__all__ = [
    "COMPARATORS",
    "Aligned",
    "AnyComparator",
    "Comparator",
    "Comparators",
    "Date",
    "Exact",
    "NormalisedText",
    "NullAgreement",
    "Numeric",
    "SetOf",
    "comparators_of",
]


class Comparator(DeclaredModel):
    """How far an answer agrees with its target, from 0 to 1.

    A subclass sets ``kind`` to the name under which it is registered, and implements :meth:`agreement`.
    """

    kind: str

    @abstractmethod
    def agreement(self, answer: Any, target: Any) -> float:
        """Return how far an answer agrees with its target.

        Args:
            answer: the field's value in the model's answer, as plain JSON.
            target: the field's value in the data, as plain JSON.

        Returns:
            1.0 if the two count as the same, 0.0 if not; a value in between only for partial credit.
        """

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Build the comparator from the text after the colon in ``--comparator FIELD=KIND:TEXT``.

        Args:
            text: the setting, e.g. ``"0.5"``.

        Returns:
            The comparator with that setting.

        Raises:
            ConfigError: this comparator takes no such setting.
        """
        raise ConfigError(f"the comparator {cls.model_fields['kind'].default!r} takes no setting, and got {text!r}")


class Exact(Comparator):
    """Equal as JSON. Fields without a comparator are compared in this way."""

    kind: Literal["exact"] = "exact"

    @override
    def agreement(self, answer: Any, target: Any) -> float:
        return float(same_value(answer, target))


class NormalisedText(Comparator):
    """Equal apart from case, width, spaces and punctuation in texts; numbers inside texts keep their punctuation."""

    kind: Literal["normalised"] = "normalised"

    @override
    def agreement(self, answer: Any, target: Any) -> float:
        return float(same_normalized_value(answer, target))


class Numeric(Comparator):
    """Numbers that differ by at most ``absolute``, or by ``relative`` times the target; other values by equality.

    A number written as text is not a number: the type is part of the answer.
    """

    kind: Literal["numeric"] = "numeric"
    absolute: float = Field(default=0.0, ge=0)
    relative: float = Field(default=0.0, ge=0, description="0.01 allows one percent")

    @override
    def agreement(self, answer: Any, target: Any) -> float:
        if not (_is_number(answer) and _is_number(target)):
            return float(same_value(answer, target))
        # Allow for rounding: 0.3 - 0.2 is 0.09999999999999998.
        tolerance = max(self.absolute, self.relative * abs(target)) * (1 + 1e-9)
        return float(math.isfinite(answer) and abs(answer - target) <= tolerance)

    @override
    @classmethod
    def from_text(cls, text: str) -> Self:
        try:
            return cls(relative=float(text[:-1]) / 100) if text.endswith("%") else cls(absolute=float(text))
        except ValueError:
            raise ConfigError(
                f"numeric takes a number or a percentage (numeric:0.5, numeric:1%), not {text!r}"
            ) from None


class Date(Comparator):
    """Texts that name the same day, or days at most ``days`` apart; other values by equality.

    ISO 8601 is always read (``2026-01-05``, also with a time, of which the day as written counts). ``formats`` adds
    others in the codes of ``strptime``. Nothing is guessed: ``03/04/2026`` is two different days.
    """

    kind: Literal["date"] = "date"
    days: int = Field(default=0, ge=0)
    formats: tuple[str, ...] = ()

    @override
    def agreement(self, answer: Any, target: Any) -> float:
        first, second = self._day(answer), self._day(target)
        if first is None or second is None:
            return float(same_value(answer, target))
        return float(abs((first - second).days) <= self.days)

    @override
    @classmethod
    def from_text(cls, text: str) -> Self:
        try:
            return cls(days=int(text))
        except ValueError:
            raise ConfigError(f"date takes a number of days (date:2), not {text!r}") from None

    def _day(self, value: Any) -> date | None:
        if not isinstance(value, str):
            return None
        try:
            return datetime.fromisoformat(value.strip()).date()
        except ValueError:
            pass
        for form in self.formats:
            try:
                return datetime.strptime(value.strip(), form).date()
            except ValueError:
                continue
        return None


class SetOf(Comparator):
    """Lists with the same elements in any order, repeats not counted; other values by equality.

    With ``partial`` a list gets the F1 of its elements: two right elements of three targets score 0.8.
    """

    kind: Literal["set"] = "set"
    partial: bool = False
    normalised: bool = Field(default=False, description="compare the texts in it as NormalisedText does")

    @override
    def agreement(self, answer: Any, target: Any) -> float:
        if not (isinstance(answer, list) and isinstance(target, list)):
            return float(same_value(answer, target))
        first, second = _distinct(answer, self.normalised), _distinct(target, self.normalised)
        if not self.partial:
            return float(first == second)
        return 1.0 if first == second else 2 * (first & second).total() / (first.total() + second.total())


class Aligned(Comparator):
    """Lists of objects (the lines of an invoice), matched one to one by the assignment with the best agreement.

    The value is the F1 of that matching: twice the summed agreement of the matched pairs, divided by the number of
    objects on both sides. Order does not matter; an object too many or too few costs its share. ``fields`` says how
    to compare fields of the objects; other fields are compared by equality.
    """

    kind: Literal["aligned"] = "aligned"
    fields: dict[str, AnyComparator] = Field(default={})

    @override
    def agreement(self, answer: Any, target: Any) -> float:
        if not (isinstance(answer, list) and isinstance(target, list)):
            return float(same_value(answer, target))
        if not answer and not target:
            return 1.0
        if not answer or not target:
            return 0.0
        import numpy as np
        from scipy.optimize import linear_sum_assignment

        agreements = np.array([[self._pair(first, second) for second in target] for first in answer])
        matched = agreements[linear_sum_assignment(agreements, maximize=True)].sum()
        return float(2 * matched / (len(answer) + len(target)))

    def _pair(self, answer: Any, target: Any) -> float:
        if not (isinstance(answer, dict) and isinstance(target, dict)):
            return float(same_value(answer, target))
        names = [*target, *(name for name in answer if name not in target)]
        if not names:
            return 1.0
        return sum(self._field(name, answer, target) for name in names) / len(names)

    def _field(self, name: str, answer: Mapping[str, Any], target: Mapping[str, Any]) -> float:
        if name not in answer or name not in target:
            return 0.0
        return self.fields.get(name, Exact()).agreement(answer[name], target[name])


class NullAgreement(Comparator):
    """Whether both have a value or both have none; which value does not matter."""

    kind: Literal["null"] = "null"

    @override
    def agreement(self, answer: Any, target: Any) -> float:
        return float((answer is None) == (target is None))


COMPARATORS: Registry[type[Comparator]] = Registry(
    "comparator",
    group="ftkit.comparators",
    built_in={
        "exact": "ftkit.schema.comparators:Exact",
        "normalised": "ftkit.schema.comparators:NormalisedText",
        "numeric": "ftkit.schema.comparators:Numeric",
        "date": "ftkit.schema.comparators:Date",
        "set": "ftkit.schema.comparators:SetOf",
        "aligned": "ftkit.schema.comparators:Aligned",
        "null": "ftkit.schema.comparators:NullAgreement",
    },
    check=subclass_check("comparator", Comparator, "ftkit.evaluation.Comparator"),
)
"""Comparator classes by ``kind``. Packages add theirs under the entry-point group ``ftkit.comparators``."""


def _resolve(value: Any, validate: Any) -> Any:
    """Validate a dumped comparator as the class that its ``kind`` names."""
    if isinstance(value, Comparator):
        return value
    if not isinstance(value, Mapping) or not isinstance(value.get("kind"), str):
        raise ValueError('a comparator is an object with a "kind"')
    try:
        return COMPARATORS.get(value["kind"]).model_validate(dict(value))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


AnyComparator = Annotated[
    SerializeAsAny[Comparator],
    WrapValidator(_resolve),
    WithJsonSchema({"type": "object", "properties": {"kind": {"type": "string"}}, "required": ["kind"]}),
]
"""A registered comparator, as a field of a pydantic model; its JSON is an object with ``kind``."""

Aligned.model_rebuild()

Comparators = Mapping[str, Comparator | str]
"""By field: a comparator, or the name of one with its defaults (``"date"``)."""


def comparators_of(comparators: Comparators | None, fields: Mapping[str, Any]) -> dict[str, Comparator]:
    """Return the comparators by field, with names replaced by objects.

    Args:
        comparators: what the user gave; None stands for none.
        fields: the output's fields by name; only the names matter.

    Returns:
        One comparator for each field in ``comparators``.

    Raises:
        ConfigError: a field that the output does not have, or a comparator that is not registered.
    """
    resolved: dict[str, Comparator] = {}
    for field, chosen in (comparators or {}).items():
        if field not in fields:
            known = ", ".join(fields) or "none, because the output is not a JSON object with known fields"
            raise ConfigError(f'comparators: the output has no field "{field}"; it has {known}')
        name = chosen.kind if isinstance(chosen, Comparator) else chosen
        try:
            kind = COMPARATORS.get(name)
        except ConfigError as error:
            raise ConfigError(f"comparators: {field}: {error}") from None
        resolved[field] = chosen if isinstance(chosen, Comparator) else kind.model_validate({"kind": name})
    return resolved


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _distinct(values: list[Any], loose: bool) -> Counter[str]:
    """Each different element once, as canonical JSON; numbers by their value (``3`` is ``3.0``)."""

    def canonical(value: Any) -> Any:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, str):
            return normalize_text(value) if loose else value
        if isinstance(value, list):
            return [canonical(item) for item in value]
        return {key: canonical(item) for key, item in value.items()} if isinstance(value, dict) else value

    return Counter({json.dumps(canonical(value), ensure_ascii=False, sort_keys=True): 1 for value in values})
