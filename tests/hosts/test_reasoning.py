"""Reasoning models are asked as their makers say: effort, limits, the parameters that they take, and the API."""

from __future__ import annotations

import asyncio
import json

import pytest
from typer.testing import CliRunner

import ftkit as ft
from ftkit.backends.openai_jobs import OpenAIJobs
from ftkit.catalog import load_catalog
from ftkit.cli.app import app
from ftkit.errors import ConfigError, RefusedError
from ftkit.evaluation import RequestOptions, estimate_cost
from ftkit.graders import GRADERS

from .conftest import QUICK

TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}]


@pytest.fixture
def ask(openai_fake, notes):
    openai_fake.answers = lambda text: "red"

    def model(name, **sampling):
        where = OpenAIJobs(name, base_url=f"{openai_fake.url}/v1", api_key=openai_fake.key, retry_policy=QUICK)
        return ft.Model(where, notes.task, sampling=ft.Sampling(**sampling))

    return model


def request(tools=None, text="x"):
    return ft.Request([{"role": "user", "content": text}], tools)


def test_a_successor_is_asked_at_the_effort_that_its_maker_advises(openai_fake, ask):
    model = ask("gpt-6-luna")
    (answer,) = model.answer_many([request(TOOLS)])  # with tools too
    body = openai_fake.calls[-1].json()
    assert (body["reasoning_effort"], body["temperature"], body["max_completion_tokens"]) == ("none", 0.0, 512)
    assert (answer.text, answer.reasoning_tokens) == ("red", 0)
    assert model.about()["observed"]["reasoning_effort"] == ["none"]


def test_reasoning_has_a_limit_of_its_own_and_is_counted_and_priced(openai_fake, ask):
    (answer,) = ask("gpt-6-luna", reasoning_effort="high").answer_many([request()])
    body = openai_fake.calls[-1].json()
    assert (body["reasoning_effort"], body["max_completion_tokens"]) == ("high", 25_032)
    assert body.keys().isdisjoint({"temperature", "top_p"})
    assert (answer.output_tokens, answer.reasoning_tokens) == (610, 600)
    assert answer.cost_usd == pytest.approx((60 * 0.1 + 40 * 0.01 + 610 * 0.5) / 1e6)
    ask("gpt-6-luna", reasoning_effort="low", max_reasoning_tokens=700, max_output_tokens=20).answer_many([request()])
    assert openai_fake.calls[-1].json()["max_completion_tokens"] == 720


def test_tools_with_reasoning_go_through_the_responses_api(openai_fake, ask):
    model = ask("gpt-6-luna", reasoning_effort="medium")
    (answer,) = model.answer_many([request(TOOLS)])
    assert openai_fake.calls[-1].path.endswith("/responses")
    body = openai_fake.calls[-1].json()
    assert body["reasoning"] == {"effort": "medium"}
    assert body["store"] is False
    assert body["tools"][0] == {"type": "function", "name": "look_up", "strict": False} | TOOLS[0]["function"]
    assert "seed" not in body
    assert answer.finish_reason == "tool_calls"
    assert answer.tool_calls == [
        {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    ]
    assert (answer.reasoning_content, answer.reasoning_tokens) == ("It says so.", 600)
    turns = [
        *request().messages,
        {"role": "assistant", "content": "Wait.", "tool_calls": answer.tool_calls},
        {"role": "tool", "tool_call_id": "call_1", "content": "42"},
    ]
    (answer,) = asyncio.run(model._backend.answerer().answer_many_async([ft.Request(turns, TOOLS)], model.sampling))
    assert answer.text == "red"
    assert openai_fake.calls[-1].json()["input"][1:] == [
        {"type": "message", "role": "assistant", "content": "Wait."},
        {"type": "function_call", "call_id": "call_1", "name": "look_up", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "42"},
    ]
    with pytest.raises(RefusedError, match="'input_audio' cannot be sent"):
        model.answer_many([ft.Request([{"role": "user", "content": [{"type": "input_audio"}]}], TOOLS)])


def test_a_schema_is_sent_to_the_responses_api(openai_fake, ask):
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    output = ft.JsonOutput(name="answer", json_schema=schema)
    openai_fake.answers = lambda text: '{"a": 1}'
    (answer,) = ask("gpt-5-pro").answer_many([ft.Request([{"role": "user", "content": "x"}], output=output)])
    asked = openai_fake.calls[-1].json()["text"]["format"]
    assert asked == {"type": "json_schema", "name": "answer", "strict": True, "schema": schema}
    assert answer.text == '{"a": 1}'


@pytest.mark.parametrize(
    ("model", "sampling", "tools", "said"),
    [
        ("gpt-6-luna", {"reasoning_effort": "high", "temperature": 0.7}, None, r"temperature=0.7 has no effect at"),
        ("gpt-6-luna", {"reasoning_effort": "high", "temperature": 0}, None, r"temperature=0.0 has no effect at"),
        ("gpt-6-luna", {"reasoning_effort": "low", "top_p": 0.5}, None, r"top_p=0.5 has no effect at"),
        ("gpt-6-luna", {"reasoning_effort": "minimal"}, None, r'"minimal" is not taken: it takes none, low'),
        ("gpt-6-luna", {"max_reasoning_tokens": 9}, None, r'the model does not reason at reasoning_effort="none"'),
        ("gpt-6-luna", {"reasoning_effort": "low", "seed": 3}, TOOLS, r"seed=3 is not taken: the Responses API"),
        ("gpt-5-mini", {"temperature": 0.7}, None, r"temperature=0.7 is not taken by this model"),
        ("gpt-5-pro", {"seed": 1}, None, r"seed=1 is not taken: the Responses API"),
        ("gpt-4.1-mini", {"reasoning_effort": "low"}, None, r"it does not reason on request"),
        ("gpt-4.1-mini", {"max_reasoning_tokens": 9}, None, r"max_reasoning_tokens=9 has no effect"),
    ],
)
def test_what_a_model_does_not_take_is_refused_before_any_request(openai_fake, ask, model, sampling, tools, said):
    asked = ask(model, **sampling)
    with pytest.raises(RefusedError, match=said) as caught:
        asked.answer_many([request(), request(tools)])
    assert caught.value.fields[0] in sampling
    assert openai_fake.calls == []


def test_an_evaluation_is_refused_before_its_first_row(openai_fake, ask, notes):
    model = ask("gpt-5-mini", temperature=0.5)
    for options in (RequestOptions(), RequestOptions(concurrency=2), RequestOptions(batch=True)):
        with pytest.raises(RefusedError, match=r"temperature=0\.5"):
            ft.evaluate(model, notes, asking=options, probes=None, progress=False)
    assert openai_fake.calls == []


def test_values_that_the_model_uses_anyway_are_honoured(openai_fake, ask):
    ask("gpt-5-mini", temperature=1, top_p=1).answer_many([request()])
    assert openai_fake.calls[-1].json().keys().isdisjoint({"temperature", "top_p"})


def test_a_model_that_the_catalogue_does_not_list_is_asked_as_its_host_says(openai_fake, ask):
    model = ask("gpt-7-unlisted")
    (answer,) = model.answer_many([request()])
    assert answer.text == "red"
    assert "temperature" in model.about()["observed"]["parameters_not_taken"]
    (answer,) = model.answer_many([request(TOOLS)])  # the host names the other API
    assert answer.finish_reason == "length"  # 512 tokens of reasoning, because nobody reserved more
    assert model.about()["observed"]["api"] == ["chat", "responses"]
    (answer,) = ask("unlisted-pro", max_reasoning_tokens=2000).answer_many([request()])
    assert answer.text == "red"
    for sampling in ({"temperature": 0.7}, {"reasoning_effort": "minimal"}):
        with pytest.raises(RefusedError, match=next(iter(sampling))):
            ask("gpt-7-unlisted", **sampling).answer_many([request()])


def test_a_batch_asks_one_api(openai_fake, ask, notes):
    report = ft.evaluate(
        ask("gpt-6-luna", reasoning_effort="low"), notes, asking=RequestOptions(batch=True), probes=None, progress=False
    )
    (batch,) = openai_fake.batches.all.values()
    assert batch["endpoint"] == "/v1/chat/completions"
    assert report.usage.reasoning_tokens == 600 * len(notes)
    assert report.rows[0].reasoning_tokens == 600
    report = ft.evaluate(ask("gpt-5-pro"), notes, asking=RequestOptions(batch=True), probes=None, progress=False)
    assert [one["endpoint"] for one in openai_fake.batches.all.values()][1] == "/v1/responses"
    assert report.rows[0].reasoning_content == "It says so."
    assert "of them reasoning)" in str(report)


def test_reports_say_how_the_model_was_asked(ask, notes, tmp_path):
    report = ft.evaluate(ask("gpt-5-mini"), notes, probes=None, progress=False)
    assert any("temperature and top_p were not sent" in note for note in report.notes)
    report.save(tmp_path / "r.json")
    loaded = ft.Report.load(tmp_path / "r.json")
    assert loaded.rows[0].reasoning_tokens == 600
    assert loaded.sampling.model_fields_set == set()  # so that a report's options can be used again
    assert loaded.digest == report.digest
    with pytest.raises(ConfigError, match="would ask for the same answer again"):
        ft.evaluate(ask("gpt-5-mini"), notes, samples=2, probes=None, progress=False)
    report = ft.evaluate(ask("gpt-5-mini", reasoning_effort="low"), notes, samples=2, probes=None, progress=False)
    assert report.samples == 2


def test_the_estimate_has_room_for_reasoning(ask, notes):
    expected = estimate_cost(ask("gpt-6-luna", reasoning_effort="high", max_reasoning_tokens=1000), notes)
    assert expected.reasoning_tokens == 1000 * len(notes)
    assert expected.total_usd == pytest.approx(expected.rows_usd + 12_000 * 0.5 / 1e6)
    assert "and up to 12,000 tokens of reasoning: up to $0.006" in str(expected)
    assert estimate_cost(ask("gpt-6-luna"), notes).reasoning_tokens == 0


def test_long_requests_cost_more():
    price = load_catalog().inference_price("openai", "gpt-6-luna", tuned=False)
    assert price.cost(272_000, 10) == pytest.approx((272_000 * 0.1 + 10 * 0.5) / 1e6)
    assert price.cost(272_001, 10) == pytest.approx((272_001 * 0.2 + 10 * 0.75) / 1e6)


def test_sampling_remembers_what_was_written():
    sampling = ft.Sampling(temperature=0.5)
    assert sampling.with_seed(3).model_fields_set == {"temperature"}
    assert sampling.model_copy(update={"constrained": True}).model_fields_set == {"temperature", "constrained"}
    with pytest.raises(ConfigError, match="give one of them"):
        ft.Sampling(reasoning_effort="none", max_reasoning_tokens=5)
    with pytest.raises(ConfigError, match="reasoning_effort"):
        ft.Sampling(reasoning_effort="much")


def test_a_model_on_this_machine_refuses_it(tiny_model):
    model = ft.Model(f"local:{tiny_model}", ft.Task(), sampling=ft.Sampling(reasoning_effort="low"))
    with pytest.raises(RefusedError, match=r"reasoning_effort=.low. is for hosted models"):
        model.answer_many([request()])


def test_a_grader_may_name_the_effort(openai_fake, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", f"{openai_fake.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", openai_fake.key)
    openai_fake.answers = lambda text: '{"result": 1}'
    written = {
        "type": "score_model",
        "name": "judge",
        "model": "gpt-5-mini",
        "input": [{"role": "user", "content": "{{ sample.output_text }}"}],
        "sampling_params": {"reasoning_effort": "low"},
    }
    grader = GRADERS.get("score_model").model_validate(written)
    (grade,) = ft.grade(grader, [{}], ["fine"]).grades
    assert grade.reward == 1.0
    assert openai_fake.calls[-1].json()["reasoning_effort"] == "low"


def test_the_command_line_has_the_options(openai_fake, notes, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", f"{openai_fake.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", openai_fake.key)
    openai_fake.answers = lambda text: "red"
    notes.task.to_yaml(tmp_path / "task.yaml")
    (tmp_path / "test.jsonl").write_text(json.dumps({"text": "case", "team": "red"}) + "\n")
    where = ["--data", str(tmp_path / "test.jsonl"), "--task", str(tmp_path / "task.yaml"), "--target", "team"]
    more = ["--no-probes", "--reasoning-effort", "low", "--max-reasoning-tokens", "900"]
    done = CliRunner().invoke(app, ["evaluate", "openai:gpt-6-luna", *where, *more])
    assert done.exit_code == 0, done.output
    assert openai_fake.calls[-1].json()["max_completion_tokens"] == 932
    assert "up to 900 tokens of reasoning" in done.stderr
    done = CliRunner().invoke(app, ["evaluate", "openai:gpt-6-luna", *where, *more, "--temperature", "0.5"])
    assert done.exit_code != 0
    assert "--temperature 0.5 has no effect" in done.stderr


def test_reasoning_that_a_host_returns_in_chat_completions_is_kept(openai_fake, ask):
    def reasoned(call):
        if not call.path.endswith("/chat/completions"):
            return None
        message = {"role": "assistant", "content": "red", "reasoning_content": "As it says."}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 1, "completion_tokens": 1}
        return (
            200,
            {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage},
            {},
        )

    openai_fake.spec, openai_fake.override = None, reasoned
    (answer,) = ask("gpt-4.1-mini").answer_many([request()])
    assert answer.reasoning_content == "As it says."


@pytest.mark.parametrize("name", ["gpt-6-luna-2026-10-22", "ft:gpt-6-luna-2026-10-22:acme::1", "gpt-4o-2024-05-13"])
def test_a_dated_snapshot_is_asked_as_its_model(name):
    facts = load_catalog().parameters("openai", name)
    assert facts is not None
    assert facts.advised_effort == ("none" if "luna" in name else None)
    assert load_catalog().parameters("openai", "gpt-7-unlisted-2026-10-22") is None
