"""Ways to compare one field's answer with the wanted one, where equality is too strict: tolerances, dates, sets, lists.

Each is a small frozen object that is stored in the report, so that the report can be scored and compared again.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from ftkit.errors import ConfigError
from ftkit.evaluation.json_values import canonical
from ftkit.schema import Declared
from ftkit.schema.equality import same_value, same_value_normalised

__all__ = [
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


class Comparator(Declared):
    """How much of a wanted value an answer has, from 0 to 1."""

    @abstractmethod
    def agreement(self, given: Any, wanted: Any) -> float:
        """1 when they count as the same, 0 when not; between only where a comparator gives parts of a value credit."""


class Exact(Comparator):
    """Equal as JSON; what fields without a comparator get."""

    kind: Literal["exact"] = "exact"

    def agreement(self, given: Any, wanted: Any) -> float:
        """See :class:`Comparator`."""
        return float(same_value(given, wanted))


class NormalisedText(Comparator):
    """Equal but for case, width, spaces and punctuation in texts; numbers inside texts keep theirs."""

    kind: Literal["normalised"] = "normalised"

    def agreement(self, given: Any, wanted: Any) -> float:
        """See :class:`Comparator`."""
        return float(same_value_normalised(given, wanted))


class Numeric(Comparator):
    """Numbers no further apart than ``absolute``, or than ``relative`` times the wanted one; other values by equality.

    Text is no number, however it reads: the type is part of the answer.
    """

    kind: Literal["numeric"] = "numeric"
    absolute: float = Field(default=0.0, ge=0)
    relative: float = Field(default=0.0, ge=0, description="0.01 allows one percent")

    def agreement(self, given: Any, wanted: Any) -> float:
        """See :class:`Comparator`."""
        if not (_is_number(given) and _is_number(wanted)):
            return float(same_value(given, wanted))
        # A hair of slack: 0.3 - 0.2 is 0.09999999999999998, and 0.1 apart was allowed.
        reach = max(self.absolute, self.relative * abs(wanted)) * (1 + 1e-9)
        return float(math.isfinite(given) and abs(given - wanted) <= reach)


class Date(Comparator):
    """Texts that name the same day, or days no further apart than ``days``; other values by equality.

    ISO 8601 is always read (``2026-01-05``, also with a time after it, of which the day as written counts); what else
    ``formats`` lists, in the letters of ``strptime``. No form is guessed: ``03/04/2026`` is two different days.
    """

    kind: Literal["date"] = "date"
    days: int = Field(default=0, ge=0)
    formats: tuple[str, ...] = ()

    def agreement(self, given: Any, wanted: Any) -> float:
        """See :class:`Comparator`."""
        one, two = self._day(given), self._day(wanted)
        if one is None or two is None:
            return float(same_value(given, wanted))
        return float(abs((one - two).days) <= self.days)

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

    With ``partial`` a list gets the F1 of its elements: of 3 wanted and 2 given, both right, 0.8.
    """

    kind: Literal["set"] = "set"
    partial: bool = False
    normalised: bool = Field(default=False, description="texts in it are compared as NormalisedText does")

    def agreement(self, given: Any, wanted: Any) -> float:
        """See :class:`Comparator`."""
        if not (isinstance(given, list) and isinstance(wanted, list)):
            return float(same_value(given, wanted))
        one, two = _distinct(given, self.normalised), _distinct(wanted, self.normalised)
        if not self.partial:
            return float(one == two)
        return 1.0 if one == two else 2 * (one & two).total() / (one.total() + two.total())


class Aligned(Comparator):
    """Lists of things (the lines of an invoice) matched one to one as well as they can be, each pair by its fields.

    The value is the F1 of the best matching: the agreement of the matched pairs summed, twice, over the number of
    things on both sides. Two lists in another order are the same; a thing too many or too few costs its share.
    ``fields`` says how to compare fields of the things; the others are compared by equality.
    """

    kind: Literal["aligned"] = "aligned"
    fields: dict[str, AnyComparator] = Field(default={})

    def agreement(self, given: Any, wanted: Any) -> float:
        """See :class:`Comparator`."""
        if not (isinstance(given, list) and isinstance(wanted, list)):
            return float(same_value(given, wanted))
        if not given and not wanted:
            return 1.0
        if not given or not wanted:
            return 0.0
        import numpy as np
        from scipy.optimize import linear_sum_assignment

        agreements = np.array([[self._pair(one, two) for two in wanted] for one in given])
        matched = agreements[linear_sum_assignment(agreements, maximize=True)].sum()
        return float(2 * matched / (len(given) + len(wanted)))

    def _pair(self, given: Any, wanted: Any) -> float:
        if not (isinstance(given, dict) and isinstance(wanted, dict)):
            return float(same_value(given, wanted))
        names = [*wanted, *(name for name in given if name not in wanted)]
        if not names:
            return 1.0
        return sum(self._field(name, given, wanted) for name in names) / len(names)

    def _field(self, name: str, given: Mapping[str, Any], wanted: Mapping[str, Any]) -> float:
        if name not in given or name not in wanted:
            return 0.0
        return self.fields.get(name, Exact()).agreement(given[name], wanted[name])


class NullAgreement(Comparator):
    """Whether both have a value or both have none (``null``): did the model see that there is something to extract?"""

    kind: Literal["null"] = "null"

    def agreement(self, given: Any, wanted: Any) -> float:
        """See :class:`Comparator`."""
        return float((given is None) == (wanted is None))


AnyComparator = Annotated[
    Exact | NormalisedText | Numeric | Date | SetOf | Aligned | NullAgreement, Field(discriminator="kind")
]
"""Every comparator, told apart by ``kind``."""

Aligned.model_rebuild()

Comparators = Mapping[str, Comparator | str]
"""By field: a comparator, or the name of one with its defaults (``"date"``)."""

_READ: TypeAdapter[Any] = TypeAdapter(AnyComparator)


def comparators_of(comparators: Comparators | None, fields: Mapping[str, Any]) -> dict[str, Comparator]:
    """The comparators by field, names turned into objects.

    Raises:
        ConfigError: a field that the output does not have, or a name that no comparator has.
    """
    found: dict[str, Comparator] = {}
    for field, chosen in (comparators or {}).items():
        if field not in fields:
            known = ", ".join(fields) or "none, because the output is no JSON object with known fields"
            raise ConfigError(f'comparators: the output has no field "{field}"; it has {known}')
        if isinstance(chosen, Comparator):
            found[field] = chosen
            continue
        try:
            found[field] = _READ.validate_python({"kind": chosen})
        except ValidationError:
            raise ConfigError(
                f'comparators: "{chosen}" for {field} is none; '
                "use exact, normalised, numeric, date, set, aligned or null"
            ) from None
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _distinct(values: list[Any], normalised: bool) -> Counter[str]:
    """Each different element once; numbers by their size (``3`` is ``3.0``)."""
    from ftkit.schema.equality import normalised as loosened

    def alike(value: Any) -> Any:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, str):
            return loosened(value) if normalised else value
        if isinstance(value, list):
            return [alike(item) for item in value]
        return {key: alike(item) for key, item in value.items()} if isinstance(value, dict) else value

    return Counter({canonical(alike(value)): 1 for value in values})
