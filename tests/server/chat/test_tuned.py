"""A model that was tuned through the server answers through it, beside its base and its own earlier epochs."""

from __future__ import annotations

import pytest

from tests.server.chat.test_completions import ask, local, text
from tests.server.conftest import Running, ended, rows, uploaded


@pytest.mark.slow
def test_a_tuned_model_answers_beside_its_base(server: Running, tiny_model: str) -> None:
    client = server.client()
    method = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "learning_rate_multiplier": 9}}}
    job = client.fine_tuning.jobs.create(model="tiny", training_file=uploaded(client, rows(16)), method=method)
    done = ended(client, job.id)
    assert done.status == "succeeded", done.error
    checkpoints = client.fine_tuning.jobs.checkpoints.list(job.id).data
    earlier = min(checkpoints, key=lambda one: one.step_number)
    folder = server.home / "runs" / job.id
    where = {
        "tiny": tiny_model,
        done.fine_tuned_model: str(folder / "model"),
        earlier.fine_tuned_model_checkpoint: str(folder / "epochs" / f"step-{earlier.step_number:06d}"),
    }
    question = [{"role": "user", "content": "say 3"}]
    found = {name: text(ask(client, name, question)) for name in where}
    assert found == {name: local(model, question) for name, model in where.items()}
    assert found["tiny"] != found[done.fine_tuned_model]
