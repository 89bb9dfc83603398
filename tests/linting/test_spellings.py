"""Files that spell one value in several ways."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

import ftkit as ft


class Bill(BaseModel):
    total: Decimal
    at: dt.datetime
    tags: set[str] = set()
    score: float = 0.0


def found(bills: list[dict[str, Any]], *, in_conversations: bool = False) -> list[tuple[str | None, str]]:
    if in_conversations:
        turns = [
            [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": json.dumps(bill)}]
            for n, bill in enumerate(bills)
        ]
        data = ft.Dataset.from_rows([{"messages": each} for each in turns], ft.Task(output=Bill))
    else:
        rows = [{"note": f"n{number}", "bill": bill} for number, bill in enumerate(bills)]
        data = ft.Dataset.from_rows(rows, ft.Task("Read.", input="{note}", output=Bill), target="bill")
    return [(finding.path, finding.message) for finding in ft.lint(data, select=["C013"]).findings]


def bill(total: Any = "1.5", at: str = "2026-01-05T10:00:00Z", **more: Any) -> dict[str, Any]:
    return {"total": total, "at": at, **more}


def test_consistent_files_have_no_findings() -> None:
    assert found([bill("2.00"), bill("12.25"), bill("2.00", "2026-01-05T12:00:00+02:00", score=2.5)]) == []
    assert found([bill(2), bill(12.25), bill(3.5, "2026-02-05T10:00:00.250Z", score=3)]) == []


def test_numbers_and_texts_of_one_field_are_found() -> None:
    for in_conversations in (False, True):
        assert found([bill("2.5"), bill("3.5"), bill(4.5)], in_conversations=in_conversations) == [
            ("$.total", "values are written as a JSON number; as text in 2 of 3")
        ]
    assert found([bill("2.5"), bill("2.50"), bill("2.5")]) == [
        ("$.total", '"2.5" is written "2.50"; "2.5" in 2 of 3'),
    ]


def test_moments_are_found_by_their_form_and_their_value() -> None:
    messages = [message for _, message in found([bill(), bill(), bill(at="2026-02-05 10:00:00+00:00")])]
    assert messages == ["values are written YYYY-MM-DD hh:mm:ss+00:00; YYYY-MM-DDThh:mm:ssZ in 2 of 3"]
    assert found([bill(), bill(), bill(at="2026-01-05T12:00:00+02:00")]) == []
    same = found([bill(), bill(), bill(at="2026-01-05T10:00:00.0Z")])
    assert [path for path, _ in same] == ["$.at"] * 2


def test_sets_and_floats_are_found_by_their_value() -> None:
    sets = found([bill(tags=["a", "b"]), bill(tags=["a", "b"]), bill(tags=["b", "a"])])
    assert sets == [("$.tags", '["a", "b"] is written ["b", "a"]; ["a", "b"] in 2 of 3')]
    floats = found([bill(score=3), bill(score=3), bill(score=3.0)])
    assert floats == [("$.score", "3.0 is written 3.0; 3 in 2 of 3")]
