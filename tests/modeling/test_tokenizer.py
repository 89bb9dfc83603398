"""A model's tokens without its weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ftkit.errors import ModelError
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.model_source import find_source
from ftkit.modeling.pretrained import load_pretrained
from ftkit.modeling.tokenizer import load_chat_template, token_texts

TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


@pytest.fixture
def copy(tiny_model: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "copy"))


@pytest.mark.parametrize("stops", [None, [2, 7]])
def test_it_is_the_renderer_of_the_whole_model(copy, stops):
    (copy / "generation_config.json").unlink()
    if stops is not None:
        (copy / "generation_config.json").write_text(json.dumps({"eos_token_id": stops}))
    source = find_source(str(copy))
    whole = load_pretrained(source, precision="fp32", device=torch.device("cpu")).chat_template
    (copy / "model.safetensors").unlink()
    alone = load_chat_template(source)
    assert alone.stop_ids == whole.stop_ids
    assert alone.template_hash == whole.template_hash
    (seen,), (expected,) = alone.encode_examples(TURNS), whole.encode_examples(TURNS)
    assert seen.ids.tolist() == expected.ids.tolist()
    assert seen.supervised.tolist() == expected.supervised.tolist()


def test_what_cannot_be_loaded_is_named(copy):
    (copy / "ftkit.json").write_text(json.dumps({"template_hash": "sha256:0"}))
    with pytest.raises(ModelError, match="is not the one the model was trained with"):
        load_chat_template(find_source(str(copy)))
    (copy / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=r"cannot load the model .*: its tokenizer: "):
        load_chat_template(find_source(str(copy)))


@settings(max_examples=60, deadline=None)
@given(said=st.text(st.characters(codec="utf-8"), max_size=30).filter(str.strip))
def test_shown_tokens_are_the_whole_text(tokenizer, said):
    chat_template = ChatTemplate(tokenizer)
    (rendered,) = chat_template.encode_examples([TURNS[0], {"role": "assistant", "content": said}])
    shown = list(token_texts(chat_template, rendered))
    assert "".join(token.text for token in shown) == tokenizer.decode(rendered.ids.tolist())
    assert [token.supervised for token in shown for _ in range(token.count)] == rendered.supervised.tolist()
