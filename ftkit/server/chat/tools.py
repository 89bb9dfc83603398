"""Tool calls in a model's text, where the format its chat template asks for is known.

Known are two: ``<tool_call>{"name": …, "arguments": …}</tool_call>`` (Hermes, Qwen 2.5 and 3, SmolLM3) and one JSON
object with ``name`` and ``parameters`` as the whole answer (Llama 3.1 and later). Everything else stays text.
Sources: the models' chat templates on the Hugging Face hub.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import Any, Literal

__all__ = ["CallReader", "call_format"]

Format = Literal["tagged", "bare"]

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_TAGGED = re.compile(rf"{_OPEN}(.*?)(?:{_CLOSE}|\Z)", re.DOTALL)


def call_format(template: str) -> Format | None:
    """How a chat template has the model write its calls; ``None`` when that is not known."""
    if _OPEN in template and "<function=" not in template:  # Qwen3-Coder writes XML inside the same tags
        return "tagged"
    if "ipython" in template and '"parameters"' in template:
        return "bare"
    return None


class CallReader:
    """Tells calls from text while the text comes.

    Args:
        form: how calls are written.
        parallel: whether there may be several; else the first is taken.
    """

    def __init__(self, form: Format, *, parallel: bool = True) -> None:
        self._form, self._parallel = form, parallel
        self._kept = ""
        self._calling = False
        self._begun = False

    def push(self, text: str) -> str:
        """The part of the text that is certainly no call."""
        self._kept += text
        if self._calling:
            return ""
        if self._form == "bare":
            return self._bare()
        place = self._kept.find(_OPEN)
        if place >= 0:
            self._calling = True
            found, self._kept = self._kept[:place], self._kept[place:]
            return found
        held = next((n for n in range(len(_OPEN) - 1, 0, -1) if self._kept.endswith(_OPEN[:n])), 0)
        certain = len(self._kept) - held
        found, self._kept = self._kept[:certain], self._kept[certain:]
        return found

    def end(self) -> tuple[str, list[dict[str, Any]]]:
        """The rest of the text, and the calls in OpenAI's form. What cannot be read as calls stays text."""
        rest, self._kept = self._kept, ""
        if not self._calling:
            return rest, []
        written = [rest] if self._form == "bare" else _TAGGED.findall(rest)
        calls = [_call(one, "parameters" if self._form == "bare" else "arguments") for one in written]
        whole = [one for one in calls if one is not None]
        if not whole or len(whole) < len(calls):
            return rest, []
        return "", whole if self._parallel else whole[:1]

    def _bare(self) -> str:
        if not self._begun and not self._kept.strip():
            return ""
        if not self._begun and self._kept.lstrip().startswith("{"):
            self._calling = True
            return ""
        self._begun = True
        found, self._kept = self._kept, ""
        return found


def _call(text: str, arguments: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        return None
    said = found.get(arguments, {})
    if not isinstance(said, dict):
        return None
    written = json.dumps(said, ensure_ascii=False)
    return {
        "id": f"call_{secrets.token_hex(12)}",
        "type": "function",
        "function": {"name": found["name"], "arguments": written},
    }
