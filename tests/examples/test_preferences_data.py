"""What examples/preferences/README.md promises of the replies, as far as a program can see it."""

import json
import re
from pathlib import Path

import pytest

import ftkit as ft

FOLDER = Path(__file__).parents[2] / "examples" / "preferences"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
STOCK = re.compile(r"any inconvenience|please be advised|unfortunately|valued customer|do not hesitate", re.IGNORECASE)
NUMBER = re.compile(r"\d+(?:[.:,-]\d+)*")
SENTENCE = re.compile(r"[.!?](?=\s|$)")
STRESS = re.compile(r"\b(?!QR\b|PDF\b|GPS\b|WR\b|THX\b)[A-Z]{2,}\b|[\U0001f300-\U0001faff]")


@pytest.fixture(scope="module")
def replies() -> list[dict[str, str]]:
    return [json.loads(line) for line in (FOLDER / "replies.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def broken() -> dict[str, int]:
    """The rule that each row's rejected reply is listed under."""
    rows = re.findall(r"^\| (\d) [^|]*\| ([^|]*)\|", README, re.MULTILINE)
    pairs = [(identity, int(rule)) for rule, listed in rows for identity in listed.strip().split(", ")]
    assert len(dict(pairs)) == len(pairs), "a row is listed twice"
    return dict(pairs)


def numbers(text: str) -> set[str]:
    return set(NUMBER.findall(text))


def sentences(text: str) -> int:
    return len(SENTENCE.findall(text))


def test_there_are_enough_rows_and_each_is_listed_once(replies, broken):
    assert len(replies) >= 60
    assert {tuple(row) for row in replies} == {("id", "draft", "chosen", "rejected")}
    assert [row["id"] for row in replies] == [f"p{n:03}" for n in range(1, len(replies) + 1)] == sorted(broken)
    assert all(text == text.strip() for row in replies for text in row.values())


def test_they_are_read_as_preferences(replies):
    task = ft.Task("Write the reply in Wheelwren's voice.", input="{draft}")
    data = ft.Dataset.load(FOLDER / "replies.jsonl", task, chosen="chosen", rejected="rejected")
    assert data.check() == []
    assert data.kind == "preferences"
    assert data[0].rejected == {"role": "assistant", "content": replies[0]["rejected"]}


def test_no_text_appears_twice_here_or_in_the_tone_examples(replies):
    tone = (FOLDER.parent / "tone" / "replies.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [row[column] for row in replies for column in ("draft", "chosen", "rejected")]
    texts += [json.loads(line)[column] for line in tone for column in ("draft", "reply")]
    seen = [" ".join(re.findall(r"\w+", text.lower())) for text in texts]
    assert len(set(seen)) == len(seen) - 2  # p002 and p032 are rejected for their exclamation marks alone


def test_every_chosen_reply_keeps_the_rules(replies):
    for row in replies:
        text = row["chosen"]
        assert numbers(text) == numbers(row["draft"]), row["id"]
        assert sentences(text) <= 3, row["id"]
        assert not STOCK.search(text), row["id"]
        assert not STRESS.search(NUMBER.sub("", text)), row["id"]
        assert "!" not in text, row["id"]


def test_every_rejected_reply_breaks_the_rule_it_is_listed_under_and_no_other(replies, broken):
    for row in replies:
        text, rule = row["rejected"], broken[row["id"]]
        assert (sentences(text) > 3) == (rule == 5), row["id"]
        assert ("!" in text) == (rule == 6), row["id"]
        if rule != 1:
            assert numbers(text) == numbers(row["draft"]), row["id"]
        if STOCK.search(text):
            assert rule == 3, row["id"]
        if STRESS.search(NUMBER.sub("", text)):
            assert rule == 4, row["id"]


def test_length_does_not_tell_which_is_better(replies):
    longer = sum(len(row["chosen"]) > len(row["rejected"]) for row in replies)
    shorter = sum(len(row["chosen"]) < len(row["rejected"]) for row in replies)
    total = len(replies)
    assert f"{longer / total:.0%} of the rows ({longer} of {total})".replace("%", " %") in README
    assert f"in {shorter / total:.0%} ({shorter})".replace("%", " %") in README
    assert f"in the others ({total - longer - shorter})" in README
    assert abs(longer - shorter) < 0.1 * total
