"""Graders tried out through OpenAI's own client."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from .conftest import LIKES_E, PYTHON, Running

JUDGE = {
    "type": "score_model",
    "name": "judge",
    "model": "decided",
    "input": [{"role": "developer", "content": "Score."}, {"role": "user", "content": "{{sample.output_text}}"}],
    "sampling_params": {"max_completions_tokens": 8, "temperature": 1, "seed": 3},
}
LABELS = {
    "type": "label_model",
    "name": "kind",
    "model": "decided",
    "input": [{"role": "user", "content": "Good or bad? {{sample.output_text}}"}],
    "labels": ["good", "bad"],
    "passing_labels": ["good", "bad"],
}


def run(running: Running, grader: Any, sample: str, **item: Any) -> Any:
    return running.client().fine_tuning.alpha.graders.run(grader=grader, model_sample=sample, item=item)


def flags(answer: Any) -> list[str]:
    return [name for name, value in answer.to_dict()["metadata"]["errors"].items() if value is True]


def test_a_grader_grades_one_answer(rewarding: Running) -> None:
    found = run(rewarding, LIKES_E, "here", letter="e")
    assert (found.reward, found.metadata.name, found.metadata.type) == (1.0, "has an e", "string_check")
    assert (flags(found), found.sub_rewards, found.metadata.token_usage) == ([], {}, None)
    assert found.metadata.execution_time >= 0
    assert run(rewarding, LIKES_E, "oh", letter="e").reward == 0.0
    missing = run(rewarding, LIKES_E, "here")
    assert (missing.reward, flags(missing)) == (0.0, ["invalid_variable_error"])
    reads_json = LIKES_E | {"input": "{{sample.output_json.word}}"}
    assert run(rewarding, reads_json, '{"word": "yes"}', letter="e").reward == 1.0
    assert flags(run(rewarding, reads_json, "yes", letter="e")) == ["sample_parse_error"]


@pytest.mark.slow
def test_the_owners_embedder_compares_by_cosine(server: Running, rewarding: Running) -> None:
    near = {"type": "text_similarity", "name": "near", "input": "{{sample.output_text}}", "reference": "{{item.said}}"}
    near["evaluation_metric"] = "cosine"
    same, other = (run(rewarding, near, "the old cat", said=said) for said in ("the old cat", "rates of interest"))
    assert same.reward == pytest.approx(1.0)
    assert 0 <= other.reward < 0.99
    assert flags(same) == flags(other) == []
    with pytest.raises(openai.BadRequestError, match="no embedder is set"):
        run(server, near, "the old cat", said="a cat")


def test_python_runs_in_its_sandbox_and_parts_are_told(rewarding: Running) -> None:
    both = {"type": "multi", "name": "both", "graders": {"p": PYTHON, "s": LIKES_E}, "calculate_output": "p + 2 * s"}
    found = run(rewarding, both, "Eels", letter="e")
    assert (found.reward, found.sub_rewards) == (2.5, {"p": 0.5, "s": 1.0})
    broken = run(rewarding, PYTHON, "Eels")
    assert (broken.reward, flags(broken)) == (0.0, ["python_grader_runtime_error"])
    assert "KeyError" in broken.metadata.errors.python_grader_runtime_error_details
    reaches_out = {
        "type": "python",
        "name": "out",
        "source": "import socket\ndef grade(sample, item):\n"
        "    socket.create_connection(('127.0.0.1', 80))\n    return 1\n",
    }
    assert flags(run(rewarding, reaches_out, "x")) == ["python_grader_runtime_error"]


def test_a_model_of_the_server_grades_and_its_tokens_are_counted(rewarding: Running) -> None:
    found = run(rewarding, JUDGE, "Eels")
    assert flags(found) == ["model_grader_parse_error"]  # eight tokens of a random model hold no score
    usage = found.model_grader_token_usage_per_model["decided"]
    assert (found.metadata.sampled_model_name, usage["completion_tokens"]) == ("decided", 8)
    assert found.metadata.token_usage == usage["total_tokens"] == usage["prompt_tokens"] + 8
    labelled = {"type": "multi", "name": "m", "graders": {"kind": LABELS}, "calculate_output": "kind"}
    assert run(rewarding, labelled, "Eels").reward == 1.0  # held to the labels, token by token
    endless = JUDGE | {"input": [{"role": "user", "content": "{{item.text}}"}]}
    crowded = run(rewarding, endless, "x", text="word " * 600)
    assert flags(crowded) == ["model_grader_server_error"]
    assert "leaves no room" in crowded.metadata.errors.model_grader_server_error_details


def test_a_grader_is_validated(rewarding: Running, client: openai.OpenAI) -> None:
    asked: Any = JUDGE
    answered = rewarding.client().fine_tuning.alpha.graders.validate(grader=asked)
    assert answered.grader is not None
    assert answered.grader.to_dict() == JUDGE
    python: Any = PYTHON
    for grader, param, said in (
        (python, "grader", "ftkit serve --allow-python"),
        (JUDGE, "grader.model", "'decided' does not exist"),
        ({"type": "function", "function": "os:getcwd"}, "grader.type", "'function' is not one of string_check"),
        ({**LIKES_E, "reference": "{{item}}"}, "grader", "names nothing in item"),
    ):
        for call in (
            lambda grader=grader: client.fine_tuning.alpha.graders.validate(grader=grader),
            lambda grader=grader: client.fine_tuning.alpha.graders.run(grader=grader, model_sample="x"),
        ):
            with pytest.raises(openai.BadRequestError, match=said) as refused:
                call()
            assert refused.value.param == param


def test_what_is_too_large_to_be_graded_is_refused(client: openai.OpenAI) -> None:
    grader: Any = LIKES_E
    with pytest.raises(openai.APIStatusError, match="larger than") as refused:
        client.fine_tuning.alpha.graders.run(grader=grader, model_sample="x" * 600_000)
    assert refused.value.status_code == 413
