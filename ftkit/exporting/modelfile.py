"""Ollama's Modelfile: where the weights are, the template, the stops, and how to sample.

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
    """The text of a Modelfile for the weights beside it.

    Temperature 0 and no penalty for repetitions is how ftkit asks; the defaults are 0.8, and 1.1 in older releases, and
    a penalty spoils JSON. A prompt longer than the context is cut without a word, so it is set too.

    Args:
        template: the Go template.
        stops: texts at which the answer ends.
        context: tokens of prompt and answer together.
    """
    lines = [f"PARAMETER stop {_quoted(stop)}" for stop in stops]
    lines += ["PARAMETER temperature 0", "PARAMETER repeat_penalty 1.0", f"PARAMETER num_ctx {context}"]
    return f'{_HEAD}TEMPLATE """{template}"""\n' + "\n".join(lines) + "\n"


def _quoted(stop: str) -> str:
    return f'"""{stop}"""' if '"' in stop else f'"{stop}"'


def template_of(text: str) -> str:
    """The template in a Modelfile's text, as Ollama's reader takes it: what cannot be printed is dropped.

    Raises:
        ExportError: there is none.
    """
    found = re.search(r'^TEMPLATE """(.*?)"""$', text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ExportError("the Modelfile has no TEMPLATE")
    return "".join(char for char in found[1] if char.isprintable() or char in "\n\r\t")
