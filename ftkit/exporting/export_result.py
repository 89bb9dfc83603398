"""What came of an export."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ftkit.exporting.servers import Server
from ftkit.inference.drift import Drift
from ftkit.results.result import Result

__all__ = ["Base", "Dtype", "Export", "Form"]

Form = Literal["merged", "adapter", "ollama"]
Dtype = Literal["bf16", "fp16", "fp32"]
Base = Literal["quantised", "original"]


class Export(Result, BaseModel):
    """A folder that other tools load, with the proof that it answers as ftkit does.

    Attributes:
        folder: where it is.
        form: ``"merged"`` (a whole model), ``"adapter"`` (PEFT's layout) or ``"ollama"`` (a whole
            model and a Modelfile).
        model: what was exported, as ``"local:…"``.
        adapter: kind of the adapter that was trained; ``"full"``, or ``"none"`` for an untuned model.
        dtype: type of the weights; of the base's at the replay, for an adapter.
        base: of a QLoRA model, whether the export stands on the 4-bit weights, expanded, or on the original ones.
        replayed: whose prompts were replayed.
        measurements: how far the files' answers are from the served model's.
        max_kl: the limit that its mean KL was held to, in nats a token.
        max_clear_changes: the share of clear tokens that might change.
        servers: who takes it, by what their documents say.
        notes: what to know before use.
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

    def __str__(self) -> str:
        drift = self.measurements
        base = f", {self.base} base" if self.base else ""
        rows = [
            ("model", f"{self.model} ({self.adapter})"),
            ("replayed", f"{self.replayed}: {drift.rows} rows, {drift.tokens:,} answer tokens"),
            ("mean KL", f"{drift.mean_kl:.2g} nats a token (limit {self.max_kl:g}; largest {drift.max_kl:.2g})"),
            ("|Δ logit|", f"mean {drift.mean_logit_difference:.2g}, largest {drift.max_logit_difference:.2g}"),
            (
                "likeliest token",
                f"changed at {drift.changed_tokens} of {drift.tokens:,} tokens, at {drift.clear_changes} of "
                f"{drift.clear_tokens:,} clear ones",
            ),
            ("equal answers", f"{drift.equal_answers:.0%} token by token".replace("%", " %")),
        ]
        lines = [f"{self.folder}: {self.form}, {self.dtype}{base}"]
        lines += [f"{name + ':':<17}{text}" for name, text in rows]
        read = max(server.as_of for server in self.servers)
        lines += ["", f"servers, by their documents of {read:%B %Y} (none was tried):"]
        lines += [f"  {server.name:<10} {server.takes:<10} {server.why}" for server in self.servers]
        return "\n".join([*lines, *(f"Note: {note}." for note in self.notes)])
