"""The result of an export."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ftkit.counts import counted
from ftkit.exporting.servers import Server
from ftkit.inference.drift import Drift
from ftkit.results.result import Result

__all__ = ["Base", "Dtype", "Export", "Form", "Quantised"]

Form = Literal["merged", "adapter", "ollama", "gguf"]
Dtype = Literal["bf16", "fp16", "fp32"]
Base = Literal["quantised", "original"]


class Quantised(BaseModel):
    """A quantised GGUF file, with the measured difference between its answers and ftkit's.

    Attributes:
        kind: llama.cpp's type, e.g. ``"q4_k_m"``.
        file: name of the file.
        bytes: its size.
        measurements: differences between the answers of the file and of the served model.
    """

    model_config = ConfigDict(frozen=True)

    kind: str
    file: str
    bytes: int
    measurements: Drift

    def __str__(self) -> str:
        drift = self.measurements
        equal = f"{drift.equal_answers:.0%}".replace("%", " %")
        return (
            f"{self.bytes / 1e6:,.1f} MB, mean KL {drift.mean_kl:.2g} (largest {drift.max_kl:.2g}), likeliest token "
            f"changed at {drift.changed_tokens} of {counted(drift.tokens, 'token')}, at {drift.clear_changes} of "
            f"{drift.clear_tokens:,} clear ones; {equal} of the answers equal"
        )


class Export(Result, BaseModel):
    """An exported folder, with the measured difference between its answers and ftkit's.

    Attributes:
        folder: the exported folder.
        form: ``"merged"`` (a whole model), ``"adapter"`` (PEFT's layout), ``"ollama"`` (a whole
            model and a Modelfile) or ``"gguf"`` (files of llama.cpp).
        model: the exported model, as ``"local:…"``.
        adapter: kind of the adapter that was trained; ``"full"``, or ``"none"`` for an untuned model.
        dtype: type of the weights; for an adapter, of the base's weights during the replay.
        base: for a QLoRA model, whether the export uses the 4-bit weights, expanded, or the original ones.
        replayed: which prompts were replayed.
        measurements: differences between the answers of the files and of the served model.
        max_kl: limit of the mean KL, in nats per token.
        max_clear_changes: share of the clear tokens that could change.
        servers: which servers take the folder, according to their documents.
        notes: what to know before use.
        quantised: quantised GGUF files. Their drift is stated, and not limited.
    """

    model_config = ConfigDict(frozen=True)

    folder: Path
    form: Form
    model: str
    adapter: str
    dtype: Dtype
    base: Base | None
    replayed: str
    measurements: Drift
    max_kl: float
    max_clear_changes: float = 0.0
    servers: tuple[Server, ...]
    notes: tuple[str, ...] = ()
    quantised: tuple[Quantised, ...] = ()

    def __str__(self) -> str:
        drift = self.measurements
        base = f", {self.base} base" if self.base else ""
        rows = [
            ("model", f"{self.model} ({self.adapter})"),
            ("replayed", f"{self.replayed}: {counted(drift.rows, 'row')}, {drift.tokens:,} answer tokens"),
            ("mean KL", f"{drift.mean_kl:.2g} nats per token (limit {self.max_kl:g}; largest {drift.max_kl:.2g})"),
            ("|Δ logit|", f"mean {drift.mean_logit_difference:.2g}, largest {drift.max_logit_difference:.2g}"),
            (
                "likeliest token",
                f"changed at {drift.changed_tokens} of {counted(drift.tokens, 'token')}, at {drift.clear_changes} of "
                f"{drift.clear_tokens:,} clear ones",
            ),
            ("equal answers", f"{drift.equal_answers:.0%} token by token".replace("%", " %")),
        ]
        lines = [f"{self.folder}: {self.form}, {self.dtype}{base}"]
        lines += [f"{name + ':':<17}{text}" for name, text in rows]
        lines += [f"{one.kind.upper() + ':':<17}{one}" for one in self.quantised]
        if self.servers:
            read = max(server.as_of for server in self.servers)
            lines += ["", f"servers, according to their documents of {read:%B %Y} (none was tried):"]
            lines += [f"  {server.name:<10} {server.takes:<10} {server.why}" for server in self.servers]
        else:
            lines += ["", f"servers: it is not known which of them take {self.adapter!r}; export it merged"]
        return "\n".join([*lines, *(f"Note: {note}." for note in self.notes)])
