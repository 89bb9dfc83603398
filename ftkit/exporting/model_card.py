"""The model card of an export, in the form of the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftkit.exporting.export_result import Export

__all__ = ["card"]


def card(export: Export, record: Mapping[str, Any], base: str) -> str:
    """Write the model card.

    Args:
        export: the export.
        record: the content of the model's ``ftkit.json``.
        base: name of the base model, or of the exported model if it was not tuned.

    Returns:
        Markdown with a YAML header.
    """
    # The card must not contain paths of this machine, so only the name of the folder stays.
    shown = export.model_copy(update={"folder": Path(export.folder.name)})
    name = str(record.get("run_id") or export.model.removeprefix("local:"))
    library = {"adapter": "peft", "gguf": "gguf"}.get(export.form, "transformers")
    known = {
        "task": record.get("task_fingerprint"),
        "data": record.get("data_fingerprint"),
        "recipe": record.get("recipe_fingerprint"),
        "chat template": record.get("template_hash"),
    }
    lines = ["---", f"base_model: {base}", f"library_name: {library}"]
    lines += ["tags:", "- ftkit", f"- {export.adapter}", "---", "", f"# {name}", ""]
    lines += [
        f"`{base}` ({export.adapter}), exported by ftkit. Sample with temperature 0, as in the measurements below.",
        "",
    ]
    lines += [f"- {title}: `{value}`" for title, value in known.items() if value]
    lines += ["", "```text", str(shown), "```", ""]
    return "\n".join(lines)
