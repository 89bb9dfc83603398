"""Classes that the tests of schemas and tasks ask for."""

from __future__ import annotations

import datetime as dt
import enum
from decimal import Decimal
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class Mood(enum.Enum):
    """How the patient seemed; not for the model."""

    CALM = "calm"
    LOW = "low"


class Item(BaseModel):
    """A line of a bill."""

    name: str
    price: float


class Address(BaseModel):
    street: str
    city: str | None = None


class Visit(BaseModel):
    """What a clinic note says."""

    patient_name: str
    age: int = Field(ge=0, le=130)
    diagnosis: str = Field(description="As written,\n  not coded.")
    medication: str | None
    follow_up_days: int | None = None


class Order(BaseModel):
    placed: dt.date
    mood: Mood
    items: list[Item]
    address: Address | None = None
    tags: list[str] = Field(default_factory=list, max_length=3)


class Money(BaseModel):
    amount: Decimal
    id: UUID
    at: dt.datetime


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str
    age: int


class Owner(BaseModel):
    pet: Cat | Dog = Field(discriminator="kind")


class Node(BaseModel):
    name: str
    children: list[Node] = []


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str
