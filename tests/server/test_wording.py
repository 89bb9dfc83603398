"""A run's events in OpenAI's words, whatever order and gaps they come in."""

from __future__ import annotations

from typing import Any

from ftkit.server.jobs.event_messages import translate_events
from ftkit.server.jobs.job_record import JobRecord
from ftkit.store import Event


def job(**changes: Any) -> JobRecord:
    fields: dict[str, Any] = {
        "id": "ftjob-x",
        "project": "p",
        "created_at": 0,
        "model": "m",
        "source": "m",
        "tuned_name": "ft:m:o::x",
        "method": "supervised",
        "hyperparameters": {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"},
        "seed": 1,
        "suffix": None,
        "metadata": None,
        "training_file": "file-x",
        "validation_file": "file-y",
        "eval_steps": 2,
        "started_at": 100.0,
    }
    return JobRecord.model_validate(fields | changes)


def step(seq: int, number: int, loss: float = 1.0) -> Event:
    return Event(seq=seq, at=100.0 + number, kind="step", data={"step": number, "steps": 4, "loss": loss})


def look(seq: int, number: int, loss: float = 2.0) -> Event:
    return Event(seq=seq, at=100.0 + number, kind="validation", data={"step": number, "loss": loss})


def test_a_step_waits_for_its_validation() -> None:
    update = translate_events(job(), [step(5, 1), step(7, 2)], {}, ended=False)
    assert [one.message for one in update.events] == ["Step 1/4: training loss=1.00"]
    assert update.changes["last_seq"] == 5
    update = translate_events(job(last_seq=5), [step(7, 2), look(8, 2)], {}, ended=False)
    assert [one.message for one in update.events] == ["Step 2/4: training loss=1.00, validation loss=2.00"]
    assert update.changes["last_seq"] == 8
    assert update.changes["estimated_finish"] == 104


def test_accuracies_go_under_the_names_of_their_method() -> None:
    told = step(7, 2), look(8, 2)
    told[0].data["token_accuracy"], told[1].data["token_accuracy"] = 2 / 3, 0.5
    figures = translate_events(job(), told, {}, ended=False).events[0].data or {}
    assert figures["train_mean_token_accuracy"] == 0.666667
    assert (figures["valid_mean_token_accuracy"], figures["full_valid_mean_token_accuracy"]) == (0.5, 0.5)
    pairs = step(7, 1)
    pairs.data["rewards_accuracy"] = 0.75  # of pairs, not of tokens; OpenAI's reference has no name for it
    figures = translate_events(job(method="dpo"), [pairs], {}, ended=False).events[0].data or {}
    assert figures["rewards_accuracy"] == 0.75
    assert not [name for name in figures if "token" in name]


def test_a_step_whose_validation_never_came_is_told_in_the_end() -> None:
    for events, ended in (([step(7, 2), step(9, 3)], False), ([step(7, 2)], True)):
        update = translate_events(job(), events, {}, ended=ended)
        assert update.events[0].message == "Step 2/4: training loss=1.00"
        assert "valid_loss" not in (update.events[0].data or {})


def test_without_validation_rows_nothing_waits() -> None:
    update = translate_events(job(validation_file=None), [step(7, 2)], {}, ended=False)
    assert update.changes["last_seq"] == 7


def test_a_kept_epoch_has_the_figures_of_its_step_also_when_they_were_told_before() -> None:
    kept = Event(seq=9, at=103.0, kind="log", data={"message": "kept", "step": 2, "kept_epoch": 1})
    known = {2: {"step": 2, "total_steps": 4, "train_loss": 0.5}}
    update = translate_events(job(), [kept], known, ended=False)
    assert update.checkpoints == [(2, 103.0, {"step": 2, "train_loss": 0.5})]
    assert [one.message for one in update.events] == ["Checkpoint created at step 2"]


def test_a_run_that_began_twice_is_told_once() -> None:
    running = [Event(seq=n, at=50.0 + n, kind="state", data={"state": "running"}) for n in (1, 2)]
    update = translate_events(job(started_at=None), running, {}, ended=False)
    assert [one.message for one in update.events] == ["Fine-tuning job started"]
    assert translate_events(job(), running, {}, ended=False).events == []
