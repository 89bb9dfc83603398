"""What ftkit makes of rows: a job driven from outside, with the gradients of its first step kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

import ftkit as ft
from ftkit.engine import training
from ftkit.engine.adapting import Adapted, adapt
from ftkit.engine.training import Job, train

__all__ = ["Ran", "run_job"]


@dataclass(slots=True)
class Ran:
    """A job's events and summary, where it began, and what its backward passes left before clipping.

    Attributes:
        config: PEFT's of the adapter, ``None`` for ``Full``.
        weights: trainable tensors as training began.
        first_gradients: of the first step.
    """

    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    config: Any = None
    adapted: Any = None
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    first_gradients: dict[str, torch.Tensor] = field(default_factory=dict)

    def steps(self, name: str) -> list[float]:
        """What each step's event says under ``name``."""
        return [data[name] for kind, data in self.events if kind == "step"]


def run_job(
    monkeypatch: pytest.MonkeyPatch,
    recipe: ft.SFT,
    data: ft.Dataset,
    model: str,
    output: Path,
    before: Callable[[Adapted], object] = lambda adapted: None,
) -> Ran:
    """Train as ``recipe`` says; ``before`` may change the adapted model first."""
    ran = Ran()

    def adapted(*args: Any, **kwargs: Any) -> Adapted:
        done = adapt(*args, **kwargs)
        before(done)
        configs = getattr(done.model, "peft_config", None)
        ran.adapted, ran.config = done, configs["default"] if configs else None
        for name, parameter in done.parameters.items():
            ran.weights[name] = parameter.detach().clone()

            def keep(tensor: torch.Tensor, name: str = name) -> None:
                assert tensor.grad is not None
                if not ran.steps("loss"):  # a step of several packs adds to it, up to the step's event
                    ran.first_gradients[name] = tensor.grad.clone()

            parameter.register_post_accumulate_grad_hook(keep)
        return done

    monkeypatch.setattr(training, "adapt", adapted)
    job = Job(recipe, data, None, model, output)
    ran.summary = train(job, lambda kind, data: ran.events.append((kind, data)))
    return ran
