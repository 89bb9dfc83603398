"""What cannot take over, or proves nothing, is not certified."""

from __future__ import annotations

from pathlib import Path

import ftkit as ft
from ftkit.migration import Certificate

from .conftest import BASE, Account
from .test_migrate import LUNA, folder, migrate

__all__ = ["folder"]


def test_a_report_of_another_model_is_refused(account: Account, folder: Path, tmp_path: Path) -> None:
    rows = tmp_path / "validation.jsonl"
    model = ft.Model(f"openai:{account.model}", ft.Task(output=ft.ChoiceOutput(choices=("red", "blue"))))
    ft.evaluate(model, ft.Dataset.load(rows), probes=None).save(tmp_path / "frozen.json")
    refused = migrate(
        "openai:ft:gpt-4.1:acme::other", "--frozen", str(tmp_path / "frozen.json"), "--test", str(rows),
        "--train", str(tmp_path / "train.jsonl"), "--to", LUNA, "--margin", "0.1", "--yes", folder=folder,
    )  # fmt: skip
    assert refused.exit_code == 1
    assert f"the report is of openai:{account.model}, not of openai:ft:gpt-4.1:acme::other" in refused.stderr


def test_a_candidate_that_stops_on_the_same_day_is_not_certified(account: Account, folder: Path) -> None:
    done = migrate(account.job, "--to", f"prompt:openai:{BASE}", "--margin", "0.3", "--yes", folder=folder)
    (candidate,) = Certificate.load(folder / "certificate.json").candidates
    assert (done.exit_code, candidate.status) == (1, "FAILED")
    assert candidate.problem == "it stops answering on 2027-01-14 itself, no later than the old model"
