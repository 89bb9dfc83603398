"""All spellings of one record have one target, in every process, and score as equal."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import os
import subprocess
import sys
from collections import OrderedDict
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    computed_field,
    field_serializer,
)
from pydantic.dataclasses import dataclass

import ftkit as ft
from ftkit import OutputError, Task
from ftkit.testing import FakeModel


class Mood(enum.Enum):
    CALM = "calm"
    LOW = "low"


class Line(BaseModel):
    model_config = ConfigDict(alias_generator=str.upper, populate_by_name=True, frozen=True)

    name: Annotated[str, StringConstraints(strip_whitespace=True)]
    price: Annotated[Decimal, Field(decimal_places=2)]


class Bill(BaseModel):
    total: Decimal
    at: dt.datetime
    tags: set[str]
    sizes: frozenset[int] = frozenset()
    score: float
    mood: Mood
    pair: tuple[int, float]
    lines: list[Line]
    by_day: dict[dt.date, Line] = {}
    number: int = Field(validation_alias=AliasChoices("number", "no"), serialization_alias="invoiceNumber")

    @computed_field
    def double(self) -> int:
        return 2 * self.number


TASK = Task("Read the bill.", input="{note}", output=Bill)
FORM = (
    '{"total": "12.5", "at": "2026-01-05T10:00:00Z", "tags": ["a", "b", "c"], "sizes": [2, 10], "score": 3.0, '
    '"mood": "calm", "pair": [1, 2.0], "lines": [{"NAME": "tea", "PRICE": "1.50"}], '
    '"by_day": {"2026-01-05": {"NAME": "milk", "PRICE": "2.00"}}, "number": 7}'
)
SPELLINGS: list[Any] = [
    json.loads(FORM),
    {
        "no": 7,
        "total": 12.50,
        "at": "2026-01-05T10:00:00.000+00:00",
        "tags": ["c", "b", "a"],
        "sizes": [10, 2],
        "score": 3,
        "mood": "calm",
        "pair": [1, 2],
        "lines": [{"name": " tea ", "price": 1.5}],
        "by_day": {"2026-01-05": {"NAME": "milk", "price": "2"}},
    },
    {
        "number": 7,
        "total": Decimal("12.500"),
        "at": dt.datetime(2026, 1, 5, 10, tzinfo=dt.UTC),
        "tags": {"b", "a", "c"},
        "sizes": {2, 10},
        "score": 3.0,
        "mood": Mood.CALM,
        "pair": (1, 2.0),
        "lines": [Line(name="tea", price=Decimal("1.50"))],
        "by_day": {dt.date(2026, 1, 5): Line(name="milk", price=2)},
    },
]


def test_equal_records_have_one_target() -> None:
    assert [TASK.target(spelling) for spelling in SPELLINGS] == [FORM] * 3
    assert TASK.target(TASK.parse(FORM)) == FORM
    assert TASK.target(json.dumps(SPELLINGS[1])) == FORM
    assert TASK.parse(json.dumps(SPELLINGS[1])) == TASK.parse(FORM)


def test_sets_and_keys_do_not_depend_on_how_decimals_are_spelled() -> None:
    class Basket(BaseModel):
        lines: set[Line]
        shares: dict[Decimal, frozenset[tuple[Decimal, int]]]

    task = Task("Read.", input="{note}", output=Basket)
    one = {
        "lines": [{"NAME": "b", "PRICE": 1}, {"NAME": "a", "PRICE": "1.0"}],
        "shares": {"1.0": [["2", 1], ["2.0", 0]]},
    }
    other = {
        "lines": [{"NAME": "a", "PRICE": "1"}, {"NAME": "b", "PRICE": "1.00"}],
        "shares": {"1": [["2.00", 0], [2, 1]]},
    }
    form = (
        '{"lines": [{"NAME": "a", "PRICE": "1.00"}, {"NAME": "b", "PRICE": "1.00"}], '
        '"shares": {"1": [["2", 0], ["2", 1]]}}'
    )
    assert [task.target(value) for value in (one, other, Basket(**one), json.dumps(other))] == [form] * 4


def test_records_as_their_class_writes_them_may_have_its_computed_fields() -> None:
    class Account(BaseModel):
        bills: list[Bill]

        @computed_field(alias="count")
        @property
        def number_of_bills(self) -> int:
            return len(self.bills)

    task = Task("Read.", input="{note}", output=Account)
    account = Account(bills=[TASK.parse(FORM)])
    written = json.loads(account.model_dump_json())
    assert written["number_of_bills"] == 1
    assert written["bills"][0]["double"] == 14
    assert task.target(written) == task.target(account)
    assert task.target({"count": 1, "bills": written["bills"]}) == task.target(account)
    written["bills"][0]["double"] = 15
    with pytest.raises(OutputError, match=r"^\$\.bills\[0\]\.double: Bill computes this field as 14, and"):
        task.target(written)


def test_an_unknown_key_is_named_where_the_class_reads_all_others() -> None:
    spelled = {**SPELLINGS[1], "extra": 1}
    with pytest.raises(OutputError, match=r"^\$\.extra: this key is not in the schema"):
        TASK.target(spelled)
    with pytest.raises(OutputError, match=r"^\$\.extra: this key is not in the schema"):
        TASK.parse(json.dumps(spelled))


def test_rows_of_all_kinds_have_one_completion(tmp_path: Path) -> None:
    rows = [{"note": str(number), "bill": spelling} for number, spelling in enumerate([*SPELLINGS, TASK.parse(FORM)])]
    data = ft.Dataset.from_rows([*rows, {"note": "text", "bill": FORM}], TASK, target="bill")
    assert [row.completion["content"] for row in data] == [FORM] * 5
    assert all(row.target == json.loads(FORM) for row in data)
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps({"note": "a", "bill": spelling}) for spelling in SPELLINGS[:2]))
    assert [row.completion["content"] for row in ft.Dataset.load(file, TASK, target="bill")] == [FORM] * 2


def test_a_process_without_the_class_has_the_same_completions(tmp_path: Path) -> None:
    rows = [{"note": str(number), "bill": spelling} for number, spelling in enumerate(SPELLINGS)]
    data = ft.Dataset.from_rows(rows, TASK, target="bill")
    spec = json.loads(json.dumps(data.to_spec(tmp_path)))
    opened = ft.Dataset.from_spec(spec)
    assert opened.task.answer_type is None
    assert [row.completion["content"] for row in opened] == [FORM] * 3
    again = ft.Dataset.from_spec(json.loads(json.dumps(opened[1:].to_spec(tmp_path))))
    assert [row.completion["content"] for row in again] == [FORM] * 2
    Path(spec["forms"]["file"]).write_text("{}")
    with pytest.raises(ft.DataError, match="canonical answers, has changed"):
        ft.Dataset.from_spec(spec)


def test_conversations_keep_their_text_and_have_the_value(tmp_path: Path) -> None:
    text = json.dumps(SPELLINGS[1])
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": text}]
    data = ft.Dataset.from_rows([{"messages": turns}], Task(output=Bill))
    opened = ft.Dataset.from_spec(data.to_spec(tmp_path))
    for rows in (data, opened):
        assert rows[0].completion["content"] == text
        assert rows[0].target == json.loads(FORM)


SCRIPT = """
import json, ftkit as ft
from tests.task.test_one_form import FORM, TASK
rows = [{"note": "a", "bill": TASK.parse(FORM)}, {"note": "b", "bill": {"tags": {"x", "y", "z", "w"}}}]
data = ft.Dataset.from_rows(rows[:1], TASK, target="bill")
loose = ft.Dataset.from_rows(rows[1:], ft.Task(input="{note}", output={"type": "object"}), target="bill")
print(json.dumps([data[0].id, data.fingerprint, loose[0].id, loose.fingerprint, data[0].completion]))
"""


def test_ids_and_fingerprints_do_not_depend_on_the_hash_seed() -> None:
    def run(seed: str) -> str:
        where = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=where)
        return done.stdout

    assert run("1") == run("2")


def test_answers_are_scored_by_their_parsed_values() -> None:
    other = json.loads(FORM) | {"at": "2026-01-05T12:00:00+02:00", "total": "12.50", "tags": ["c", "a", "b"]}
    wrong = json.loads(FORM) | {"at": "2026-01-05T12:00:00Z"}
    answers = [FORM, json.dumps(SPELLINGS[1]), json.dumps(other), json.dumps(wrong)]
    rows = [{"note": str(number), "bill": SPELLINGS[number % 3]} for number in range(4)]
    data = ft.Dataset.from_rows(rows, TASK, target="bill")
    model = FakeModel(TASK, lambda question: answers[int(question)])
    report = ft.evaluate(model, data, probes=False)
    assert [row.scores["record_exact"] for row in report.rows] == [1, 1, 1, 0]
    assert [row.scores["field:at"] for row in report.rows] == [1, 1, 1, 0]
    assert [row.scores["field:tags"] for row in report.rows] == [1, 1, 1, 1]
    assert all(row.valid for row in report.rows)
    assert report.rescore().rows == report.rows


def test_the_class_of_the_data_scores_a_model_without_one() -> None:
    rows = [{"note": "a", "bill": SPELLINGS[0]}]
    data = ft.Dataset.from_rows(rows, TASK, target="bill")
    model = FakeModel(Task.from_yaml(TASK.to_yaml()), lambda _: json.dumps(SPELLINGS[1]))
    (row,) = ft.evaluate(model, data, probes=False).rows
    assert row.scores["record_exact"] == 1


def test_other_keys_and_types_are_still_refused() -> None:
    for change in ({"unknown": 1}, {"number": "7"}, {"score": True}, {"mood": "high"}):
        bill = json.loads(FORM) | change
        with pytest.raises(OutputError):
            TASK.target(bill)
        with pytest.raises(OutputError):
            TASK.parse(json.dumps(bill))


def test_what_a_class_writes_otherwise_than_it_reads_is_left_as_it_was_given() -> None:
    class Masked(BaseModel):
        name: str
        key: SecretStr

        @field_serializer("name")
        def _short(self, name: str) -> str:
            return name[:1]

    task = Task(output=Masked)
    assert task.target({"key": "abc", "name": "Ana"}) == '{"name": "Ana", "key": "abc"}'
    with pytest.raises(OutputError, match="asterisks"):
        task.target(Masked(name="Ana", key="abc"))


def test_dataclasses_and_names_of_fields() -> None:
    @dataclass
    class Point:
        x: Annotated[float, Field(alias="X")]

    class Place(BaseModel):
        model_config = ConfigDict(validate_by_alias=False, validate_by_name=True)

        hidden: int = Field(exclude=True)
        point: Point = Field(alias="P")

    task = Task(output=Place)
    form = '{"hidden": 1, "point": {"X": 2.0}}'
    assert task.target({"point": {"X": 2}, "hidden": 1}) == form
    assert task.target(task.parse(form)) == form

    @dataclasses.dataclass
    class Plain:
        at: dt.date
        tags: frozenset[str]

    data = ft.Dataset.from_rows(
        [{"note": "a", "plain": Plain(dt.date(2026, 1, 5), frozenset("ba"))}],
        Task(input="{note}", output=Plain),
        target="plain",
    )
    assert data[0].completion["content"] == '{"at": "2026-01-05", "tags": ["a", "b"]}'
    assert data[0].columns["plain"] == OrderedDict(at="2026-01-05", tags=["a", "b"])


def test_a_field_without_a_key_of_its_own_is_refused() -> None:
    class Deep(BaseModel):
        x: int = Field(validation_alias=AliasPath("a", "b"))

    class Both(BaseModel):
        x: int = Field(validation_alias=AliasChoices(AliasPath("a", "b"), "y"))

    with pytest.raises(ft.ConfigError, match=r"Deep\.x is read only from a place inside another key"):
        Task(output=list[Deep])
    assert Task(output=Both).target({"a": {"b": 3}}) == Task(output=Both).target({"y": 3}) == '{"y": 3}'
