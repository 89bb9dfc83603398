from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ftkit as ft


@pytest.fixture
def chats(tmp_path: Path) -> Callable[..., ft.Dataset]:
    """Writes rows (or raw lines) to a file and opens it; question and answer pairs become chats."""

    def make(*rows: Any, name: str = "rows.jsonl", **options: Any) -> ft.Dataset:
        lines = [row if isinstance(row, str) else json.dumps(_chat(row), ensure_ascii=False) for row in rows]
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return ft.Dataset.load(path, **{"format": "openai", **options})

    return make


def _chat(row: Any) -> Any:
    if isinstance(row, tuple):
        return {"messages": [{"role": "user", "content": row[0]}, {"role": "assistant", "content": row[1]}]}
    return row
