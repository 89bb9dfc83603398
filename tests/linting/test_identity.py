"""What makes two rows the same, and which rows have no question or no answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ftkit as ft

ASKED = "What is shown in this picture of the harbour, and how many ships are there in it today?"


def pictured(number: int, answer: str, text: str = ASKED) -> dict[str, Any]:
    image = {"type": "image_url", "image_url": {"url": f"https://example.com/{number}.png"}}
    content = [{"type": "text", "text": text}, image]
    return {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": answer}]}


def test_one_question_about_many_images_is_no_duplicate(chats: Any) -> None:
    train = chats(*(pictured(number, f"answer {number % 2}") for number in range(6)), name="train.jsonl")
    test = chats(*(pictured(number, "answer 1") for number in range(10, 13)), name="test.jsonl")
    assert not ft.lint(train, test, select=["U", "L001", "L002", "D007"]).findings
    again = ft.lint(chats(pictured(1, "a"), pictured(1, "a"), name="again.jsonl"), select=["U001"])
    row_is_read = not again["D001"] and again.density.usable == 1
    assert len(again["U001"]) == (1 if row_is_read else 0)


def test_an_image_column_is_part_of_the_question() -> None:
    task = ft.Task("Answer.", input="{question}")
    rows = [{"question": ASKED, "image": f"{number}.png", "a": f"{number}"} for number in range(4)]
    assert not ft.lint(ft.Dataset.from_rows(rows, task, target="a"), select=["U", "L001", "L002"]).findings
    same = [{**row, "image": "0.png"} for row in rows]
    assert ft.lint(ft.Dataset.from_rows(same, task, target="a"), select=["L001"])["L001"]


def test_an_empty_question_is_found(chats: Any) -> None:
    turns = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": ""},
        {"role": "assistant", "content": "b"},
    ]
    report = ft.lint(chats(("q", "a"), ("  \n", "a"), {"messages": turns}), select=["D007"])
    assert [(found.line, found.path) for found in report["D007"]] == [
        (2, "messages[0].content"),
        (3, "messages[2].content"),
    ]


def test_a_conversation_that_ends_with_the_user_has_one_message(chats: Any, tmp_path: Path) -> None:
    turns = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "and then?"},
    ]
    data = chats(("q", "a"), {"messages": turns})
    (found,) = ft.lint(data).errors
    assert (found.code, found.line, found.path) == ("D003", 2, "messages[2]")
    # The writers and training refuse the row in the same words.
    with pytest.raises(ft.DataError) as refused:
        data.write_openai(tmp_path / "out.jsonl")
    assert "the conversation ends with a turn of role 'user'" in found.message
    assert found.message in str(refused.value)


ENGLISH = "The station in the old town is closed today because the workers repair the tracks number {}."
GERMAN = "Der Bahnhof in der Altstadt ist heute geschlossen, weil die Arbeiter die Gleise Nummer {} reparieren."
FRENCH = "La gare de la vieille ville est fermée aujourd'hui parce que les ouvriers réparent les voies numéro {}."


def test_a_translation_has_no_mixed_languages(chats: Any) -> None:
    pytest.importorskip("py3langid")
    german = [(ENGLISH.format(number), GERMAN.format(number)) for number in range(30)]
    french = [(ENGLISH.format(number), FRENCH.format(number)) for number in range(2)]
    assert not ft.lint(chats(*german, *french), select=["C010"]).findings
    english = [(f"Say it again: {ENGLISH.format(number)}", ENGLISH.format(number)) for number in range(30)]
    asked = [(f"Translate into German: {ENGLISH.format(7)}", GERMAN.format(7))]
    wrong = [(ENGLISH.format(99), GERMAN.format(99))]
    report = ft.lint(chats(*english, *asked, *wrong, name="mixed.jsonl"), select=["C010"])
    assert [found.line for found in report["C010"]] == [32]


def test_a_test_question_about_another_image_is_not_contained(chats: Any) -> None:
    longer = f"Look at it closely, please. {ASKED} Answer in one word."
    train = chats(*(pictured(number, "a", longer) for number in range(3)), name="train.jsonl")
    test = chats(pictured(1, "b"), pictured(9, "b"), name="test.jsonl")
    (found,) = ft.lint(train, test, select=["U007"]).findings
    assert (found.line, found.related[0].rpartition("/")[2]) == (2, "test.jsonl:1")


def test_nearly_the_same_question_about_one_image_is_a_near_duplicate(chats: Any) -> None:
    pytest.importorskip("rensa")
    rows = [pictured(number, "seven", ASKED.replace("today", when)) for when in ("today", "now") for number in (1, 2)]
    found = ft.lint(chats(*rows), select=["U003"])["U003"]
    assert [(each.line, each.related[0].rpartition(":")[2]) for each in found] == [(3, "1"), (4, "2")]


def test_an_image_is_the_same_in_other_key_order_and_detail(chats: Any) -> None:
    row = pictured(1, "a")
    other = {"image_url": {"detail": "high", "url": "https://example.com/1.png"}, "type": "image_url"}
    again = {"messages": [{"role": "user", "content": [row["messages"][0]["content"][0], other]}, row["messages"][1]]}
    assert len(ft.lint(chats(row, again), select=["U001"])["U001"]) == 1


@pytest.mark.parametrize("column", ["image_path", "photo", "img_id", "page_image_url"])
def test_a_column_that_names_an_image_is_part_of_the_question(column: str) -> None:
    task = ft.Task("Answer.", input="{question}")
    rows = [{"question": ASKED, column: f"{number}.png", "a": f"{number}"} for number in range(4)]
    assert not ft.lint(ft.Dataset.from_rows(rows, task, target="a"), select=["U", "L001", "L002"]).findings


def test_empty_columns_are_an_empty_question() -> None:
    task = ft.Task("Answer.", input="Note: {note}\nPlace: {place}")
    rows = [{"note": note, "place": place, "a": "x"} for note, place in (("n", ""), ("", " "), ("\u200b", None))]
    found = ft.lint(ft.Dataset.from_rows(rows, task, target="a"), select=["D007"])["D007"]
    assert [each.line for each in found] == [2, 3]


def test_a_short_question_in_the_answers_language_is_no_mixed_language(chats: Any) -> None:
    pytest.importorskip("py3langid")
    english = [(ENGLISH.format(number), ENGLISH.format(number)) for number in range(30)]
    answer = GERMAN.format(7)
    fine = [("Warum denn das?", answer), ("Please answer in German: why?", answer)]
    report = ft.lint(chats(*english, *fine, ("Why is the station closed today?", answer)), select=["C010"])
    assert [found.line for found in report["C010"]] == [33]
