"""A model with another chat template: from Python, from the command line and from the server; and named templates."""

from __future__ import annotations

import copy
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import ftkit as ft
from ftkit.backends import Request, Sampling
from ftkit.backends.local import LocalBackend
from ftkit.cli.app import app
from ftkit.errors import ConfigError, ModelError, RefusedError
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.model_source import find_source, with_template
from ftkit.modeling.template_source import PLAIN_TEMPLATE, is_template_hash, plain_template, template_hash
from ftkit.modeling.tokenizer import load_chat_template
from ftkit.training.job import Job, train

OTHER = (
    "{%- for m in messages -%}{{- '[' + m.role + '] ' + m.content + '<|im_end|>' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '[assistant] ' -}}{%- endif -%}"
)
DATED = "{{- strftime_now('%d %B %Y') + '\n' -}}" + OTHER
TASK = ft.Task("Repeat.", input="{text}")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    file = tmp_path / "other.jinja"
    file.write_text(OTHER, encoding="utf-8")
    return file


def test_a_model_is_asked_with_another_template(tiny_model, other):
    own = ft.Model(f"local:{tiny_model}", TASK)
    model = ft.Model(f"local:{tiny_model}", TASK, chat_template=other)
    request = Request(TASK.prompt({"text": "a"}))
    counts = [one.answer_many([request], Sampling(max_output_tokens=2))[0].input_tokens for one in (own, model)]
    template = load_chat_template(find_source(with_template(tiny_model, other)))
    asked = template.encode_prompt(TASK.prompt({"text": "a"}))
    assert template.tokenizer.decode(asked) == "[system] Repeat.<|im_end|>[user] a<|im_end|>[assistant] "
    assert counts[1] == len(asked) != counts[0]
    assert model.about()["template_hash"] != own.about()["template_hash"]
    assert ft.Model(LocalBackend(tiny_model, chat_template=other), TASK).name == model.name


def test_a_template_that_is_not_there_is_named(tiny_model, tmp_path):
    with pytest.raises(ConfigError, match=r"chat_template: there is no file .*none\.jinja"):
        ft.Model(f"local:{tiny_model}", TASK, chat_template=tmp_path / "none.jinja")
    with pytest.raises(ModelError, match=r"there is no chat template .*none\.jinja"):
        find_source(with_template(tiny_model, tmp_path / "none.jinja"))


def test_hosts_take_no_other_template(other):
    with pytest.raises(RefusedError, match="only models on this machine take another") as caught:
        ft.Model("openai:gpt-4.1-mini", TASK, chat_template=other)
    assert caught.value.fields == ("chat_template",)


def test_a_tuned_model_keeps_the_template_and_the_day(tiny_model, tmp_path):
    file = tmp_path / "dated.jinja"
    file.write_text(DATED, encoding="utf-8")
    rows = ft.Dataset.from_rows([{"text": "a", "gold": "b"}] * 4, TASK, target="gold")
    recipe = ft.SFT(epochs=1, batch_size=4, precision="fp32", learning_rate=1e-3)
    events: list[tuple[str, dict[str, Any]]] = []
    name = with_template(tiny_model, file)
    job = Job(recipe, rows, None, name, tmp_path / "model", {"run_id": "r"}, day=date(2025, 3, 9))
    train(job, lambda kind, data: events.append((kind, data)))
    record = json.loads((tmp_path / "model" / "ftkit.json").read_text(encoding="utf-8"))
    assert record["template_day"] == "2025-03-09"
    assert [data["template_day"] for kind, data in events if data.get("message") == "training"] == ["2025-03-09"]
    assert (tmp_path / "model" / "chat_template.jinja").read_text(encoding="utf-8") == DATED
    assert record["base_name"] == record["trained_from"] == tiny_model
    file.unlink()  # the tuned model has the template itself
    assert load_chat_template(find_source(str(tmp_path / "model"))).tokenizer.chat_template == DATED
    assert job.digest("h", date(2025, 3, 9)) != job.digest("h", date(2025, 3, 10)) != job.digest("h")


def test_the_command_line_takes_a_template(tiny_model, other, tmp_path):
    chat = [{"role": "user", "content": "a<|im_end|>"}, {"role": "assistant", "content": "b"}]
    (tmp_path / "chat.jsonl").write_text(json.dumps({"messages": chat}) + "\n", encoding="utf-8")
    arguments = ["data", "mask", str(tmp_path / "chat.jsonl"), "--model", tiny_model, "--chat-template", str(other)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    shown = done.stdout.replace("·", "")
    assert "[user] a<|im_end|><|im_end|>[assistant] ⟦b<|im_end|>⟧" in shown
    assert "note: messages[0].content: contains <|im_end|>; encoded as text, not as the token" in shown


def test_the_hash_of_named_templates_does_not_depend_on_their_order(tokenizer):
    own = copy.deepcopy(tokenizer)
    own.chat_template = {"default": OTHER, "tool_use": DATED}
    first = template_hash(own)
    old = f"{first[:7]}{'0' * 64}"
    own.chat_template = {"tool_use": DATED, "default": OTHER}
    assert template_hash(own) == first
    assert is_template_hash(own, first)
    assert not is_template_hash(own, old)
    assert ChatTemplate(own).encode_prompt([{"role": "user", "content": "a"}]).size


def test_a_base_model_that_begins_texts_with_a_token_gets_it_in_prompts(tokenizer):
    from tokenizers import processors

    assert plain_template(tokenizer) == PLAIN_TEMPLATE
    own = copy.deepcopy(tokenizer)
    bos = own.bos_token
    own.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, own.bos_token_id)]
    )
    own.chat_template = None
    template = ChatTemplate(own)
    asked = template.encode_prompt([{"role": "user", "content": "a"}]).tolist()
    assert asked[0] == own.bos_token_id
    assert asked.count(own.bos_token_id) == 1
