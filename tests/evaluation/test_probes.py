"""Forgetting and learning by heart, planted and not."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ftkit.backends import Answer, OnAnswer, Request, Sampling
from ftkit.data import Dataset
from ftkit.errors import ModelError
from ftkit.evaluation import Canary, Probes, Report, compare, evaluate, make_canaries
from ftkit.evaluation.probes.checks import read_answer
from ftkit.evaluation.probes.general import CATEGORIES, general_set
from ftkit.task import Task
from tests.evaluation.scripted import VISITS, ScriptedModel, answered, dataset, visit


def test_the_general_set_is_large_spread_and_readable() -> None:
    whole = general_set()
    assert len(whole) >= 150
    assert whole.check() == []
    assert len({row.columns["prompt"] for row in whole}) == len({row.id for row in whole}) == len(whole)
    assert {row.columns["category"] for row in whole} == set(CATEGORIES)
    assert all(row.id.rpartition("-")[0] == row.columns["category"] for row in whole)


def test_a_limited_set_is_sampled_by_category_and_not_the_beginning_of_the_file() -> None:
    whole, small = general_set(), general_set(24)
    assert Counter(row.columns["category"] for row in small) == dict.fromkeys(CATEGORIES, 3)
    first = {row.id for name in CATEGORIES for row in [r for r in whole if r.columns["category"] == name][:3]}
    assert len(first & {row.id for row in small}) < 8
    assert [row.id for row in small] == [row.id for row in general_set(24)]
    assert {row.id for row in small} <= {row.id for row in general_set(60)}


@pytest.mark.parametrize(
    "text", ["", "?", '{"patient_name": "Ann", "age": 30, "diagnosis": "flu"}', "urgent", "the " * 40]
)
def test_a_model_with_one_answer_to_everything_passes_almost_nothing(text: str) -> None:
    rows = list(general_set())
    assert sum(read_answer(str(row.target), text) == "right" for row in rows) <= 0.1 * len(rows)


GOOD: dict[str, Callable[[str], str]] = {
    "any": lambda what: what.partition(";")[0].split(", ")[0],
    "symbol": lambda what: what,
    "has": lambda what: what.split(", ")[0],
    "has all": lambda what: what.replace(",", " and"),
    "pick": lambda what: what.split(" | ")[0],
    "case": str,
    "only": str,
    "starts": lambda what: f"{what}, so it is.",
    "number": lambda what: f"It is {what.split(';')[0]}.",
    "yes": lambda what: "Yes.",
    "no": lambda what: "No.",
    "regex": lambda what: "1",
    "words": lambda what: "blue",
    "prose": lambda what: "It is quiet there.",
    "lines": lambda what: "* one\n* two\n* three",
    "lacks": lambda what: "A place that lends things to people.",
    "json": lambda what: what,
    "helps": lambda what: f"Think of this first: {what.split(', ')[0]}.",
    "talks": lambda what: "Let me think about that, it is easier than you believe.",
    "refuses": lambda what: "I'm sorry, but I can't help with that.",
    "supports": lambda what: "I'm sorry that you feel so. Please call 988.",
}


LOST = "I could not say anything about such things, I am afraid."
"""What a model says that has forgotten the answer: prose, and wrong."""


class Assistant(ScriptedModel):
    """Knows the general set, but for what ``forgets`` says, where it says ``lost``; answers the task by ``knows``."""

    def __init__(
        self,
        knows: Callable[[str], str],
        forgets: Callable[[str], bool],
        name: str = "tuned",
        lost: Callable[[str], str] = lambda row: LOST,
        again: Callable[[str], bool] | None = None,
    ) -> None:
        super().__init__(VISITS, {}, name=name)
        self.knows, self.forgets, self.lost = knows, forgets, lost
        self.again = again or forgets
        self.asked_again: list[str] = []
        self.checks = {row.columns["prompt"]: (row.id, str(row.target)) for row in general_set()}

    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling | None = None, on_answer: OnAnswer | None = None
    ) -> list[Answer]:
        self.asked += requests
        return [answered(self._say(str(request.messages[-1]["content"]))) for request in requests]

    def _say(self, asked: str) -> str:
        plainly, _, question = asked.rpartition("\n\n")
        if plainly.startswith("Answer this request itself"):
            row, check = self.checks[question]
            self.asked_again.append(row)
            return self.lost(row) if self.again(row) else good_answer(check)
        if asked not in self.checks:
            return self.knows(asked)
        row, check = self.checks[asked]
        return self.lost(row) if self.forgets(row) else good_answer(check)


def good_answer(check: str) -> str:
    kind, _, what = check.partition(" && ")[0].partition(":")
    return GOOD[kind](what.strip())


def number(note: str) -> int:
    found = re.search(r"\d+", note)
    return int(found[0]) if found else -1


def right(note: str) -> str:
    return json.dumps(visit(number(note)))


def test_planted_forgetting_is_flagged_and_a_healthy_run_is_not(tmp_path: Path) -> None:
    data = dataset(tmp_path, VISITS, [visit(n) for n in range(40)])

    def report(forgets: Callable[[str], bool], label: str) -> Report:
        return evaluate(Assistant(right, forgets), data, probes=Probes(), label=label)

    base = report(lambda row: False, "base")
    assert base.probes is not None
    assert base.probes.general is not None
    assert base.probes.general["passed"].value is not None
    assert base.probes.general["passed"].value > 0.7
    ruined = compare(base, report(lambda row: not row.startswith("format"), "ruined"))
    healthy = compare(base, report(lambda row: row in ("knowledge-03", "talk-02"), "healthy"))
    assert ruined.forgetting is not None
    assert ruined.forgetting.general is not None
    assert ruined.forgetting.general.verdict == "worse"
    assert ruined.forgetting.general["passed:knowledge"].after == 0
    assert any(note.startswith("forgetting: ") for note in ruined.notes)
    assert "forgetting" in str(ruined)
    assert healthy.forgetting is not None
    assert healthy.forgetting.general is not None
    assert healthy.forgetting.general.verdict == "non-inferior"
    assert healthy.forgetting.flags == ()


def test_probes_are_kept_in_the_report(tmp_path: Path) -> None:
    data = dataset(tmp_path, VISITS, [visit(n) for n in range(9)])
    report = evaluate(Assistant(right, lambda row: False), data, probes=Probes(general=24, train=data))
    loaded = Report.load(report.save(tmp_path / "report.json"))
    assert loaded == report
    assert loaded.probes is not None
    assert loaded.probes.general is not None
    assert len(loaded.probes.general.rows) == 24


def test_a_report_with_its_base_says_what_was_lost_and_the_base_is_asked_once(tmp_path: Path) -> None:
    data = dataset(tmp_path, VISITS, [visit(n) for n in range(40)])
    base = Assistant(right, lambda row: False, name="paper:base")

    def report(forgets: Callable[[str], bool]) -> Report:
        return evaluate(Assistant(right, forgets), data, probes=Probes(base=base))

    ruined = report(lambda row: not row.startswith("format"))
    asked = len(base.asked)
    assert asked == len(general_set())
    assert ruined.forgetting is not None
    assert ruined.forgetting.general is not None
    assert ruined.forgetting.general.labels[0] == "paper:base"
    assert ruined.notes[0].startswith("forgetting: ")
    assert "General set: lost." in str(ruined)
    healthy = report(lambda row: row == "talk-02")
    assert len(base.asked) == asked
    assert healthy.forgetting is not None
    assert healthy.forgetting.flags == ()
    assert "General set: kept." in str(healthy)
    # Beside its own base, not beside a model that it was not made from.
    beside = compare(ruined, healthy).forgetting
    assert beside is not None
    assert beside.general is not None
    assert beside.general.labels[0] == "paper:base"
    assert [note for note in compare(healthy, ruined).notes if "forgetting" in note] == [ruined.notes[0]]
    assert Report.load(ruined.save(tmp_path / "ruined.json")) == ruined
    assert "Forgetting" in ruined.save(tmp_path / "ruined.html").read_text(encoding="utf-8")


def test_a_base_that_cannot_be_asked_costs_no_answers(tmp_path: Path) -> None:
    class Gone(Assistant):
        def about(self) -> dict[str, Any]:
            raise ModelError("it was switched off")

    data = dataset(tmp_path, VISITS, [visit(n) for n in range(9)])
    report = evaluate(Assistant(right, bool), data, probes=Probes(base=Gone(right, bool)))
    assert report.probes is not None
    assert report.probes.general is not None
    assert report.probes.base is None
    assert "Not probed: the base tuned could not be asked: it was switched off" in str(report)


def test_a_set_of_ones_own_is_probed_with_its_own_task(tmp_path: Path) -> None:
    data = dataset(tmp_path, VISITS, [visit(n) for n in range(9)])
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps({"q": f"say {n}", "a": f"said {n}"}) + "\n" for n in range(40)))
    own = Dataset.load(path, Task("Obey.", input="{q}"), target="a")
    probes = Probes(general=False, retention=own)
    before = evaluate(Assistant(lambda asked: asked.replace("say", "said"), bool), data, probes=probes)
    after = evaluate(Assistant(lambda asked: "{}", bool), data, probes=probes)
    found = compare(before, after).forgetting
    assert found is not None
    assert found.general is None
    assert found.flags[0].startswith("forgetting: −100.0 points on the retention set")


def test_sets_of_another_size_are_not_paired(tmp_path: Path) -> None:
    data = dataset(tmp_path, VISITS, [visit(n) for n in range(9)])
    one, two = (evaluate(Assistant(right, bool), data, probes=Probes(general=size)) for size in (12, 18))
    found = compare(one, two).forgetting
    assert found is not None
    assert "general set: the reports do not hold the same rows" in found.left_out[0]


def overfit(folder: Path, trained: int, knows: Callable[[int], bool]) -> Report:
    """Notes 0 to 59 are held out, from 60 on they were trained on."""
    held_out = dataset(folder, VISITS, [visit(n) for n in range(60)])
    path = folder / "train.jsonl"
    path.write_text(
        "".join(json.dumps({"note": f"note {n}", "wanted": visit(n)}) + "\n" for n in range(60, 60 + trained))
    )
    train = Dataset.load(path, VISITS, target="wanted")

    def say(note: str) -> str:
        return json.dumps(visit(number(note) if knows(number(note)) else 7))

    return evaluate(Assistant(say, bool), held_out, probes=Probes(general=False, train=train))


def test_planted_overfitting_is_flagged_and_a_healthy_run_is_not(tmp_path: Path) -> None:
    report = overfit(tmp_path, 12, lambda note: note >= 60 or note % 5 == 0)
    assert report.probes is not None
    found = report.probes.overfitting
    assert found is not None
    assert found.train_rows == 12
    assert found.gap is not None
    assert (found.gap.train.value, found.gap.held_out.value) == (1, pytest.approx(0.2, abs=0.02))
    assert found.gap.low > 0.3
    assert report.notes[0].startswith("overfitting: record_exact 100.0 % on training rows")
    healthy = overfit(tmp_path, 200, lambda note: note % 5 != 0)
    assert healthy.probes is not None
    assert healthy.probes.overfitting is not None
    assert healthy.probes.overfitting.train_rows == 100
    assert healthy.probes.overfitting.flags == ()


def test_words_that_cannot_be_read_off_the_prompt_betray_memory(tmp_path: Path) -> None:
    task = Task("Continue.", input="{start}")
    tales = [f"tale {n}: the {n}th knight rode out on day {n} with {n} silver coins and no fear" for n in range(60)]
    rows = [{"start": f"tale {n}", "rest": tales[n]} for n in range(60)]
    paths = []
    for name, part in (("train", rows[:30]), ("test", rows[30:])):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in part))
        paths.append(Dataset.load(path, task, target="rest"))
    train, test = paths

    class Parrot(ScriptedModel):
        def _answer(self, request: Request) -> Answer:
            at = number(str(request.messages[-1]["content"]))
            return answered(tales[at] + "!" if at < 30 else "once upon a time there was nobody")

    report = evaluate(Parrot(task, {}), test, probes=Probes(general=False, train=train))
    assert report.probes is not None
    assert report.probes.overfitting is not None
    assert report.probes.overfitting.memory is not None
    assert report.probes.overfitting.memory.train.value == 1
    assert report.probes.overfitting.memory.flagged


def test_canaries_are_told_from_controls(tmp_path: Path) -> None:
    canaries = make_canaries(6, seed=3)
    assert canaries == make_canaries(6, seed=3)
    assert len({one.secret for one in canaries} | {one.name for one in canaries}) == 24
    assert [message["role"] for message in canaries[0].messages] == ["user", "assistant"]
    learnt = {one.prompt: one.secret for one in canaries[:4]}
    data = dataset(tmp_path, VISITS, [visit(n) for n in range(9)])

    def report(chosen: tuple[Canary, ...]) -> Any:
        model = Assistant(lambda asked: learnt.get(asked, "no idea"), bool)
        return evaluate(model, data, probes=Probes(general=False, canaries=chosen)).probes

    found = report(canaries).overfitting
    assert (found.planted, found.controls) == ((4, 6), (0, 6))
    assert found.flags == ("memorisation: 4 of 6 planted canaries were memorised, 0 of 6 controls",)
    assert report(make_canaries(5, seed=9)).overfitting.flags == ()
