"""Fine-tuning jobs, from their creation to the model, through OpenAI's own client."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import json
from typing import Any

import openai
import pytest

from .conftest import Running, ended, messages, rows, until, uploaded


def supervised(**hyperparameters: Any) -> Any:
    return {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}


@pytest.fixture(scope="module")
def trained(server: Running) -> Any:
    """A job that has succeeded: 2 epochs of 6 steps, with validation rows."""
    client = server.client()
    job = client.fine_tuning.jobs.create(
        model="gpt-4.1-mini",
        training_file=uploaded(client, rows(24)),
        validation_file=uploaded(client, rows(4, start=100)),
        suffix="My Run",
        seed=3,
        metadata={"kind": "trained"},
        method=supervised(n_epochs=2, learning_rate_multiplier=2),
    )
    assert job.status == "validating_files"
    assert job.fine_tuned_model is None
    assert job.method.supervised.hyperparameters.batch_size == "auto"
    done = ended(client, job.id)
    assert done.status == "succeeded", done.error
    return done


def test_a_job_becomes_a_model(client: openai.OpenAI, trained: Any) -> None:
    assert trained.fine_tuned_model.startswith("ft:gpt-4.1-mini-2025-04-14:acme:my-run:")
    assert trained.model == "gpt-4.1-mini-2025-04-14"
    numbers = trained.method.supervised.hyperparameters
    assert (numbers.n_epochs, numbers.batch_size, numbers.learning_rate_multiplier) == (2, 4, 2.0)
    assert (trained.seed, trained.metadata, trained.error) == (3, {"kind": "trained"}, None)
    assert trained.created_at <= trained.finished_at
    assert trained.trained_tokens > 24 * 2 * 10
    model = client.models.retrieve(trained.fine_tuned_model)
    assert (model.id, model.owned_by) == (trained.fine_tuned_model, "acme")
    assert trained.fine_tuned_model in [one.id for one in client.models.list()]


def test_events_are_told_in_openais_words(client: openai.OpenAI, trained: Any) -> None:
    said = messages(client, trained.id)
    assert said[:4] == [
        f"Created fine-tuning job: {trained.id}",
        f"Validating training file: {trained.training_file} and validation file: {trained.validation_file}",
        "Files validated, moving job to queued state",
        "Fine-tuning job started",
    ]
    assert said[-2:] == [
        f"New fine-tuned model created: {trained.fine_tuned_model}",
        "The job has successfully completed",
    ]
    events = list(client.fine_tuning.jobs.list_events(trained.id, limit=3))[::-1]  # page after page
    figures = [event.data for event in events if event.type == "metrics"]
    assert [one["step"] for one in figures] == [*range(1, 13)]
    for event in events:
        if event.type == "metrics":
            loss, validation = event.data["train_loss"], event.data["valid_loss"]
            step = f"Step {event.data['step']}/12"
            assert event.message == f"{step}: training loss={loss:.2f}, validation loss={validation:.2f}"
            assert event.data["full_valid_loss"] == validation
            assert 0 <= event.data["train_mean_token_accuracy"] <= 1
            assert event.data["full_valid_mean_token_accuracy"] == event.data["valid_mean_token_accuracy"]
    assert figures[-1]["train_loss"] < figures[0]["train_loss"]


def test_the_last_epochs_are_kept_as_checkpoints(client: openai.OpenAI, trained: Any) -> None:
    found = client.fine_tuning.jobs.checkpoints.list(trained.id).data
    assert [one.step_number for one in found] == [12, 6]
    for one in found:
        assert one.fine_tuned_model_checkpoint == f"{trained.fine_tuned_model}:ckpt-step-{one.step_number}"
        assert one.metrics.train_loss is not None
        assert one.metrics.full_valid_loss is not None
        assert one.metrics.train_mean_token_accuracy is not None
        assert one.metrics.full_valid_mean_token_accuracy is not None
        assert client.models.retrieve(one.fine_tuned_model_checkpoint).id == one.fine_tuned_model_checkpoint


def test_the_async_client_follows_the_job_and_streams_from_its_models(server: Running, trained: Any) -> None:
    async def told() -> tuple[list[str], list[str]]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
            events = [event.message async for event in client.fine_tuning.jobs.list_events(trained.id, limit=4)]
            checkpoints = [one async for one in client.fine_tuning.jobs.checkpoints.list(trained.id)]
            names = [trained.fine_tuned_model, *(one.fine_tuned_model_checkpoint for one in checkpoints)]
            answers = []
            for name in names:
                stream = await client.chat.completions.create(
                    model=name,
                    messages=[{"role": "user", "content": "say 3"}],
                    max_completion_tokens=8,
                    temperature=0,
                    stream=True,
                )
                pieces = [piece async for piece in stream]
                assert {piece.model for piece in pieces} == {name}
                answers.append("".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices))
            return events, answers

    events, (tuned, last, _) = asyncio.run(told())
    assert events[0] == "The job has successfully completed"
    assert tuned == last  # the lowest validation loss was in the end


def test_the_result_file_is_openais_csv(client: openai.OpenAI, trained: Any) -> None:
    file = client.files.retrieve(trained.result_files[0])
    assert (file.purpose, file.filename) == ("fine-tune-results", "step_metrics.csv")
    raw = client.files.content(file.id).read()
    found = list(csv.DictReader(io.StringIO(base64.b64decode(raw).decode())))
    assert list(found[0]) == ["step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy"]
    assert [row["step"] for row in found] == [str(step) for step in range(1, 13)]
    assert all(float(row["train_loss"]) > 0 and float(row["valid_loss"]) > 0 for row in found)
    told = [event.data for event in client.fine_tuning.jobs.list_events(trained.id) if event.type == "metrics"][::-1]
    for column, name in (
        ("train_accuracy", "train_mean_token_accuracy"),
        ("valid_mean_token_accuracy", "valid_mean_token_accuracy"),
    ):
        assert [float(row[column]) for row in found] == [figures[name] for figures in told]
    plain = client.files.with_raw_response.content(file.id, extra_headers={"accept": "text/csv"})
    assert plain.content == base64.b64decode(raw)


@pytest.mark.slow
def test_preferences_from_a_tuned_model_and_a_deleted_file(
    client: openai.OpenAI, trained: Any, server: Running
) -> None:
    pairs = [
        {
            "input": {"messages": [{"role": "user", "content": f"say {number}"}]},
            "preferred_output": [{"role": "assistant", "content": f"number {number}"}],
            "non_preferred_output": [{"role": "assistant", "content": "no"}],
        }
        for number in range(8)
    ]
    file = uploaded(client, "\n".join(map(json.dumps, pairs)).encode())
    job = client.fine_tuning.jobs.create(
        model=trained.fine_tuned_model,
        training_file=file,
        method={"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.3, "n_epochs": 1, "batch_size": 4}}},
    )
    client.files.delete(file)  # the job has its own copy
    done = ended(client, job.id)
    assert done.status == "succeeded", done.error
    assert done.method.dpo.hyperparameters.beta == 0.3
    assert done.fine_tuned_model.startswith("ft:gpt-4.1-mini-2025-04-14:acme::")
    record = json.loads((server.home / "runs" / job.id / "model" / "ftkit.json").read_text())
    assert (record["recipe"]["kind"], record["recipe"]["beta"], record["recipe"]["batch_size"]) == ("dpo", 0.3, 4)
    assert record["recipe"]["seed"] == done.seed
    assert record["trained_from"].endswith(f"{trained.id}/model")
    gone = client.models.delete(done.fine_tuned_model)
    assert (gone.id, gone.deleted) == (done.fine_tuned_model, True)
    assert not (server.home / "runs" / job.id / "model").exists()
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.models.retrieve(done.fine_tuned_model)
    with pytest.raises(openai.PermissionDeniedError, match="cannot be deleted"):
        client.models.delete("tiny")


def test_jobs_are_listed_by_metadata_and_by_pages(client: openai.OpenAI, trained: Any) -> None:
    made = [
        client.fine_tuning.jobs.create(
            model="tiny", training_file=uploaded(client, b"{}\n"), metadata={"batch": "b", "odd": str(number % 2)}
        ).id
        for number in range(5)
    ]
    found = [job.id for job in client.fine_tuning.jobs.list(metadata={"batch": "b"}, limit=2)]
    assert found == made[::-1]
    assert [job.id for job in client.fine_tuning.jobs.list(metadata={"batch": "b", "odd": "1"})] == [made[3], made[1]]
    assert [job.id for job in client.fine_tuning.jobs.list(metadata={"batch": "c"})] == []
    assert trained.id in [job.id for job in client.fine_tuning.jobs.list(metadata={"kind": "trained"})]
    bare = [job.id for job in client.fine_tuning.jobs.list(extra_query={"metadata": "null"})]
    assert not set(bare) & {*made, trained.id}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (rows(2) + b'{"messages": [{"role": "user", "content": "x"}]\n' + rows(1), "Line 3: not JSON"),
        (rows(2) + b'{"messages": [{"role": "king", "content": "x"}]}\n', r"Line 3: messages\[0\].role"),
        (rows(1) + b'{"messages": []}\n{"messages": 3}\n', "Line 2: .*Line 3: "),
        (b"", "no rows"),
        (b"\xff\xfe\x00{", "UTF-8"),
        (b'{"prompt": "x", "completion": "y"}\n', "Line 1"),
    ],
)
def test_rows_that_cannot_be_used_are_named_by_line(client: openai.OpenAI, content: bytes, said: str) -> None:
    job = ended(client, client.fine_tuning.jobs.create(model="tiny", training_file=uploaded(client, content)).id)
    assert (job.status, job.error.code, job.error.param) == ("failed", "invalid_training_file", "training_file")
    assert job.error.message.startswith("The job failed due to an invalid training file. ")
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(job.error.message)
    assert "/" not in job.error.message  # no path of this machine
    assert messages(client, job.id)[-1] == job.error.message


def test_faulty_validation_rows_are_told_apart(client: openai.OpenAI) -> None:
    files = {"training_file": uploaded(client, rows(2)), "validation_file": uploaded(client, b"[]\n")}
    job = ended(client, client.fine_tuning.jobs.create(model="tiny", **files).id)
    assert (job.error.code, job.error.param) == ("invalid_validation_file", "validation_file")


@pytest.mark.parametrize(
    ("asked", "param", "code"),
    [
        ({"model": "gpt-9"}, "model", "model_not_found"),
        ({"training_file": "file-none"}, "training_file", "invalid_file"),
        ({"suffix": "x" * 65}, "suffix", "invalid_value"),
        ({"seed": -1}, "seed", "invalid_value"),
        ({"metadata": {"k": "v" * 513}}, "metadata", "invalid_value"),
        ({"method": supervised(n_epochs=51)}, "method.supervised.hyperparameters.n_epochs", "invalid_value"),
        ({"method": supervised(batch_size="big")}, "method.supervised.hyperparameters.batch_size", "invalid_value"),
        ({"method": supervised(learning_rate_multiplier=0)}, None, "invalid_value"),
        ({"method": supervised(learning_rate_multiplier=1e9)}, "hyperparameters", "invalid_value"),
        ({"method": supervised(beta=0.1)}, "method.supervised.hyperparameters.beta", "unknown_parameter"),
        ({"method": {"type": "dpo", "supervised": {}}}, "method.supervised", "invalid_value"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, "integrations", "unsupported_parameter"),
        ({"extra_body": {"trainingType": "x"}}, "trainingType", "unknown_parameter"),
    ],
)
def test_requests_that_cannot_be_honoured_are_refused(
    client: openai.OpenAI, asked: dict[str, Any], param: str | None, code: str
) -> None:
    body = {"model": "tiny", "training_file": "file-x"} | asked
    if "training_file" not in asked:
        body["training_file"] = uploaded(client, rows(1))
    before = [job.id for job in client.fine_tuning.jobs.list()]
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)) as refused:
        client.fine_tuning.jobs.create(**body)
    assert refused.value.code == code
    assert param is None or refused.value.param == param
    assert [job.id for job in client.fine_tuning.jobs.list()] == before


@pytest.mark.slow
def test_a_job_is_paused_goes_on_and_is_cancelled(client: openai.OpenAI, server: Running) -> None:
    def stepped(job_id: str) -> int:
        return sum(message.startswith("Step ") for message in messages(client, job_id))

    file = uploaded(client, rows(40))
    job = client.fine_tuning.jobs.create(model="tiny", training_file=file, method=supervised(n_epochs=50, batch_size=1))
    until(lambda: stepped(job.id), lambda steps: steps > 2)
    assert client.fine_tuning.jobs.pause(job.id).status == "paused"
    with pytest.raises(openai.BadRequestError, match="is paused and cannot be paused"):
        client.fine_tuning.jobs.pause(job.id)
    runs = server.home / "runs"
    until(lambda: list((runs / job.id / "model-checkpoints").glob("step-*")), bool)
    assert client.fine_tuning.jobs.retrieve(job.id).status == "paused"
    assert client.fine_tuning.jobs.resume(job.id).status == "queued"
    until(lambda: messages(client, job.id), lambda said: any(one.startswith("Resuming from step") for one in said))
    cancelled = client.fine_tuning.jobs.cancel(job.id)
    assert cancelled.status == "cancelled"
    assert cancelled.finished_at is not None
    with pytest.raises(openai.BadRequestError, match="is cancelled and cannot be resumed"):
        client.fine_tuning.jobs.resume(job.id)
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve(f"ft:tiny:acme::{'x' * 8}")


def test_a_job_of_nobody_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client.fine_tuning.jobs.retrieve("ftjob-none")
    assert refused.value.code == "fine_tune_not_found"
