"""A GGUF file in llama.cpp: its tokens, logits and greedy answers, and the quantiser that makes smaller files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch

from ftkit.errors import ExportError
from ftkit.extras import require
from ftkit.modeling.tokenized_example import Ints
from ftkit.printable import printable

__all__ = ["GgufModel", "QuantizationName", "load_library", "quantize_file"]

QuantizationName = str
"""A type of llama.cpp's quantiser in lower case: ``"q8_0"``, ``"q4_k_m"``."""

_BATCH = 512
"""Tokens of one pass; llama.cpp's default."""


def load_library() -> tuple[Any, Any]:
    """Load llama.cpp's library, silently.

    Returns:
        The library, and the cffi object that makes its structures.

    Raises:
        MissingExtraError: the package is not installed.
        ExportError: the library does not run on this machine, e.g. because its C library is older than 2.38.
    """
    require("llama_cpp_py_sync", extra="gguf", needed_for="GGUF files")
    from llama_cpp_py_sync._cffi_bindings import get_ffi, get_lib

    try:
        lib, ffi = get_lib(), get_ffi()
    except RuntimeError as error:
        reason = str(error).partition(".  Additionally")[0]
        raise ExportError(
            f"llama.cpp's library does not run on this machine: {printable(reason)}. On Linux it needs glibc 2.38, of "
            "Ubuntu 24.04 or Debian 13; or export the model merged and convert it elsewhere"
        ) from None
    if not _silent:
        _silent.append(ffi.callback("ggml_log_callback", lambda *_: None))
        lib.llama_log_set(_silent[0], ffi.NULL)
        lib.llama_backend_init()
    return lib, ffi


_silent: list[Any] = []
"""The callback that drops llama.cpp's log, which the library needs for as long as it is loaded."""


def quantize_file(source: Path, target: Path, kind: QuantizationName) -> None:
    """Write a quantised copy of a GGUF file, by llama.cpp's own quantiser.

    Args:
        source: a file with unquantised weights.
        target: the file to write.
        kind: the type.

    Raises:
        ExportError: the library does not have the type, or failed.
    """
    lib, ffi = load_library()
    ftype = getattr(lib, f"LLAMA_FTYPE_MOSTLY_{kind.upper()}", None)
    if ftype is None:
        raise ExportError(f"this llama.cpp has no quantisation {kind!r}")
    parameters = ffi.new("llama_model_quantize_params *", lib.llama_model_quantize_default_params())
    parameters.ftype, parameters.nthread = ftype, torch.get_num_threads()
    if lib.llama_model_quantize(str(source).encode(), str(target).encode(), parameters) != 0:
        raise ExportError(f"llama.cpp could not write {target.name} from {source.name}")


class GgufModel:
    """A loaded GGUF file. A context manager.

    Args:
        file: the file.
        context: most tokens of a prompt with its answer.

    Raises:
        ExportError: llama.cpp cannot load it.
    """

    def __init__(self, file: Path, *, context: int) -> None:
        self._lib, self._ffi = load_library()
        parameters = self._lib.llama_model_default_params()
        parameters.n_gpu_layers = 0
        self._model = self._lib.llama_model_load_from_file(str(file).encode(), parameters)
        self._context = self._ffi.NULL
        if self._model == self._ffi.NULL:
            raise ExportError(f"llama.cpp cannot load {file.name}")
        self._vocabulary = self._lib.llama_model_get_vocab(self._model)
        settings = self._lib.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_ubatch = context, _BATCH, _BATCH
        settings.n_threads = settings.n_threads_batch = torch.get_num_threads()
        self._context = self._lib.llama_init_from_model(self._model, settings)
        if self._context == self._ffi.NULL:
            self.close()
            raise ExportError(f"llama.cpp has no room for {context} tokens of context with {file.name}")

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens that have a logit."""
        return int(self._lib.llama_vocab_n_tokens(self._vocabulary))

    @property
    def chat_template(self) -> str | None:
        """The chat template that the file carries."""
        found = self._lib.llama_model_chat_template(self._model, self._ffi.NULL)
        return None if found == self._ffi.NULL else str(self._ffi.string(found).decode())

    def ends_a_turn(self, token: int) -> bool:
        """Say whether servers end an answer at a token.

        Args:
            token: the token's id.

        Returns:
            Whether llama.cpp takes it for an end of generation.
        """
        return bool(self._lib.llama_vocab_is_eog(self._vocabulary, token))

    def tokenize(self, text: str) -> list[int]:
        """Tokenise a rendered prompt as a server does: texts of control tokens are control tokens.

        Args:
            text: the prompt.

        Returns:
            Token ids.
        """
        raw = text.encode()
        room = len(raw) + 8
        tokens = self._ffi.new("llama_token[]", room)
        count = self._lib.llama_tokenize(self._vocabulary, raw, len(raw), tokens, room, False, True)
        return [int(tokens[index]) for index in range(max(0, count))]

    def decode(self, tokens: Sequence[int]) -> str:
        """Write tokens as text, with the texts of control tokens.

        Args:
            tokens: token ids.

        Returns:
            The text.
        """
        pieces = b""
        for token in tokens:
            room = self._ffi.new("char[]", 256)
            length = self._lib.llama_token_to_piece(self._vocabulary, token, room, 256, 0, True)
            pieces += bytes(self._ffi.buffer(room, max(0, length)))
        return pieces.decode(errors="replace")

    def logits(self, prompt: Ints, answer: Sequence[int]) -> torch.Tensor:
        """Compute the logits with which the model would have chosen each token of an answer.

        Args:
            prompt: token ids of the prompt.
            answer: token ids of the answer.

        Returns:
            ``[answer tokens, vocabulary]``, float32.

        Raises:
            ExportError: llama.cpp failed.
        """
        self._forget()
        ids = [*prompt.tolist(), *answer[:-1]]
        return torch.from_numpy(self._evaluate(ids, 0, first=len(prompt) - 1))

    def greedy(self, prompt: Ints, limit: int) -> tuple[int, ...]:
        """Answer a prompt with the likeliest token each time.

        Args:
            prompt: token ids of the prompt.
            limit: most tokens of the answer.

        Returns:
            The answer in tokens, with the one that ended it.

        Raises:
            ExportError: llama.cpp failed.
        """
        self._forget()
        ids, answer = prompt.tolist(), list[int]()
        row, past = self._evaluate(ids, 0, first=len(ids) - 1)[0], len(ids)
        while True:
            answer.append(int(row.argmax()))
            if len(answer) == limit or self.ends_a_turn(answer[-1]):
                return tuple(answer)
            row, past = self._evaluate(answer[-1:], past, first=0)[0], past + 1

    def close(self) -> None:
        """Free the model. It cannot be used afterwards."""
        if self._context != self._ffi.NULL:
            self._lib.llama_free(self._context)
            self._context = self._ffi.NULL
        if self._model != self._ffi.NULL:
            self._lib.llama_model_free(self._model)
            self._model = self._ffi.NULL

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _forget(self) -> None:
        self._lib.llama_memory_clear(self._lib.llama_get_memory(self._context), True)

    def _evaluate(self, ids: Sequence[int], past: int, *, first: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Logits after each token from ``first`` on, float32 ``[tokens, vocabulary]``."""
        size, found = self.vocabulary_size, []
        for start in range(0, len(ids), _BATCH):
            part = ids[start : start + _BATCH]
            batch = self._lib.llama_batch_init(len(part), 0, 1)
            try:
                batch.n_tokens = len(part)
                for index, token in enumerate(part):
                    batch.token[index], batch.pos[index] = token, past + start + index
                    batch.n_seq_id[index], batch.seq_id[index][0] = 1, 0
                    batch.logits[index] = start + index >= first
                if self._lib.llama_decode(self._context, batch) != 0:
                    raise ExportError("llama.cpp failed to evaluate a prompt")
                for index in range(max(0, first - start), len(part)):
                    row = self._lib.llama_get_logits_ith(self._context, index)
                    found.append(np.frombuffer(self._ffi.buffer(row, 4 * size), dtype=np.float32).copy())
            finally:
                self._lib.llama_batch_free(batch)
        return np.stack(found)
