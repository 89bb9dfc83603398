"""Whatever libraries raise while they load damaged, strange or hostile files, as one error that says what to do."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open

from ftkit.errors import FtkitError, ModelError

__all__ = ["load_errors"]

_MOST_CHARACTERS = 300


@contextlib.contextmanager
def load_errors(what: str, folder: str | Path | None = None, *, hint: str = "") -> Iterator[None]:
    """Raise every error inside the block as a :class:`~ftkit.ModelError`, except those that ftkit raised itself.

    Libraries raise anything from KeyError to AssertionError on files that are not as they expect, and some of their
    messages advise what ftkit does not do.

    Args:
        what: the beginning of the message, e.g. ``"cannot load the model 'x'"``.
        folder: the folder that is loaded, in which damaged files are searched for.
        hint: what to do if nothing more special is known.

    Yields:
        Nothing.

    Raises:
        ModelError: the block raised an error.
        FtkitError: the block raised this one itself.
    """
    try:
        yield
    except FtkitError:
        raise
    except Exception as error:
        raise ModelError(f"{what}: {_explanation(error, folder, hint)}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of a library in Rust; no Exception, but it ends nothing
            raise
        raise ModelError(f"{what}: {_explanation(error, folder, hint)}") from error


def _explanation(error: BaseException, folder: str | Path | None, hint: str) -> str:
    text = str(error).strip()
    if "trust_remote_code" in text or "custom code" in text:
        return (
            "it brings Python code of its own, which ftkit does not run; use a model that transformers knows by "
            "itself, or convert this one"
        )
    if isinstance(error, pickle.UnpicklingError) or "weights_only" in text:
        return (
            "its weights are a pickle with more than tensors in it, which could run any code, so they are not loaded; "
            "convert them to safetensors where you trust them"
        )
    if isinstance(error, MemoryError) or "out of memory" in text.lower():
        return "there is not enough memory for it"
    damaged = _damaged_file(folder)
    if damaged is not None:
        return f"{damaged}; the file is damaged or cut off, so get it again"
    first = text.splitlines()[0][:_MOST_CHARACTERS] if text else ""
    if not isinstance(error, OSError | ValueError | RuntimeError | ImportError | SafetensorError) or not first:
        first = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return first + hint


def _damaged_file(folder: str | Path | None) -> str | None:
    """Find a weights file that cannot be opened; its name and what is wrong with it."""
    if folder is None or not Path(folder).is_dir():
        return None
    for file in sorted(Path(folder).glob("*.safetensors")):
        try:
            with safe_open(file, "pt"):
                pass
        except (OSError, SafetensorError) as error:
            return f"{file.name} cannot be read ({str(error)[:_MOST_CHARACTERS]})"
    return None
