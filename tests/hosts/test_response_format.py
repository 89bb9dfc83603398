"""``response_format``: strict only where OpenAI's strict mode takes the schema."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, HttpUrl

import ftkit as ft
from ftkit.backends.openai_jobs.response_format import response_format
from ftkit.schema.strict_schema import check_strict


class Page(BaseModel):
    url: HttpUrl


class Extra(BaseModel):
    extra: Any


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


class Owner(BaseModel):
    pet: Cat | Dog = Field(discriminator="kind")


@pytest.mark.parametrize(("output", "strict"), [(Page, True), (Owner, True), (Extra, False)])
def test_a_schema_is_strict_only_if_strict_mode_takes_it(output: type[BaseModel], strict: bool) -> None:
    found = response_format(ft.Task("Answer.", input="{text}", output=output).output, strict=True)
    assert found is not None
    assert found["json_schema"]["strict"] is strict
    if strict:
        check_strict(found["json_schema"]["schema"])
