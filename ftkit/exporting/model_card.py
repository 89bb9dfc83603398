"""The model card of an export, in the hub's form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftkit.exporting.export_result import Export

__all__ = ["card"]


def card(export: Export, record: Mapping[str, Any], base: str) -> str:
    """YAML header, then what one must know to use the model.

    Args:
        record: the model's ``ftkit.json``.
        base: the base model's name, or the exported model's own when it was not tuned.
    """
    # Of the place where it was made, only the folder's own name goes along with the folder.
    told = export.model_copy(update={"folder": Path(export.folder.name)})
    name = str(record.get("run_id") or export.model.removeprefix("local:"))
    whole = export.form != "adapter"
    known = {
        "task": record.get("task_fingerprint"),
        "data": record.get("data_fingerprint"),
        "recipe": record.get("recipe_fingerprint"),
        "chat template": record.get("template_hash"),
    }
    lines = ["---", f"base_model: {base}", f"library_name: {'transformers' if whole else 'peft'}"]
    lines += ["tags:", "- ftkit", f"- {export.adapter}", "---", "", f"# {name}", ""]
    lines += [f"`{base}` ({export.adapter}), exported by ftkit. Ask it with temperature 0: so it was measured.", ""]
    lines += [f"- {title}: `{value}`" for title, value in known.items() if value]
    lines += ["", "```text", str(told), "```", ""]
    return "\n".join(lines)
