"""Ollama's Modelfile: the weights, the template, the stop strings and the sampling parameters.

Format and defaults: https://docs.ollama.com/modelfile, as read in November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ftkit.errors import ExportError

__all__ = ["modelfile", "template_of"]

_HEAD = """\
# Made by ftkit. Ollama releases that convert safetensors take this folder as it is: ollama create NAME
# Others want GGUF: python convert_hf_to_gguf.py . --outfile model.gguf   (llama.cpp), then FROM ./model.gguf
FROM .
"""


def modelfile(template: str, stops: Sequence[str], context: int) -> str:
    """Write a Modelfile for the weights in the same folder.

    It sets temperature 0 and no repetition penalty, as ftkit samples: Ollama's defaults are 0.8, and 1.1 in older
    releases, and a penalty damages JSON. It sets the context length, because Ollama truncates longer prompts silently.

    Args:
        template: the Go template.
        stops: stop strings.
        context: context length in tokens, for prompt and answer together.

    Returns:
        The text of the Modelfile.
    """
    lines = [f"PARAMETER stop {_quoted(stop)}" for stop in stops]
    lines += ["PARAMETER temperature 0", "PARAMETER repeat_penalty 1.0", f"PARAMETER num_ctx {context}"]
    return f'{_HEAD}TEMPLATE """{template}"""\n' + "\n".join(lines) + "\n"


def _quoted(stop: str) -> str:
    return f'"""{stop}"""' if '"' in stop else f'"{stop}"'


def template_of(text: str) -> str:
    """Read the template from a Modelfile as Ollama does, which drops unprintable characters.

    Args:
        text: the Modelfile.

    Returns:
        The Go template.

    Raises:
        ExportError: the Modelfile has no template.
    """
    found = re.search(r'^TEMPLATE """(.*?)"""$', text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ExportError("the Modelfile has no TEMPLATE")
    return "".join(char for char in found[1] if char.isprintable() or char in "\n\r\t")
