"""A server of a tiny model whose template writes calls as Qwen's does, under the name of a model that clients know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ftkit.files import home
from tests.server.chat.test_calling import TEMPLATE
from tests.server.conftest import Running, rows
from tests.tiny import save_tiny, smollm_tokenizer

MODEL = "gpt-4.1-mini-2025-04-14"


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Start a server; gives its address, its model's name, and a file of rows to train with."""
    tokenizer = smollm_tokenizer(home() / "models")
    tokenizer.chat_template = TEMPLATE
    tokenizer.add_tokens(["<tool_call>", "</tool_call>"])
    model = save_tiny(folder / "model", "llama", tokenizer, max_position_embeddings=4096)
    training = folder / "rows.jsonl"
    training.write_bytes(rows(12))
    served = folder / "home"
    served.mkdir()
    running = Running(served, "--model", f"tiny={model}", "--alias", f"{MODEL}=tiny")
    try:
        yield running.url, MODEL, training
    finally:
        running.stop()
