"""Baselines, diagnosis and learning curves: whether to tune, and whether more rows would help."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from ftkit.backends import Answer, Request
from ftkit.data import Dataset
from ftkit.errors import ConfigError
from ftkit.evaluation import Report, baselines, compare, diagnose, evaluate, fit_curve
from ftkit.task import Task
from tests.evaluation.scripted import ECHO, TRIAGE, ScriptedModel, answered, answers, dataset


class Learner(ScriptedModel):
    """Answers by a function of the question and of how many examples stood before it."""

    def __init__(self, task: Task, say: Callable[[str, int], str]) -> None:
        super().__init__(task, {}, name="learner")
        self.say = say

    def _answer(self, request: Request) -> Answer:
        shots = sum(message["role"] == "assistant" for message in request.messages)
        return answered(self.say(str(request.messages[-1]["content"]), shots))


def labels(folder: Path, count: int = 120, twist: int = 0) -> Dataset:
    """Notes that begin with their label; the first ``twist`` come twice, once with another label."""
    kinds = ("urgent", "soon", "later")
    rows = [(f"{kinds[n % 3]} {n}", kinds[n % 3]) for n in range(count)]
    rows += [(note, kinds[(n + 1) % 3]) for n, (note, _) in enumerate(rows[:twist])]
    path = folder / "labels.jsonl"
    path.write_text("".join(json.dumps({"note": note, "wanted": wanted}) + "\n" for note, wanted in rows))
    return Dataset.load(path, TRIAGE, target="wanted")


def test_baselines_without_and_with_examples_in_one_call(tmp_path: Path) -> None:
    train, test = labels(tmp_path).split(test=0.5, seed=1)
    model = Learner(TRIAGE, lambda note, shots: note.split()[0] if shots == 3 else "soon")
    zero, few, _ = baselines(model, test, examples=train, shots=(0, 3), label="base")
    assert (zero.label, few.label) == ("base, no examples", "base, 3 examples")
    assert few["accuracy"].value == 1
    assert zero["accuracy"].value is not None
    assert zero["accuracy"].value < 0.5
    with pytest.raises(ConfigError, match="shots"):
        baselines(model, test, examples=train, shots=())


def test_the_optimised_prompt_is_a_baseline_too(tmp_path: Path) -> None:
    train, test = labels(tmp_path).split(test=0.5, seed=1)
    model = Learner(TRIAGE, lambda note, shots: note.split()[0] if shots == 1 else "soon")
    other = TRIAGE.model_copy(update={"examples": [("urgent x", "urgent")]})
    zero, held, optimised = baselines(model, test, examples=train, shots=(0,), optimised=other, label="base")
    assert optimised.label == "base, optimised prompt"
    assert optimised.headline.value == 1
    assert not held.shots
    assert compare((zero, held, optimised), zero, other_prompts=True).before.label == optimised.label
    assert model.task == TRIAGE
    with pytest.raises(ConfigError, match="optimised has another output"):
        baselines(model, test, examples=train, optimised=ECHO)
    model.task = other
    with pytest.raises(ConfigError, match="would add to the 1 example that the task has"):
        evaluate(model, test.with_task(other), shots=2, examples=train.with_task(other))


class Priced(Learner):
    """A learner whose answers have a price."""

    usd = 0.001

    def _answer(self, request: Request) -> Answer:
        return dataclasses.replace(super()._answer(request), cost_usd=self.usd)


class TestTunedAgainstPrompt:
    def found(self, tmp_path: Path, tuned: Learner, **options: Any) -> Any:
        train, test = labels(tmp_path).split(test=0.5, seed=1)
        other = TRIAGE.model_copy(update={"examples": [("urgent x", "urgent")]})
        say = {0: lambda note: "soon", 1: lambda note: note.split()[0] if int(note.split()[1]) % 4 else "soon"}
        base = Priced(TRIAGE, lambda note, shots: say.get(shots, say[0])(note))
        return diagnose(TRIAGE, train, base, test=test, optimised=other, tuned=tuned, **options)

    def test_a_tuned_model_that_is_better_and_as_cheap_is_tuned(self, tmp_path: Path) -> None:
        found = self.found(tmp_path, Priced(TRIAGE, lambda note, shots: note.split()[0]))
        assert found.advice == "tune"
        assert found.optimised.label == "learner, optimised prompt"
        said = found.evidence[0].sentence
        assert "For a dollar, learner gives more: 1,000 right answers with learner against" in said
        assert ", a difference of" in said

    def test_a_tuned_model_that_is_better_but_dear_loses_by_the_dollar(self, tmp_path: Path) -> None:
        tuned = Priced(TRIAGE, lambda note, shots: note.split()[0])
        tuned.usd = 0.01
        found = self.found(tmp_path, tuned)
        assert found.advice == "prompt"
        assert (
            "For a dollar, learner, optimised prompt gives more: 100 right answers with learner against"
            in found.evidence[0].sentence
        )

    def test_training_is_spread_over_the_predictions(self, tmp_path: Path) -> None:
        tuned = Priced(TRIAGE, lambda note, shots: note.split()[0])
        few = self.found(tmp_path, tuned, training_usd=50.0, predictions=1_000)
        many = self.found(tmp_path, tuned, training_usd=50.0, predictions=10_000_000)
        assert (few.advice, many.advice) == ("prompt", "tune")
        none = self.found(tmp_path, tuned, training_usd=50.0)
        assert "Training cost $50" in none.evidence[0].sentence

    def test_without_prices_the_quality_alone_decides(self, tmp_path: Path) -> None:
        found = self.found(tmp_path, Learner(TRIAGE, lambda note, shots: note.split()[0]))
        assert found.advice == "tune"
        assert "Quality per dollar cannot be compared, because a price is not known" in found.evidence[0].sentence

    def test_the_rows_must_be_new_to_both(self, tmp_path: Path) -> None:
        model = Learner(TRIAGE, lambda note, shots: "soon")
        with pytest.raises(ConfigError, match="test="):
            diagnose(TRIAGE, labels(tmp_path), model, tuned=model)


class TestDiagnosis:
    def test_conflicting_labels_come_first(self, tmp_path: Path) -> None:
        data = labels(tmp_path, twist=10)
        found = diagnose(TRIAGE, data, Learner(TRIAGE, lambda note, shots: note.split()[0]))
        assert found.advice == "fix the data"
        assert "20 of 130 rows ask the same" in str(found)
        assert found.evidence[0].places[0].startswith("labels.jsonl:")

    def test_what_a_few_examples_do_needs_no_tuning(self, tmp_path: Path) -> None:
        found = diagnose(
            TRIAGE, labels(tmp_path), Learner(TRIAGE, lambda note, shots: note.split()[0] if shots else "?")
        )
        assert found.advice == "prompt"
        assert "4 examples reaches accuracy 100.0 %" in found.evidence[0].sentence

    def test_what_examples_do_not_do_is_tuned(self, tmp_path: Path) -> None:
        found = diagnose(TRIAGE, labels(tmp_path), Learner(TRIAGE, lambda note, shots: "soon"))
        assert found.advice == "tune"
        assert "against the 90 % that would do" in found.evidence[0].sentence
        assert (len(found.zero_shot.shots), len(found.few_shot.shots)) == (0, 2 * 4)
        assert compare(found.zero_shot, found.few_shot).verdict == "inconclusive"

    def test_facts_that_no_prompt_holds_are_retrieved(self, tmp_path: Path) -> None:
        class Entry(BaseModel):
            owner: str
            days: int

        task = Task("Who owns it?", input="{part}", output=Entry)
        draw = np.random.default_rng(0)

        def rows(known: bool) -> Dataset:
            lines = []
            for n in range(80):
                name = "".join(map(chr, draw.integers(97, 123, size=7))).title()
                part = f"part {n} of {name}" if known else f"part {n}"
                lines.append(json.dumps({"part": part, "wanted": {"owner": name, "days": n * 7}}))
            path = tmp_path / f"parts-{known}.jsonl"
            path.write_text("\n".join(lines))
            return Dataset.load(path, task, target="wanted")

        model = Learner(task, lambda note, shots: "?")
        assert diagnose(task, rows(known=False), model).advice == "retrieve"
        assert diagnose(task, rows(known=True), model).advice == "tune"

    def test_too_few_rows_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="at least 12 rows for shots=4, and there are 9"):
            diagnose(TRIAGE, labels(tmp_path, count=9), Learner(TRIAGE, lambda note, shots: "soon"))


def points(folder: Path, error: Callable[[int], float], rows: int = 400) -> list[tuple[int, Report]]:
    """Reports of models whose error falls as told."""
    data = dataset(folder, ECHO, ["yes"] * rows)
    draw: Any = np.random.default_rng(6)
    hard = draw.random(rows)  # the same rows are hard for all
    found = []
    for size in (50, 100, 200, 400):
        said = ["no" if each < error(size) else "yes" for each in hard]
        found.append((size, evaluate(ScriptedModel(ECHO, answers(said)), data)))
    return found


def test_a_power_law_is_found_and_continued(tmp_path: Path) -> None:
    found = fit_curve(points(tmp_path, lambda size: 3 * size**-0.5))
    assert found.exponent_low < 0.5 < found.exponent_high
    assert found.doubled_low < 1 - 3 * 800**-0.5 < found.doubled_high
    assert found.verdict == "more data would help"
    assert found.gain_low < 3 * (400**-0.5 - 800**-0.5) < found.gain_high
    assert "MORE DATA WOULD HELP. exact_match: 50 rows" in str(found)


def test_a_flat_curve_says_that_more_rows_hardly_help(tmp_path: Path) -> None:
    assert fit_curve(points(tmp_path, lambda size: 0.02)).verdict == "more data would hardly help"


def test_few_held_out_rows_cannot_tell(tmp_path: Path) -> None:
    assert fit_curve(points(tmp_path, lambda size: 0.8 * size**-0.1, rows=12)).verdict == "cannot tell"


def test_two_points_are_no_curve(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least three points"):
        fit_curve(points(tmp_path, lambda size: 0.1)[:2])
