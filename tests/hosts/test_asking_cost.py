"""What evaluating a hosted model will cost is said first, probes and all; of a few rows few probes are asked."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import ftkit as ft
from ftkit.backends.openai_jobs import OpenAIJobs
from ftkit.cli.app import app
from ftkit.evaluation import Probes, estimate_cost
from ftkit.evaluation.probes.defaults import default_probes
from ftkit.evaluation.probes.general import CATEGORIES, general_set


@pytest.fixture
def arguments(openai_fake, notes, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", f"{openai_fake.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", openai_fake.key)
    notes.task.to_yaml(tmp_path / "task.yaml")
    rows = [{"text": f"case {number}", "team": "red"} for number in range(20)]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [
        *("evaluate", "openai:gpt-4.1-mini", "--data", str(tmp_path / "test.jsonl")),
        *("--task", str(tmp_path / "task.yaml"), "--target", "team", "-o", str(tmp_path / "r.json")),
    ]


def _asked(fake) -> int:
    return sum(call.path.endswith("/chat/completions") for call in fake.calls)


@pytest.mark.parametrize(
    ("more", "beside"),
    [
        ((), len(general_set())),
        (("--limit", "10"), 8),
        (("--limit", "2"), 8),
        (("--limit", "10", "--probe-general", "30"), 30),
        (("--no-probes",), 0),
        (("--shots", "1", "--examples", "SHOTS"), 0),
    ],
)
def test_the_cost_of_rows_and_probes_is_said_before_they_are_asked(arguments, openai_fake, more, beside, tmp_path):
    (tmp_path / "shots.jsonl").write_text(json.dumps({"text": "another", "team": "red"}) + "\n")
    given = [str(tmp_path / "shots.jsonl") if one == "SHOTS" else one for one in more]
    done = CliRunner().invoke(app, [*arguments, *given, "--max-cost", "0"])
    assert "--max-cost is $0.00, but the estimated cost is up to $0.0" in done.stderr
    assert _asked(openai_fake) == 0
    done = CliRunner().invoke(app, [*arguments, *given])
    assert done.exit_code == 0, done.output
    rows = int(given[1]) if "--limit" in given else 20
    assert f"openai:gpt-4.1-mini: {rows} rows, " in done.stderr
    assert (f"; and {beside} probe questions: up to $0.0" in done.stderr) == (beside > 0)
    assert _asked(openai_fake) == rows + beside
    general = ft.Report.load(tmp_path / "r.json").probes
    assert (0 if general is None else len(general.general.rows)) == beside


def test_a_tuned_models_base_is_counted_until_its_answers_are_kept(openai_fake, notes, monkeypatch):
    monkeypatch.setattr("ftkit.runs.run._POLL_S", 0.0)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{openai_fake.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", openai_fake.key)
    where = OpenAIJobs("gpt-4.1-mini")
    model = ft.train(ft.SFT(epochs=1), notes, backend=where).wait(progress=False).model
    probes = default_probes(model, 6)
    assert (probes.general, probes.train_rows) == (8, 6)
    expected = estimate_cost(model, notes.take(6), probes=probes)
    assert [(one.model, one.questions) for one in expected.probes] == [(model.name, 14), (probes.base.name, 8)]
    assert "; and 8 to its base openai:gpt-4.1-mini: up to $0.0" in str(expected)
    assert ", up to $0.0" in str(expected)
    assert expected.total_usd == pytest.approx(expected.rows_usd + sum(one.total_usd for one in expected.probes))
    before = _asked(openai_fake)
    report = ft.evaluate(model, notes, limit=6, progress=False)
    assert _asked(openai_fake) - before == 6 + 14 + 8
    assert len(report.probes.base.general.rows) == len(report.probes.general.rows) == 8
    again = estimate_cost(model, notes.take(6), probes=probes)
    assert [one.model for one in again.probes] == [model.name]


def test_a_small_general_set_has_as_many_questions_of_each_category():
    for limit in (1, 5, 20, 100):
        probes = default_probes(ft.Model("openai:gpt-4.1-mini", ft.Task()), limit)
        ids = [row.id for row in general_set(probes.general)]
        counts = {sum(one.startswith(f"{name}-") for one in ids) for name in CATEGORIES}
        assert abs(len(ids) - limit) <= len(CATEGORIES)
        if limit < 100:  # the smallest category has fewer than that share
            assert len(counts) == 1
    assert default_probes(ft.Model("openai:gpt-4.1-mini", ft.Task()), 1000) == Probes()
