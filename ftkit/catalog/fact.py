"""The base of all facts: frozen data with a source and the date on which it was read."""

from __future__ import annotations

from datetime import date
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

__all__ = ["STALE_AFTER_DAYS", "Fact", "Reading", "days_until"]

STALE_AFTER_DAYS = 120
"""Age in days from which a fact causes a warning. A judgement: prices changed about every three months in 2026."""

_MOST = 10.0**13
"""A larger number is of no fact: ten terabytes, in bytes."""


def days_until(day: date, today: date | None = None) -> int:
    """Count the days until a date.

    Args:
        day: the date.
        today: the current date; default: the computer's.

    Returns:
        Whole days; negative if the date has passed.
    """
    return (day - (today or date.today())).days


class Reading(BaseModel):
    """What another source says of the same fact, where sources disagree."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    values: dict[str, float | int | str | date]
    """The fields that it gives another value."""
    source: str = Field(min_length=1)
    """URL of the source."""
    as_of: date
    """Date on which the source was read."""
    note: str = ""
    """Remarks for the reader."""

    def __str__(self) -> str:
        values = ", ".join(f"{name} {value}" for name, value in self.values.items())
        return f"{values} ({self.source}, {self.as_of})"


class Fact(BaseModel):
    """Base of the rows: frozen data with a source."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    key_fields: ClassVar[tuple[str, ...]] = ()

    source: str = Field(min_length=1)
    """URL of the source."""
    as_of: date
    """Date on which the source was read."""
    trust: Literal["primary", "secondary", "unsure"] = "primary"
    """``primary``: the provider's own page or a dated copy of it. ``secondary``: other sources agree. ``unsure``: only
    one other source, or sources that disagree."""
    note: str = ""
    """Remarks for the reader."""
    readings: tuple[Reading, ...] = ()
    """What other sources say, where they disagree; the row is then ``unsure``."""

    @field_validator("*", mode="after")
    @classmethod
    def _check_size(cls, value: Any) -> Any:
        """A number that no price, size or limit has is a mistake in the unit, and would make sums infinite."""
        if isinstance(value, int | float) and abs(value) > _MOST:
            raise ValueError("the number is too large to be believable")
        return value

    @model_validator(mode="after")
    def _check_readings(self) -> Self:
        if self.readings and self.trust != "unsure":
            raise ValueError('readings: sources that disagree make the row trust = "unsure"')
        for reading in self.readings:
            for name in reading.values:
                if name not in type(self).model_fields or name in (*Fact.model_fields, *self.key_fields):
                    raise ValueError(f"readings: there is no field {name!r} to read otherwise")
        return self

    @property
    def disagreement(self) -> str:
        """What other sources say, as the end of a sentence; empty if they do not disagree."""
        if not self.readings:
            return ""
        return f"sources disagree: {' or '.join([self._own_reading(), *map(str, self.readings)])}"

    def _own_reading(self) -> str:
        names = dict.fromkeys(name for reading in self.readings for name in reading.values)
        return str(Reading(values={name: getattr(self, name) for name in names}, source=self.source, as_of=self.as_of))

    @property
    def key(self) -> tuple[Any, ...]:
        """Values that identify the row among those of its kind."""
        return tuple(getattr(self, name) for name in self.key_fields)

    def age_days(self, today: date | None = None) -> int:
        """Count the days since the source was read.

        Args:
            today: the current date; default: the computer's.

        Returns:
            Whole days.
        """
        return -days_until(self.as_of, today)

    def is_stale(self, today: date | None = None) -> bool:
        """Return whether the source was read more than :data:`STALE_AFTER_DAYS` ago.

        Args:
            today: the current date; default: the computer's.

        Returns:
            Whether the fact is stale.
        """
        return self.age_days(today) > STALE_AFTER_DAYS
