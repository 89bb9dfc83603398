"""``optimise_prompt``: what it finds, what it measures on, what it may cost, and what an interruption loses."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ftkit import ConfigError, MissingExtraError, RefusedError, RunError, Task
from ftkit.backends import Answer, OnAnswer, Request, Sampling
from ftkit.data import Dataset
from ftkit.errors import ModelError
from ftkit.evaluation import Prices, PromptRecord, RequestOptions, compare, evaluate, metric, optimise_prompt
from tests.evaluation.scripted import TRIAGE, ScriptedModel, answered

KINDS = ("urgent", "soon", "later")
HINT = "The first word says it."


class Pupil(ScriptedModel):
    """Answers by a function of the instructions, the number of examples and the question."""

    def __init__(self, say: Callable[[str, int, str], str], name: str = "pupil", cost: float | None = None) -> None:
        super().__init__(TRIAGE, {}, name)
        self.say, self.cost = say, cost
        self.limit: int | None = None

    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling | None = None, on_answer: OnAnswer | None = None
    ) -> list[Answer]:
        answers = []
        for index, request in enumerate(requests):
            if self.limit is not None and len(self.asked) >= self.limit:
                raise ModelError("the host is gone")
            self.asked.append(request)
            answers.append(self._answer(request))
            if on_answer is not None:
                on_answer(index, answers[-1])
        return answers

    def _answer(self, request: Request) -> Answer:
        texts = [str(message["content"]) for message in request.messages]
        system = texts[0] if request.messages[0]["role"] == "system" else ""
        shots = sum(message["role"] == "assistant" for message in request.messages)
        return answered(self.say(system, shots, texts[-1]), self.cost)


class Hosted(Pupil):
    """The same at a host, so that its answers are paid."""

    def about(self) -> dict[str, Any]:
        return {**super().about(), "host": "https://example.invalid/v1", "model": self.name}


def reads_the_hint(system: str, shots: int, note: str) -> str:
    return note.split()[0] if HINT in system else "soon"


def teacher(text: str = f"Think.\n```\n{HINT}\n```") -> Pupil:
    return Pupil(lambda system, shots, prompt: text, "teacher")


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("notes") / "notes.jsonl"
    rows = [{"note": f"{KINDS[n % 3]} case {n}", "wanted": KINDS[n % 3]} for n in range(90)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Dataset.load(path, TRIAGE, target="wanted")


PRICES = Prices(input_usd=1.0, output_usd=1.0, source="a test", as_of=date(2026, 11, 30))


class TestSearch:
    def test_instructions_that_help_are_found_and_measured_on_rows_that_no_choice_saw(self, notes: Dataset) -> None:
        model, said = Pupil(reads_the_hint), []
        found = optimise_prompt(TRIAGE, model, notes, reflection=teacher(), rounds=4, on_step=said.append)
        assert isinstance(found, Task)
        assert found.instructions == HINT
        assert found.output == TRIAGE.output
        record = found.record
        assert record.before is not None
        assert record.after is not None
        assert record.before.headline.value is not None
        assert record.before.headline.value < 0.5
        assert record.after.headline.value == 1
        assert record.comparison is not None
        assert record.comparison.verdict == "better"
        assert record.stopped == "perfect"
        assert [one.parent for one in record.candidates] == [None, 0]
        assert (record.learning.rows, record.choosing.rows, record.held_out.rows) == (30, 30, 30)
        asked = {str(request.messages[-1]["content"]) for request in model.asked}
        assert len(asked) > 60
        held = {str(row.prompt[-1]["content"]) for row in record.after.rows}
        sent = [str(request.messages[-1]["content"]) for request in model.asked]
        assert all(sent.count(note) == 2 for note in held)  # once with each of the two prompts
        assert said[0] == "cost: models on this machine have no price"
        assert record.usd is None

    def test_examples_that_help_are_found(self, notes: Dataset) -> None:
        model = Pupil(lambda system, shots, note: note.split()[0] if shots == 3 else "soon")
        found = optimise_prompt(TRIAGE, model, notes, reflection=teacher("no idea"), rounds=6, shots=3)
        assert len(found.examples) == 3
        assert len({example.output for example in found.examples}) == 3
        assert found.record.after is not None
        assert found.record.after.headline.value == 1
        learnt = {example.input for example in found.examples}
        assert not learnt & {str(row.prompt[-1]["content"]) for row in found.record.after.rows}

    def test_no_row_is_asked_with_its_own_answer_among_the_examples(self, notes: Dataset) -> None:
        model = Pupil(lambda system, shots, note: note.split()[0] if shots else "soon")
        optimise_prompt(TRIAGE, model, notes, reflection=teacher("no idea"), rounds=8, shots=8)
        for request in model.asked:
            *before, question = request.messages
            assert question not in before

    def test_a_search_that_finds_nothing_returns_the_task_and_says_so(self, notes: Dataset) -> None:
        found = optimise_prompt(TRIAGE, Pupil(lambda *_: "soon"), notes, reflection=teacher(), rounds=2)
        assert found == TRIAGE
        assert found.record.comparison is None
        assert "Nothing better" in str(found.record)
        assert found.record.stopped == "rounds"

    def test_the_same_seed_gives_the_same_prompt(self, notes: Dataset) -> None:
        def search(seed: int) -> tuple[list[str], str]:
            pupil = Pupil(lambda system, shots, note: note.split()[0] if shots > 2 or hash(note) == 1 else "soon")
            found = optimise_prompt(TRIAGE, pupil, notes, reflection=teacher("?"), rounds=5, seed=seed)
            return [str(request.messages) for request in pupil.asked], found.fingerprint

        assert search(3) == search(3)
        assert search(3)[0] != search(4)[0]

    def test_a_function_of_a_row_and_a_metric_where_less_is_better_are_optimised(self, notes: Dataset) -> None:
        @metric("mistakes", description="answers that are wrong", higher_is_better=False)
        def mistakes(row: Any) -> bool:
            return bool(row.value != row.target)

        found = optimise_prompt(TRIAGE, Pupil(reads_the_hint), notes, mistakes, reflection=teacher(), rounds=4)
        assert found.instructions == HINT
        assert found.record.after is not None
        assert found.record.after["mistakes"].value == 0

    def test_a_proposal_that_was_cut_off_is_not_tried(self, notes: Dataset) -> None:
        cut = teacher()
        cut._answer = lambda request: Answer(HINT, "length", 10, 2048, 0.1)  # type: ignore[method-assign]
        found = optimise_prompt(TRIAGE, Pupil(reads_the_hint), notes, reflection=cut, rounds=3, shots=0)
        assert found == TRIAGE

    def test_the_reflection_model_is_shown_what_went_wrong(self, notes: Dataset) -> None:
        master = teacher()
        optimise_prompt(TRIAGE, Pupil(reads_the_hint), notes, reflection=master, rounds=2)
        shown = str(master.asked[0].messages[-1]["content"])
        assert "How urgent is it?" in shown
        assert "The wanted answer: urgent" in shown
        assert "case" in shown


class TestCost:
    def test_a_paid_model_needs_a_limit_before_anything_is_asked(self, notes: Dataset) -> None:
        model = Hosted(reads_the_hint, cost=0.01)
        with pytest.raises(RefusedError, match="no price is known for pupil"):
            optimise_prompt(TRIAGE, model, notes, reflection=teacher())
        with pytest.raises(RefusedError, match=r"can cost up to .* rounds.*max_cost"):
            optimise_prompt(TRIAGE, model, notes, reflection=teacher(), prices=PRICES)
        with pytest.raises(RefusedError, match=r"max_cost= is \$0.001, but .* alone"):
            optimise_prompt(TRIAGE, model, notes, reflection=teacher(), prices=PRICES, max_cost=0.001)
        assert model.asked == []

    def test_it_stops_before_the_limit_and_says_what_it_cost(self, notes: Dataset) -> None:
        model, master = Hosted(reads_the_hint), teacher()
        model._answer = lambda request: Answer("soon", "stop", 3_000, 500, 0.1)  # type: ignore[method-assign]
        master.say = lambda *_: f"```\nAttempt {len(master.asked)}\n```"
        limit = 0.7
        found = optimise_prompt(TRIAGE, model, notes, reflection=master, prices=PRICES, max_cost=limit, rounds=60)
        record = found.record
        assert record.stopped == "cost"
        assert 1 < record.rounds < 60
        assert record.usd == pytest.approx(len(model.asked) * 3_500 / 1e6)
        assert record.usd <= limit
        assert [one.usd is None for one in record.models] == [False, True]
        assert record.max_cost == limit

    @pytest.mark.parametrize("limit", [0.3, 0.7, 50.0])
    def test_answers_that_cost_more_than_they_can_end_it_with_the_best_so_far(
        self, notes: Dataset, tmp_path: Path, limit: float
    ) -> None:
        """Such as those of a model that reasons more than it was allowed to."""
        model, said = Hosted(reads_the_hint), list[str]()
        usual = model._answer
        model._answer = lambda request: Answer(usual(request).text, "stop", 30, 50_000, 0.1)  # type: ignore[method-assign]
        options: dict[str, Any] = {"reflection": teacher(), "prices": PRICES, "folder": tmp_path, "rounds": 8}
        found = optimise_prompt(TRIAGE, model, notes, max_cost=limit, on_step=said.append, **options)
        record = found.record
        assert record.stopped == ("cost" if limit < 50 else "perfect")
        assert record.usd == pytest.approx(len(model.asked) * 50_030 / 1e6)
        assert type(record).load(record.save(tmp_path / "record.json")) == record
        if limit < 50:
            assert record.after is None
            assert "It was not measured" in str(record)
            assert "the result is not measured" in said[-1]
            asked = len(model.asked)
            again = optimise_prompt(TRIAGE, model, notes, max_cost=50.0, **options)
            assert again.record.after is not None
            assert asked < len(model.asked)
            assert len({str(one.messages) for one in model.asked}) == len(model.asked), "nothing is paid twice"

    def test_answers_without_numbers_of_tokens_count_as_the_most_that_they_can_cost(self, notes: Dataset) -> None:
        model, master = Hosted(reads_the_hint), teacher()
        model._answer = lambda request: Answer("soon", "stop", 0, 0, 0.1)  # type: ignore[method-assign]
        master.say = lambda *_: f"```\nAttempt {len(master.asked)}\n```"
        record = optimise_prompt(
            TRIAGE, model, notes, reflection=master, prices=PRICES, max_cost=0.25, rounds=60
        ).record
        assert record.stopped == "cost"
        assert record.usd is not None
        assert 0.02 < record.usd <= 0.25
        cost = evaluate(model, notes, prices=PRICES).cost
        assert (cost.total_usd, cost.source[:16]) == (None, "90 of 90 answers")

    def test_a_busy_host_ends_the_search_and_loses_nothing(self, notes: Dataset, tmp_path: Path) -> None:
        model, busy = Hosted(reads_the_hint), Answer("", "error", 0, 0, 0.0, error="429 slow down", retry_after_s=0.0)
        usual, left = model._answer, [45]

        def answer(request: Request) -> Answer:
            left[0] -= 1
            return usual(request) if left[0] >= 0 else busy

        model._answer = answer  # type: ignore[method-assign]
        options: dict[str, Any] = {"reflection": teacher(), "prices": PRICES, "max_cost": 5.0, "folder": tmp_path}
        options["asking"] = RequestOptions(attempts=1)
        with pytest.raises(ModelError, match=r"429 slow down.*run the same again to go on"):
            optimise_prompt(TRIAGE, model, notes, **options)
        answered = [str(one.messages) for one in model.asked[:45]]
        left[0] = 10_000
        assert optimise_prompt(TRIAGE, model, notes, **options).record.after is not None
        later = [str(one.messages) for one in model.asked[45:]]
        assert not set(answered) & set(later)

    def test_a_metric_that_asks_a_host_is_refused(self, notes: Dataset) -> None:
        from ftkit.evaluation import judge

        rates = judge(Hosted(lambda *_: "5"), "Is it polite?")
        with pytest.raises(RefusedError, match='"judge" asks pupil'):
            optimise_prompt(TRIAGE, Pupil(reads_the_hint), notes, rates, reflection=teacher())


class TestInterruption:
    def test_what_was_answered_is_not_asked_again(self, notes: Dataset, tmp_path: Path) -> None:
        whole = Pupil(reads_the_hint)
        expected = optimise_prompt(TRIAGE, whole, notes, reflection=teacher(), rounds=4)
        model, master = Pupil(reads_the_hint), teacher()
        for limit in (7, 33, 50):
            model.limit = limit
            with pytest.raises(ModelError, match="host is gone"):
                optimise_prompt(TRIAGE, model, notes, reflection=master, rounds=4, folder=tmp_path)
        with (tmp_path / "answers.jsonl").open("a") as file:
            file.write('["sha256:half of a li')
        model.limit = None
        found = optimise_prompt(TRIAGE, model, notes, reflection=master, rounds=4, folder=tmp_path)
        assert found == expected
        assert [str(one.messages) for one in model.asked] == [str(one.messages) for one in whole.asked]
        models = found.record.models
        assert models[0].requests == len(whole.asked)
        again = Pupil(reads_the_hint)
        more = optimise_prompt(TRIAGE, again, notes, reflection=master, rounds=9, folder=tmp_path)
        assert (again.asked, more) == ([], expected)

    def test_a_folder_in_use_is_refused(self, notes: Dataset, tmp_path: Path) -> None:
        class Twice(Pupil):
            def _answer(self, request: Request) -> Answer:
                with pytest.raises(RunError, match="another process searches"):
                    optimise_prompt(TRIAGE, Pupil(reads_the_hint), notes, folder=tmp_path)
                raise ModelError("enough")

        with pytest.raises(ModelError, match="enough"):
            optimise_prompt(TRIAGE, Twice(reads_the_hint), notes, folder=tmp_path)

    def test_a_failing_reflection_ends_the_search_with_its_error(self, notes: Dataset) -> None:
        master = teacher()
        master.limit = 0
        with pytest.raises(ModelError, match="host is gone"):
            optimise_prompt(TRIAGE, Pupil(reads_the_hint), notes, reflection=master, rounds=4)


class TestArguments:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"rounds": 0}, "rounds must be a number of at least 1"),
            ({"max_cost": float("nan")}, "max_cost must be an amount"),
            ({"max_cost": "5"}, "max_cost must be an amount"),
            ({"max_cost": True}, "max_cost must be an amount"),
            ({"shots": -1}, "shots must be"),
            ({"metric": "macro_f1"}, "does not score single rows"),
            ({"metric": "nonsense"}, 'no metric "nonsense"'),
            ({"asking": RequestOptions(batch=True)}, "batch"),
            ({"task": Task()}, "needs a task with an input template"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, changes: dict[str, Any], said: str, notes: Dataset) -> None:
        given = {"task": TRIAGE, "model": Pupil(reads_the_hint), "train": notes, **changes}
        with pytest.raises(ConfigError, match=said):
            optimise_prompt(**given)

    def test_too_few_rows(self, notes: Dataset) -> None:
        with pytest.raises(ConfigError, match="there are 9 rows"):
            optimise_prompt(TRIAGE, Pupil(reads_the_hint), notes.take(9))

    def test_rows_without_wanted_answers_are_refused_before_anything_is_asked(self) -> None:
        model = Pupil(reads_the_hint)
        rows = Dataset.from_rows([{"note": f"case {number}"} for number in range(20)], TRIAGE)
        with pytest.raises(ConfigError, match='"accuracy" counts none of the rows'):
            optimise_prompt(TRIAGE, model, rows)
        assert model.asked == []

    def test_a_missing_library_names_the_extra(self, notes: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "gepa", None)
        with pytest.raises(MissingExtraError, match=r"ftkit\[prompt\]"):
            optimise_prompt(TRIAGE, Pupil(reads_the_hint), notes)


def test_the_record_is_saved_and_the_prompts_can_be_compared(notes: Dataset, tmp_path: Path) -> None:
    found = optimise_prompt(TRIAGE, Pupil(reads_the_hint), notes, reflection=teacher(), rounds=3)
    found.record.save(tmp_path / "record.json")
    assert PromptRecord.load(tmp_path / "record.json") == found.record
    found.to_yaml(tmp_path / "task.yaml")
    assert Task.from_yaml(tmp_path / "task.yaml") == found
    assert found.model_copy().record is found.record
    with pytest.raises(ConfigError, match="has no record"):
        _ = found.model_copy(update={"instructions": "x"}).record
    model = Pupil(reads_the_hint)
    plain = evaluate(model, notes.take(20), probes=None)
    model.task = found
    better = evaluate(model, notes.take(20).with_task(found), probes=None)
    with pytest.raises(Exception, match="other_prompts=True"):
        compare(plain, better)
    compared = compare(plain, better, other_prompts=True)
    assert compared.verdict == "better"
    assert any("compares prompts as well as models" in note for note in compared.notes)
    assert compared.pairs()
