"""``ftkit migrate``: the certificate, what is paid once, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import ftkit as ft
from ftkit.cli.app import app
from ftkit.migration import Certificate
from ftkit.results.certificate import file_digest
from ftkit.results.saved_json import saved_digest

from .conftest import Account, write_conversations

LUNA = "prompt:openai:gpt-6-luna"


def migrate(*arguments: str, folder: Path):
    return CliRunner().invoke(app, ["migrate", *arguments, "-o", str(folder)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "migration"


def test_a_model_that_is_only_prompted_is_certified(account: Account, folder: Path) -> None:
    account.wrong["gpt-6-luna"] = {0, 10}
    done = migrate(f"openai:{account.job}", "--to", LUNA, "--margin", "0.1", "--yes", folder=folder)
    assert done.exit_code == 0, done.output
    assert "may replace openai:ft:" in done.stdout
    assert "cost: freeze the old model's answers: about $" in done.stderr
    assert "power: 40 rows certify a candidate" in done.stderr
    certificate = Certificate.load(folder / "certificate.json")
    (luna,) = certificate.candidates
    assert (luna.status, luna.verdict, luna.value) == ("CERTIFIED", "non-inferior", 0.95)
    assert certificate.replaced.value == 0.9
    assert certificate.replaced.job == account.job
    assert str(certificate.replaced.stops) == "2027-01-14"
    assert certificate.task["output"]["kind"] == "choice"
    assert luna.per_1000_usd is not None
    assert certificate.margins[0].set_at <= certificate.replaced.answered_at <= str(luna.first_asked_at)
    assert certificate.check_files(folder) == []
    assert {record.path for record in certificate.files} >= {"job/training.jsonl", "frozen.json", "task.yaml"}
    days = [str(item.by) for item in certificate.checklist]
    assert days == sorted(days)
    assert (days[0], days[-1]) == ("2027-01-06", "2027-01-14")
    assert not any(luna.name in note for note in luna.notes)
    page = (folder / "certificate.html").read_text(encoding="utf-8")
    assert "CERTIFIED" in page
    assert certificate.digest in page
    assert set(account.asked.values()) == {1}
    assert account.fake.key not in "".join(
        path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file()
    )


def test_the_same_command_asks_and_pays_nothing_again(account: Account, folder: Path) -> None:
    first = migrate(account.model, "--to", LUNA, "--margin", "0.1", "--yes", folder=folder)
    calls = len(account.fake.calls)
    again = migrate(account.model, "--to", LUNA, "--margin", "0.1", folder=folder)  # nothing is left to agree to
    assert first.exit_code == again.exit_code == 0, again.output
    assert "nothing is left to pay" in again.stderr
    assert len(account.fake.calls) == calls
    assert first.stdout.splitlines()[4:] == again.stdout.splitlines()[4:]


def test_nothing_is_asked_before_the_cost_is_agreed_to(account: Account, folder: Path) -> None:
    done = migrate(account.job, "--to", LUNA, "--margin", "0.1", folder=folder)
    assert done.exit_code == 2
    assert "nothing was asked or started yet" in done.stderr
    assert "--yes or --max-cost" in done.stderr
    assert not account.asked
    too_much = migrate(account.job, "--to", LUNA, "--margin", "0.1", "--max-cost", "0.0001", folder=folder)
    assert "--max-cost is $" in too_much.stderr
    assert not account.asked
    assert migrate(account.job, "--to", LUNA, "--margin", "0.1", "--max-cost", "5", folder=folder).exit_code == 0


def test_the_margin_is_fixed_when_a_candidate_was_asked(account: Account, folder: Path) -> None:
    assert migrate(account.job, "--to", LUNA, "--margin", "0.02", folder=folder).exit_code == 2
    early = migrate(account.job, "--to", LUNA, "--margin", "0.1", "--yes", folder=folder)
    assert early.exit_code == 0, early.output
    shown = Certificate.load(folder / "certificate.json").margins
    assert [one.value for one in shown] == [0.02, 0.1]
    assert "before, it was 0.02" in early.stdout
    late = migrate(account.job, "--to", LUNA, "--margin", "0.2", "--yes", folder=folder)
    assert late.exit_code == 2
    assert "--margin was 0.1 since" in late.stderr
    assert "proves nothing" in late.stderr


def test_other_settings_are_refused_by_name(account: Account, folder: Path, tmp_path: Path) -> None:
    assert migrate(account.job, "--to", LUNA, "--margin", "0.1", "--yes", folder=folder).exit_code == 0
    rows = write_conversations(tmp_path / "other.jsonl", range(50, 60))
    for arguments, named in (
        (["--seed", "1"], "--seed"),
        (["--test", str(rows)], "--test"),
        (["--shots", "2"], "--shots"),
    ):
        done = migrate(account.job, "--to", LUNA, "--margin", "0.1", *arguments, folder=folder)
        assert done.exit_code == 2
        assert named in done.stderr
        assert "choose another folder" in done.stderr


def test_a_candidate_that_fails_does_not_lose_the_others(account: Account, folder: Path) -> None:
    there_is_none = "local:/no/such/model"
    done = migrate(account.job, "--to", there_is_none, "--to", LUNA, "--margin", "0.1", "--yes", folder=folder)
    assert done.exit_code == 0, done.output
    certificate = ft.Certificate.load(folder / "certificate.json")
    assert [one.status for one in certificate.candidates] == ["FAILED", "CERTIFIED"]
    assert "train: " in str(certificate.candidates[0].problem)
    assert "Run the same again to try it again" in done.stdout


def test_a_worse_candidate_is_not_certified(account: Account, folder: Path) -> None:
    account.wrong["gpt-6-luna"] = set(range(0, 40, 2))
    done = migrate(account.job, "--to", LUNA, "--margin", "0.1", "--yes", folder=folder)
    assert done.exit_code == 1
    assert "No candidate is certified" in done.stdout
    assert ft.Certificate.load(folder / "certificate.json").certified == ()


def test_rows_without_an_answer_stop_the_freeze_and_are_asked_again(account: Account, folder: Path) -> None:
    account.failing = {7}
    done = migrate(account.job, "--to", LUNA, "--margin", "0.1", "--yes", folder=folder)
    assert done.exit_code == 1
    assert "freeze the old model's answers: 1 of 40 rows has no answer" in done.stderr
    assert "this prompt is not allowed" in done.stderr
    assert account.of("gpt-6-luna") == {}
    account.failing = set()
    assert migrate(account.job, "--to", LUNA, "--margin", "0.1", "--yes", folder=folder).exit_code == 0
    assert account.of(account.model) == dict.fromkeys(range(40), 1)


def test_rows_that_always_fail_can_be_left_out(account: Account, folder: Path) -> None:
    account.failing = {7}
    arguments = [account.job, "--to", LUNA, "--margin", "0.1", "--yes", "--leave-out-failed"]
    assert migrate(*arguments, folder=folder).exit_code == 0
    certificate = Certificate.load(folder / "certificate.json")
    assert certificate.test_rows == 39
    assert "1 test rows that the old model could not answer were left out" in certificate.notes
    assert 7 not in account.of("gpt-6-luna")
    assert migrate(*arguments, folder=folder).exit_code == 0


def test_test_rows_that_were_trained_on_are_left_out(account: Account, folder: Path, tmp_path: Path) -> None:
    rows = write_conversations(tmp_path / "test.jsonl", range(90, 120))
    done = migrate(account.job, "--to", LUNA, "--margin", "0.3", "--yes", "--test", str(rows), folder=folder)
    assert "20 test rows have prompts of training rows and are left out" in done.stderr
    assert Certificate.load(folder / "certificate.json").test_rows == 10
    seen = write_conversations(tmp_path / "seen.jsonl", range(100, 110))
    all_seen = migrate(
        account.job, "--to", LUNA, "--margin", "0.3", "--yes", "--test", str(seen), folder=tmp_path / "other"
    )
    assert "all 10 test rows have prompts of the training rows" in all_seen.stderr


def test_a_frozen_report_stands_for_a_model_that_is_gone(account: Account, folder: Path, tmp_path: Path) -> None:
    rows = tmp_path / "validation.jsonl"
    model = ft.Model(f"openai:{account.model}", ft.Task(output=ft.ChoiceOutput(choices=("red", "blue"))))
    report = ft.evaluate(model, ft.Dataset.load(rows), probes=None)
    report.save(tmp_path / "frozen.json")
    asked = dict(account.of(account.model))
    account.fake.jobs.clear()
    done = migrate(
        f"openai:{account.model}", "--frozen", str(tmp_path / "frozen.json"), "--test", str(rows),
        "--train", str(tmp_path / "train.jsonl"), "--to", LUNA, "--margin", "0.1", "--yes", folder=folder,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert account.of(account.model) == asked
    assert Certificate.load(folder / "certificate.json").replaced.report == report.digest


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ftjob-999"], "the account at openai has no tuned model or job 'ftjob-999'"),
        (["gpt-4.1"], "names no tuned model: write HOST:JOB or HOST:MODEL"),
        (["openai:"], "names no tuned model"),
        (["ftjob-000003", "--to", "moon:x"], "--to 'moon:x': there is no backend 'moon'"),
        (["ftjob-000003", "--to", "prompt:gpt-6-luna"], "--to 'prompt:gpt-6-luna' names no candidate"),
        (["ftjob-000003", "--margin", "0"], "--margin must be above 0, not 0.0"),
        (["ftjob-000003", "--margin", "nan"], "--margin must be above 0, not nan"),
        (["ftjob-000003", "--margin", "1.5"], "would allow any loss"),
    ],
)
def test_wrong_names_are_refused(account: Account, folder: Path, arguments: list[str], says: str) -> None:
    given = [*arguments, "--yes"]
    for name, value in (("--to", LUNA), ("--margin", "0.1")):
        given += [] if name in arguments else [name, value]
    done = migrate(*given, folder=folder)
    assert done.exit_code in (1, 2)
    assert says in done.stderr
    assert not account.asked


def test_what_was_written_is_checked_before_it_is_used(account: Account, folder: Path) -> None:
    assert migrate(account.job, "--to", LUNA, "--margin", "0.1", "--yes", folder=folder).exit_code == 0
    state = folder / "migration.json"
    text = state.read_text(encoding="utf-8")
    state.write_text(text.replace('"value": 0.1', '"value": 0.3'), encoding="utf-8")
    done = migrate(account.job, "--to", LUNA, "--margin", "0.3", folder=folder)
    assert "was altered after it was saved" in done.stderr
    state.write_text(text, encoding="utf-8")
    with (folder / "job" / "training.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"messages": []}) + "\n")
    done = migrate(account.job, "--to", LUNA, "--margin", "0.1", folder=folder)
    assert "training.jsonl was changed after it was written" in done.stderr
    assert "training.jsonl" in ft.Certificate.load(folder / "certificate.json").check_files(folder)[0]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"source": 3}, "source is 3; pass"),
        ({"to": 3}, "to is 3; pass"),
        ({"to": [3]}, "to is 3; pass"),
        ({"to": []}, "name at least one candidate with to"),
        ({"margin": "0.1"}, "margin must be a number such as 0.02"),
        ({"margin": True}, "margin must be a number such as 0.02"),
        ({"test": "rows.jsonl"}, "test is 'rows.jsonl'; pass an ft.Dataset"),
        ({"frozen": "frozen.json"}, "frozen is 'frozen.json'; pass an ft.Report"),
        ({"task": "task.yaml"}, "task is 'task.yaml'; pass an ft.Task"),
        ({"recipe": {}}, "recipe is a dict; pass"),
        ({"shots": -1}, "shots must be a number of examples"),
        ({"confidence": 2}, "confidence"),
        ({"gpu": "l4-24gb", "gpu_hour_usd": 1.0}, "give one of gpu and gpu_hour_usd"),
    ],
)
def test_arguments_of_another_kind_are_refused_at_the_door(folder: Path, changes: dict[str, Any], says: str) -> None:
    given: dict[str, Any] = {"source": "openai:ftjob-1", "to": [LUNA], "margin": 0.1, "folder": folder, **changes}
    with pytest.raises(ft.ConfigError) as caught:
        ft.migrate(given.pop("source"), **given)
    assert says in str(caught.value)
    assert not folder.exists()


def test_a_certificate_that_was_altered_is_refused(account: Account, folder: Path) -> None:
    assert migrate(account.job, "--to", LUNA, "--margin", "0.1", "--yes", folder=folder).exit_code == 0
    path = folder / "certificate.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"verdict": "non-inferior"', '"verdict": "better"'), encoding="utf-8")
    with pytest.raises(ft.ReportError, match="was altered after it was saved"):
        ft.Certificate.load(path)
    path.write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(ft.ReportError, match="not a certificate"):
        ft.Certificate.load(path)


def test_the_effort_of_reasoning_is_for_the_models_that_reason(account: Account, folder: Path) -> None:
    command = [account.job, "--to", LUNA, "--margin", "0.2", "--yes"]
    more = ["--reasoning-effort", "low", "--max-reasoning-tokens", "900"]
    done = migrate(*command, *more, folder=folder)
    assert done.exit_code == 0, done.output
    bodies = [call.json() for call in account.fake.calls if call.path.endswith("/chat/completions")]
    assert {body.get("reasoning_effort") for body in bodies if body["model"] == account.model} == {None}
    assert {body["reasoning_effort"] for body in bodies if body["model"] == "gpt-6-luna"} == {"low"}
    certificate = Certificate.load(folder / "certificate.json")
    assert "It is asked with reasoning_effort low" in certificate.candidates[0].changes
    assert "the old model was asked without reasoning_effort, which is for models that reason on request" in (
        certificate.notes
    )
    done = migrate(*command, folder=folder)
    assert done.exit_code == 2
    assert "with another sampling" in done.output


def test_what_is_left_to_pay_is_held_to_the_limit_and_not_what_was_paid(account: Account, folder: Path) -> None:
    assert migrate(account.job, "--to", LUNA, "--margin", "0.2", "--yes", folder=folder).exit_code == 0
    (folder / "certificate.json").unlink()
    done = migrate(account.job, "--to", LUNA, "--margin", "0.2", "--max-cost", "0", folder=folder)
    assert done.exit_code == 0, done.output
    assert (folder / "certificate.json").exists()


@pytest.mark.parametrize("limit", ["nan", "inf"])
def test_a_limit_of_cost_that_is_no_number_is_none(account: Account, folder: Path, limit: str) -> None:
    """Nothing is above NaN, so it would allow everything."""
    done = migrate(account.model, "--to", LUNA, "--margin", "0.1", "--max-cost", limit, folder=folder)
    assert done.exit_code == 2
    with pytest.raises(ft.ConfigError, match="must be an amount in US dollars"):
        ft.migrate(account.model, to=[LUNA], margin=0.1, max_cost=float(limit), folder=folder)
    assert not account.asked


def test_reports_of_an_earlier_version_are_those_that_were_written(account: Account, folder: Path) -> None:
    """A later version gives reports more fields, so that their digest, computed again, would be another."""
    command = (account.model, "--to", LUNA, "--margin", "0.1", "--yes")
    assert migrate(*command, folder=folder).exit_code == 0
    paths = ["frozen.json", *(str(path.relative_to(folder)) for path in folder.glob("candidates/*/report.json"))]
    state = json.loads((folder / "migration.json").read_text(encoding="utf-8"))
    for path in paths:
        content = json.loads((folder / path).read_text(encoding="utf-8"))
        del content["reused"], content["digest"]
        text = json.dumps({**content, "digest": saved_digest(content)}, ensure_ascii=False)
        (folder / path).write_text(text, encoding="utf-8")
        state["files"][path] = file_digest(folder / path)
    state["frozen"] = json.loads((folder / "frozen.json").read_text(encoding="utf-8"))["digest"]
    del state["digest"]
    (folder / "migration.json").write_text(json.dumps({**state, "digest": saved_digest(state)}), encoding="utf-8")
    again = migrate(*command, folder=folder)
    assert again.exit_code == 0, again.output
    certificate = Certificate.load(folder / "certificate.json")
    assert certificate.replaced.report == state["frozen"]
    assert set(account.asked.values()) == {1}


OPTIMISED = "optimised-prompt:openai:gpt-6-luna"


class TestOptimisedPrompts:
    """A rival that is not tuned, with the best prompt that a search finds."""

    HINT = "Even numbers are red."

    @pytest.fixture
    def learner(self, account: Account) -> Account:
        """An account whose successor is right only where its instructions say how, which it writes when asked to."""
        pytest.importorskip("gepa")
        usual = account.answer

        def answer(call: Any) -> Any:
            if not call.path.endswith("/chat/completions"):
                return usual(call)
            asked = call.json()
            if "case " not in asked["messages"][-1]["content"] or len(asked["messages"][-1]["content"]) > 200:
                account.fake.answers = lambda _: f"```\n{self.HINT}\n```"
                return None
            knows = self.HINT in str(asked["messages"][0]["content"])
            account.wrong["gpt-6-luna"] = set() if knows else set(range(200))
            return usual(call)

        account.fake.override = answer
        return account

    def test_it_is_searched_on_the_training_rows_and_certified(self, learner: Account, folder: Path) -> None:
        command = (learner.job, "--to", OPTIMISED, "--to", LUNA, "--margin", "0.1", "--max-cost", "3")
        done = migrate(*command, folder=folder)
        assert done.exit_code == 0, done.output
        assert f"search for the prompt of {OPTIMISED}" in done.stderr
        certificate = Certificate.load(folder / "certificate.json")
        optimised, plain = certificate.candidates
        assert (optimised.status, optimised.kind, optimised.value) == ("CERTIFIED", "optimised", 1.0)
        assert plain.status == "NOT CERTIFIED"
        assert optimised.prompt_usd is not None
        assert 0 < optimised.prompt_usd < 1.5
        assert optimised.training_usd == optimised.prompt_usd
        assert "were found on the 24 training rows, for $" in optimised.changes[0]
        what = {record.what: record for record in certificate.files}
        assert what["optimised prompt"].digest == optimised.prompt
        assert self.HINT in (folder / what["optimised prompt"].path).read_text(encoding="utf-8")
        assert certificate.check_files(folder) == []
        assert not (folder / "answers").exists()
        calls = len(learner.fake.calls)
        assert migrate(*command, folder=folder).exit_code == 0
        assert len(learner.fake.calls) == calls

    def test_it_needs_a_limit_of_cost(self, learner: Account, folder: Path) -> None:
        done = migrate(learner.job, "--to", OPTIMISED, "--margin", "0.1", "--yes", folder=folder)
        assert done.exit_code == 2
        assert "say how much the migration may cost with --max-cost USD" in done.stdout + done.stderr
        assert not learner.asked  # the old model was not paid for answers either

    @pytest.mark.parametrize(
        ("turns", "said"),
        [
            ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "its turns are"),
            ([{"role": "system", "content": "Another one."}], "2 different system messages"),
        ],
    )
    def test_rows_that_are_no_single_questions_are_refused_by_name(
        self, learner: Account, folder: Path, tmp_path: Path, turns: list[dict[str, str]], said: str
    ) -> None:
        path = tmp_path / "odd.jsonl"
        last = [{"role": "user", "content": "case 1000"}, {"role": "assistant", "content": "red"}]
        odd = json.dumps({"messages": [*turns, *last]}) + "\n"
        path.write_text(write_conversations(tmp_path / "test.jsonl", range(40)).read_text() + odd)
        done = migrate(
            learner.job, "--to", OPTIMISED, "--test", str(path), "--margin", "0.1", "--max-cost", "3", folder=folder
        )
        assert said in done.stdout + done.stderr
        assert learner.of("gpt-6-luna") == {}
