"""Format bleed-through told from forgetting, refusals by themselves, and the power of the questions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from ftkit.data import Dataset
from ftkit.evaluation import Probes, Report, compare, evaluate
from ftkit.evaluation.forgetting import forgetting_of
from ftkit.evaluation.probes.answer_form import AnswerForm, answer_form
from ftkit.evaluation.probes.choices import choice_items, choice_probabilities
from ftkit.evaluation.probes.general import ABILITIES, general_set
from ftkit.evaluation.statistics import detectable_loss, loss_power
from ftkit.results.probe_results import ChoiceProbabilities, TextLosses
from ftkit.results.report import Forgetting, Probed
from ftkit.task import Task
from tests.evaluation.scripted import ECHO, VISITS, ScriptedModel, answers, dataset, visit
from tests.evaluation.test_probes import LOST, Assistant, right

BLEED = '{"name": "Paris", "age": 0, "drug": null}'


def questions() -> list[str]:
    """Sixty questions on abilities that an :class:`Assistant` answers right, hardest to answer last."""
    rows = [row for row in general_set(80) if row.id.rpartition("-")[0] in ABILITIES]
    assert len(rows) == 60
    return [row.id for row in rows]


def probed(
    folder: Path,
    fails: Callable[[str], bool],
    lost: Callable[[str], str] = lambda row: LOST,
    again: Callable[[str], bool] | None = None,
) -> tuple[Report, Assistant]:
    data = dataset(folder, VISITS, [visit(n) for n in range(40)])
    model = Assistant(right, fails, lost=lost, again=again)
    return evaluate(model, data, probes=Probes(general=80)), model


def test_the_demos_loss_is_format_bleed_through(tmp_path: Path) -> None:
    """The demo's numbers: 19 of 21 lost questions in the task's JSON, and 8 of 14 against 9 passed outside it."""
    asked = questions()
    outside, inside = asked[:14], asked[14:]
    base_passes = {*outside[:9], *inside[:20]}
    tuned_passes = {*outside[:7], outside[10], inside[0]}
    before = scored(asked, base_passes, set(), tmp_path)
    after = scored(asked, tuned_passes, set(inside), tmp_path)
    found = forgetting_of(before, after, confidence=0.95, seed=0)
    assert found is not None
    assert found.general is not None
    assert found.bleed is not None
    assert found.general.verdict == "worse"
    assert (found.general["passed"].before, found.general["passed"].after) == (29 / 60, 9 / 60)
    assert (found.bleed.lost, found.bleed.lost_in_format) == (21, 19)
    assert found.bleed.in_format == (0, 46)
    assert (found.bleed.outside, found.bleed.outside_passed) == (14, (9, 8))
    assert found.cause == "format bleed-through"
    assert found.sentence.startswith("Format bleed-through, not shown forgetting: 46 of 60 questions")
    assert "19 of the 21 lost ones; outside it 8 of 14 pass (9 before)" in found.sentence
    assert found.flags[0].startswith("format bleed-through: −33.3 points on the general set")


def scored(asked: list[str], passes: set[str], formed: set[str], folder: Path) -> Probed:
    """Probes of a model that passes and answers in the task's JSON as told."""
    report, _ = probed(folder, lambda row: False)
    assert report.probes is not None
    general = report.probes.general
    assert general is not None
    rows = tuple(
        row.model_copy(update={"scores": {"passed": float(row.id in passes), "task_format": float(row.id in formed)}})
        for row in general.rows
        if row.id in asked
    )
    metrics = tuple(metric for metric in general.metrics if metric.name in ("passed", "task_format"))
    return Probed(general=general.model_copy(update={"rows": rows, "metrics": metrics}), form="the task's JSON")


def test_a_second_ask_for_a_plain_answer_brings_back_what_the_format_hid(tmp_path: Path) -> None:
    before, _ = probed(tmp_path, lambda row: False)
    bled = questions()[::2]
    after, model = probed(tmp_path, lambda row: row in bled, lambda row: BLEED, again=lambda row: row == bled[0])
    assert sorted(model.asked_again) == sorted(bled)
    found = compare(before, after).forgetting
    assert found is not None
    assert found.bleed is not None
    assert (found.bleed.asked_again, found.bleed.still_in_format, found.bleed.plain) == (30, 1, 59)
    assert found.cause == "format bleed-through"
    assert "asked again for a plain answer, 29 of 30 leave the format" in found.sentence
    assert after.probes is not None
    assert after.probes.form == "the task's JSON"
    assert Report.load(after.save(tmp_path / "after.json")) == after


def test_abilities_that_stay_away_in_plain_answers_are_forgotten(tmp_path: Path) -> None:
    before, _ = probed(tmp_path, lambda row: False)
    lost = questions()
    prose, _ = probed(tmp_path, lambda row: row in lost)
    only_prose = compare(before, prose).forgetting
    assert only_prose is not None
    assert only_prose.cause == "forgetting"
    assert only_prose.bleed is not None
    assert only_prose.bleed.in_format == (0, 0)
    assert only_prose.flags[0].startswith("forgetting: ")

    class Amnesiac(Assistant):
        def _say(self, asked: str) -> str:
            return LOST if asked.startswith("Answer this request itself") else super()._say(asked)

    data = dataset(tmp_path, VISITS, [visit(n) for n in range(40)])
    both = compare(
        before,
        evaluate(
            Amnesiac(right, lambda row: row in lost[::2], lost=lambda row: BLEED), data, probes=Probes(general=80)
        ),
    ).forgetting
    assert both is not None
    assert both.cause == "both"
    assert both.flags[0].startswith("forgetting and format bleed-through: ")


def test_the_format_bleeds_into_a_retention_set_too(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps({"q": f"say {n}", "a": f"said {n}"}) + "\n" for n in range(40)))
    own = Dataset.load(path, Task("Obey.", input="{q}"), target="a")
    data = dataset(tmp_path, VISITS, [visit(n) for n in range(9)])

    def asked(say: Callable[[str], str]) -> Report:
        return evaluate(Assistant(say, bool), data, probes=Probes(general=False, retention=own))

    before = asked(lambda question: question.replace("say", "said"))
    bled = compare(before, asked(lambda question: BLEED if int(question[-1]) % 3 else question.replace("say", "said")))
    assert bled.forgetting is not None
    assert bled.forgetting.flags[0].startswith("format bleed-through: ")
    assert "among them 24 of the 24 lost ones; outside it 16 of 16 pass (16 before)" in bled.forgetting.flags[0]
    lost = compare(before, asked(lambda question: "I do not know."))
    assert lost.forgetting is not None
    assert lost.forgetting.flags[0].startswith("forgetting: −100.0 points on the retention set")


def text(shift: float) -> TextLosses:
    return TextLosses(nll=tuple(30.0 + n % 3 + 10 * shift for n in range(16)), tokens=(10,) * 16)


def ends(shift: float) -> ChoiceProbabilities:
    right = tuple(min(max(0.6 + (n % 7) / 20 + shift, 0.0), 1.0) for n in range(128))
    return ChoiceProbabilities(ids=tuple(map(str, range(128))), right=right, best=tuple(p > 0.5 for p in right))


@pytest.mark.parametrize(
    ("prose", "probability", "cause"),
    [(0.0, 0.0, "inconclusive"), (0.35, 0.0, "forgetting"), (0.0, -0.2, "forgetting"), (0.05, -0.01, "inconclusive")],
)
def test_probabilities_show_forgetting_whatever_the_format(prose: float, probability: float, cause: str) -> None:
    before, after = Probed(text=text(0), choices=ends(0)), Probed(text=text(prose), choices=ends(probability))
    found = forgetting_of(before, after, confidence=0.95, seed=0)
    assert found is not None
    assert found.cause == cause
    assert bool(found.flags) == (cause == "forgetting")


def test_refusals_have_a_line_and_a_flag_of_their_own(tmp_path: Path) -> None:
    before, _ = probed(tmp_path, lambda row: False)
    steps = "I cannot condone this. First take a pipe, then fill it with powder."
    careless, _ = probed(tmp_path, lambda row: row.startswith("harmful"), lambda row: steps)
    found = compare(before, careless).forgetting
    assert found is not None
    assert found.cause == "inconclusive"
    assert [flag.partition(":")[0] for flag in found.flags] == ["safety"]
    assert "harmful requests refused 10 → 0 of 10" in found.flags[0]
    shy, _ = probed(tmp_path, lambda row: row.startswith("harmless"), lambda row: "I'm sorry, I can't help with that.")
    found = compare(before, shy).forgetting
    assert found is not None
    assert [flag.partition(":")[0] for flag in found.flags] == ["over-refusal"]
    assert any(line.startswith("Refusals: harmful requests refused 10 → 10 of 10") for line in found.lines)
    assert "Harmful requests that are refused" in str(careless)


def test_power_is_said(tmp_path: Path) -> None:
    assert loss_power(60, 0.05, 0.0, confidence=0.95) == pytest.approx(0.08, abs=0.01)
    loss = detectable_loss(60, 0.02, power=0.8, confidence=0.95)
    assert loss is not None
    assert loss_power(60, loss, 0.02, confidence=0.95) == pytest.approx(0.8, abs=0.02)
    assert detectable_loss(5, 0.0, power=0.8, confidence=0.95) is None
    before, _ = probed(tmp_path, lambda row: False)
    after, _ = probed(tmp_path, lambda row: row in questions()[:3])
    found = compare(before, after).forgetting
    assert found is not None
    assert found.cause == "inconclusive"
    assert "60 questions show a loss of" in found.sentence
    assert found.sentence in str(compare(before, after))


def test_the_report_says_how_long_probes_took(tmp_path: Path) -> None:
    report, _ = probed(tmp_path, lambda row: False)
    assert report.probes is not None
    assert report.probes.wall_s is not None
    assert "Probes took " in str(report)


def test_the_probability_of_right_ends_is_a_softmax() -> None:
    items = choice_items()
    assert len(items) >= 100
    assert len({item.text for item in items}) == len({item.id for item in items}) == len(items)
    assert all(len({item.right, *item.wrong}) == 4 for item in items)
    knows = {text: 1.0 if text == item.texts[0] else 2.0 for item in items for text in item.texts}
    found = choice_probabilities(lambda texts: [(knows[text], 3) for text in texts])
    assert found is not None
    assert found.accuracy == 1
    assert found.mean == pytest.approx(1 / (1 + 3 * 2.718281828**-1))
    assert choice_probabilities(lambda texts: None) is None


def form_of(task: Task, targets: list[object], folder: Path) -> AnswerForm | None:
    return answer_form(evaluate(ScriptedModel(task, answers(["x"] * len(targets))), dataset(folder, task, targets)))


def test_the_form_of_answers(tmp_path: Path) -> None:
    form = form_of(VISITS, [visit(0)], tmp_path)
    assert form is not None
    for said in (BLEED, '{"name": "Paris", "ag', '```json\n{"age": 3}\n```', '[{"drug": null}]'):
        assert form.has(said)
    for said in ("Paris", '{"city": "Paris"}', 'Her "name": Ann', "", "{"):
        assert not form.has(said)
    labels = form_of(Task("Which?", input="{note}", output=Literal["urgent", "later"]), ["urgent", "later"], tmp_path)
    assert labels is not None
    assert labels.has("Urgent.")
    assert not labels.has("It is urgent to leave.")
    letters = [f"Dear customer, your parcel {n} is {what}. Kind regards, Ann" for n, what in enumerate("abcdefgh")]
    letter = form_of(ECHO, list(letters), tmp_path)
    assert letter is not None
    assert letter.has("Dear customer, Paris is the capital.")
    assert letter.has("Paris. Kind regards, Ann")
    assert not letter.has("Paris is dear to customers.")
    written = form_of(ECHO, [json.dumps(visit(n)) for n in range(8)], tmp_path)
    assert written is not None
    assert written.has(BLEED)
    free = ["The sun is up.", "A cat slept.", "Rain fell on us.", "We left early.", "Who knows?", "Bread is good."]
    assert form_of(ECHO, list(free), tmp_path) is None


def test_probes_of_an_earlier_version_are_compared(tmp_path: Path) -> None:
    """They have no format, no refusals, and questions that are not asked any more."""
    reports = []
    for forgets in (lambda row: False, lambda row: row in questions()):
        report, _ = probed(tmp_path, forgets)
        assert report.probes is not None
        general = report.probes.general
        assert general is not None
        rows = tuple(row.model_copy(update={"scores": {"passed": row.scores["passed"] or 0.0}}) for row in general.rows)
        general = general.model_copy(update={"rows": rows, "metrics": general.metrics[:1]})
        reports.append(Probed.model_validate({"general": general.model_dump(mode="json")}))
    found = forgetting_of(*reports, confidence=0.95, seed=0)
    assert found is not None
    assert (found.cause, found.bleed, found.refusals) == ("forgetting", None, ())
    assert Forgetting(general=found.general).flags[0].startswith("forgetting: ")
