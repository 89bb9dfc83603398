"""The facts about servers: one for each form and adapter, dated and with a source."""

from __future__ import annotations

import itertools
from datetime import date

import pytest

from ftkit.exporting.servers import servers_for

KINDS = ("lora", "qlora", "dora", "adalora", "full", "none")


def test_every_export_hears_of_every_server():
    for form, kind, dtype in itertools.product(("merged", "adapter", "ollama"), KINDS, ("bf16", "fp16", "fp32")):
        if form == "adapter" and kind in ("full", "none"):
            continue
        found = servers_for(form, adapter=kind, dtype=dtype)
        assert {one.name for one in found} == {"vLLM", "Ollama", "llama.cpp", "LoRAX"}
        for one in found:
            assert one.source.startswith("https://")
            assert date(2026, 1, 1) <= one.as_of <= date(2100, 1, 1)
    assert {one.name for one in servers_for("gguf", adapter="lora", dtype="bf16")} == {"Ollama", "llama.cpp"}


@pytest.mark.parametrize(
    ("kind", "traits", "server", "takes", "why"),
    [
        ("lora", (), "vLLM", "yes", "--enable-lora"),
        ("lora", ("high_rank",), "vLLM", "yes", "--max-lora-rank"),
        ("lora", ("modules_to_save",), "vLLM", "no", "modules_to_save"),
        ("dora", (), "vLLM", "no", "use the merged form"),
        ("adalora", (), "LoRAX", "no", "use the merged form"),
        ("lora", ("rslora",), "vLLM", "yes", "--enable-lora"),
        ("lora", ("rslora",), "llama.cpp", "no", "lost"),
        ("qlora", (), "Ollama", "no", "QLoRA"),
    ],
)
def test_what_an_adapter_has_decides_who_takes_it(kind, traits, server, takes, why):
    found = {one.name: one for one in servers_for("adapter", adapter=kind, dtype="bf16", traits=traits)}
    assert found[server].takes == takes
    assert why in found[server].why
