"""What only looks like a fault, and was once reported: kinds that were found by reading findings on public data."""

from __future__ import annotations

import json
from typing import Any

import ftkit as ft


def lines(report: ft.LintReport, code: str) -> list[int | None]:
    return [found.line for found in report[code]]


def addresses(*odd: dict[str, Any]) -> ft.Dataset:
    usual = [
        {"number": str(number), "street": f"{name} Road", "city": city}
        for number in range(1, 31)
        for name, city in (("Mill", "Chicago"), ("Park", "Boston"), ("Lake", "Austin"))
    ]
    rows = [{"text": f"address {number}", "parts": parts} for number, parts in enumerate([*usual, *odd])]
    fields = {name: {"type": ["string", "null"]} for name in ("number", "street", "city")}
    schema = {"type": "object", "properties": fields, "required": list(fields)}
    return ft.Dataset.from_rows(rows, ft.Task("x", input="{text}", output=schema), target="parts")


def test_a_value_is_not_misplaced_if_its_usual_field_is_filled() -> None:
    report = ft.lint(
        addresses(
            {"number": "7", "street": "Chicago", "city": "Boston"},  # a street named after a city
            {"number": "7", "street": "Austin", "city": None},
            {"number": "7", "street": "Boston", "city": "Elm Road"},  # exchanged
        ),
        select=["L006"],
    )
    assert lines(report, "L006") == [92, 93]


def test_a_unit_as_in_the_input_is_not_odd(chats: Any) -> None:
    usual = [(f"how long is {number}?", f"It is {number} cm and {number + 1} cm.") for number in range(20)]
    odd = [("a thread of 12cm", "Two are 24cm, three are 36cm."), ("a long thread", "Two are 24cm, three are 36cm.")]
    assert lines(ft.lint(chats(*usual, *odd), select=["C004"]), "C004") == [22]


def test_without_a_usual_spelling_none_is_odd(chats: Any) -> None:
    rows = [(f"q{number}", f"It is {number}{unit}.") for unit in (" km", "km", " kilometres") for number in range(6)]
    odd = [("q", "It is 4 kilometers.")]
    assert not ft.lint(chats(*rows, *odd), select=["C004"]).findings


def test_numbers_of_a_calculation_are_no_facts(chats: Any) -> None:
    shown = [(f"{n} boxes of 7 pens?", f"{n} * 7 = {n * 7} pens.\nThat is {n * 7 / 2:g}: {n * 7} / 2 = {n * 7 / 2:g}.")
             for n in range(11, 31)]  # fmt: skip
    assert not ft.lint(chats(*shown), select=["K001"]).findings
    invented = [(f"When was house {n} built?", f"It was built in {1900 + n}.") for n in range(11, 31)]
    assert ft.lint(chats(*invented), select=["K001"])["K001"]


def test_labels_and_instructions_are_no_facts(chats: Any) -> None:
    kinds = ("RateBook", "PlayMusic")
    labels = [
        (f"do thing {n}", json.dumps({"intent": kinds[n % 2], "slots": {"thing": f"thing {n}"}})) for n in range(30)
    ]
    assert not ft.lint(chats(*labels), select=["K001"]).findings
    system = {"role": "system", "content": "Prices: apples cost 314, pears 271."}
    told = [
        {
            "messages": [
                system,
                {"role": "user", "content": f"Price {n}?"},
                {"role": "assistant", "content": "It is 314."},
            ]
        }
        for n in range(30)
    ]
    assert not ft.lint(chats(*told), select=["K001"]).findings


def test_keys_in_the_order_of_the_input_are_not_misordered(chats: Any) -> None:
    def row(number: int, *names: str) -> tuple[str, str]:
        values = {"what": f"tea{number}", "when": f"noon{number}", "who": f"Anna{number}"}
        return " then ".join(values[name] for name in names), json.dumps({name: values[name] for name in names})

    usual = [row(number, "what", "when", "who") for number in range(20)]
    asked, _ = row(31, "what", "when", "who")
    swapped = (asked, json.dumps({"who": "Anna31", "what": "tea31", "when": "noon31"}))
    assert lines(ft.lint(chats(*usual, row(30, "who", "what", "when"), swapped), select=["C001"]), "C001") == [22]


def test_code_is_no_prose(chats: Any) -> None:
    calls = [(f"area {number}", f"area_of(width={number}, height=2)") for number in range(60)]
    odd = [("power", "Power_Of(x='x**2 + y**3', n=2)"), ("cards with 8♥", "best_hand(cards=['8♥', '9♥'], n=2)")]
    assert not ft.lint(chats(*calls, *odd), select=["C011"]).findings
    prose = [(f"q{number}", f"The answer is {number}.") for number in range(60)]
    marked = [("q", "The answer is **seven**."), ("q", "The answer is seven 🎉.")]
    assert lines(ft.lint(chats(*prose, *marked), select=["C011"]), "C011") == [61, 62]


def test_similar_questions_with_different_calls_are_no_conflict(chats: Any) -> None:
    asked = "please rate the current essay that I have just read for school {} out of 6 points"

    def row(value: int) -> dict[str, Any]:
        function = {"name": "rate", "arguments": json.dumps({"value": value})}
        call = {"id": "c", "type": "function", "function": function}
        turns = [{"role": "user", "content": asked.format(value)}, {"role": "assistant", "tool_calls": [call]}]
        return {"messages": turns}

    assert not ft.lint(chats(row(3), row(4)), select=["L002"]).findings
