"""K: behaviour or knowledge."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftkit.linting.context import Setting
from ftkit.linting.corpus import Whole
from ftkit.linting.counter import Tally
from ftkit.linting.finding import Found
from ftkit.linting.row_view import Seen
from ftkit.linting.rule import TallyRule
from ftkit.linting.text_normalization import percent, words_of

__all__ = ["FactsNotInInput"]

_NAME = re.compile(r"(?<![.!?:\n]\s)(?<!^)(?<![\"“(])\b[A-Z][a-z]{2,}\b|\b\d[\d.,]*\d\b|\b\d\b")


class FactsNotInInput(TallyRule):
    """Answers state numbers or names that the question and the instructions do not hold. Fine-tuning teaches behaviour
    well and facts badly: a model trained to say what it cannot know from its input learns to make things up (Z. Gekhman
    et al., https://arxiv.org/abs/2405.05904). Facts belong into the prompt, by retrieval.

    Reported as the share of such rows, with some of them, when it is a tenth or more of at least ten. Of JSON answers
    numbers and texts are looked at, of other answers numbers and capitalised words inside sentences. Derived values (a
    sum, "six weeks" as 42) count as absent too: look at the rows before you believe the share.
    """

    code = "K001"
    name = "facts-not-in-input"
    summary = "Answers state facts that the input does not hold."
    severity = "info"

    def wants(self, setting: Setting) -> str | None:
        return "" if setting.task.output.kind == "choice" else None

    def observe(self, seen: Seen, setting: Setting) -> Iterator[tuple[str, str]]:
        if seen.row is None or not seen.answer:
            return
        yield "rows", "absent" if absent_fact(seen) is not None else "present"

    def judge(self, tally: Tally, whole: Whole) -> Iterator[Found]:
        for subject, ways in tally:
            absent, total = ways.get("absent", 0), sum(ways.values())
            if total < 10 or absent < 0.1 * total:
                continue
            rows = tally.rows(subject, "absent")
            facts = [(row, absent_fact(whole.seen(row))) for row in rows[:3]]
            shown = "; ".join(f'"{fact}"' for _, fact in facts)
            many = f"{percent(absent / total)} of the answers ({absent:,} rows)"
            yield Found(
                f"{many} state a number or a name that their input lacks or that is derived from it, e.g. {shown}",
                others=tuple(row for row, _ in facts),
            )


def absent_fact(seen: Seen) -> str | None:
    """The first number or name of the answer that its prompt does not hold."""
    facts: list[str] = []
    if seen.value is not None:
        for _, value in seen.leaves:
            if isinstance(value, str) and value:
                facts.append(value)
            elif isinstance(value, int | float) and not isinstance(value, bool):
                facts.append(f"{value:g}")
    else:
        facts = _NAME.findall(seen.answer)
    known = set(seen.input_words)
    for fact in facts:
        if fact in seen.input:
            continue
        words = words_of(fact)
        if words and not known.issuperset(words) and not known.issuperset(word.rstrip("s") for word in words):
            return fact
    return None
