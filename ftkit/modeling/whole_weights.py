"""Check that weights are whole: every tensor that a model calls for is there, in its shape, and no other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open

from ftkit.errors import ModelError
from ftkit.modeling.load_errors import load_errors
from ftkit.modeling.model_shape import model_shape

__all__ = ["check_loaded", "check_size", "tensor_shapes"]

_SHOWN = 3
_INTEGERS = frozenset({"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64"})
_MOST_TIMES_LARGER = 4
"""Weights that are packed into fewer numbers have at most so many values per number."""


def tensor_shapes(file: Path, what: str) -> dict[str, tuple[int, ...]]:
    """Read the names and shapes of the tensors of a safetensors file.

    Args:
        file: the file.
        what: the beginning of the message of an error.

    Returns:
        Shapes by name.

    Raises:
        ModelError: the file cannot be read.
    """
    return {name: shape for name, (shape, _) in _tensors(file, what).items()}


def _tensors(file: Path, what: str) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and type of each tensor of a safetensors file."""
    with load_errors(what, file.parent), safe_open(file, "pt") as content:
        slices = {name: content.get_slice(name) for name in content.keys()}  # noqa: SIM118
        return {name: (tuple(one.get_shape()), str(one.get_dtype())) for name, one in slices.items()}


def check_size(folder: Path, config: Mapping[str, Any], what: str, count: Callable[[], int]) -> None:
    """Refuse a config that describes a far larger model than the weight files beside it hold, and weights of integers.

    Loads nothing.

    Args:
        folder: the model's folder. Only safetensors are looked at.
        config: its config.
        what: the beginning of the message of an error.
        count: counts the parameters of a family whose shape is not known; 0 if it cannot.

    Raises:
        ModelError: the config and the files do not fit, a weight is made of integers although the config does not say
            that it is quantised, or a file cannot be read.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files or config.get("quantization_config"):
        return
    try:
        described = model_shape(config).parameters
    except ModelError:
        described = count()
    tensors = {name: found for file in files for name, found in _tensors(file, what).items()}
    integers = sorted(name for name, (_, kind) in tensors.items() if name.endswith(".weight") and kind in _INTEGERS)
    if integers:
        raise ModelError(
            f"{what}: {integers[0]} is made of integers, and config.json names no quantization; the weights are "
            "damaged, or their config.json is of another model"
        )
    held = sum(math.prod(shape) for shape, _ in tensors.values())
    if described > _MOST_TIMES_LARGER * held:
        raise ModelError(
            f"{folder / 'config.json'} describes a model of {described:,} parameters, and the weights beside it are "
            f"{held:,}; one of them is damaged or belongs to another model"
        )


def check_loaded(
    what: str,
    *,
    missing: Iterable[str] = (),
    unexpected: Iterable[str] = (),
    mismatched: Iterable[tuple[str, Any, Any]] = (),
) -> None:
    """Refuse weights of which some are missing, too many, or of another shape.

    Args:
        what: what was loaded, as the subject of the message.
        missing: tensors that the model calls for and the files lack, tied ones aside.
        unexpected: tensors of the files that the model has no place for.
        mismatched: name, shape in the files and shape in the model of tensors where these differ.

    Raises:
        ModelError: names them.
    """
    problems = []
    for keys, problem in (
        (sorted(missing), "lacks {} that the config calls for"),
        (sorted(unexpected), "has {} that the config has no place for"),
        (
            sorted(f"{name} ({list(found)} instead of {list(wanted)})" for name, found, wanted in mismatched),
            "has {} of another shape than the config says",
        ),
    ):
        if keys:
            count = "1 tensor" if len(keys) == 1 else f"{len(keys)} tensors"
            listed = ", ".join(keys[:_SHOWN]) + (", …" if len(keys) > _SHOWN else "")
            problems.append(f"{problem.format(count)}: {listed}")
    if problems:
        raise ModelError(f"{what} is not whole. It {'; it '.join(problems)}. Get its files again")
