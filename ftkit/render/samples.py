"""The best and the worst answer of each step of a reinforcement run, as text and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from ftkit.counts import counted
from ftkit.errors import RunError
from ftkit.render.templates import render_page
from ftkit.runs.run import Run
from ftkit.store import Event
from ftkit.training.sample_log import SAMPLES, SampleLog, SampleRecord

__all__ = ["read_samples", "samples_page", "samples_text"]

_METRICS = ("reward", "completion_length", "truncated_share", "repetition", "entropy", "kl", "no_signal_share")


def read_samples(run: Run) -> list[SampleRecord]:
    """Read the best and the worst answer of each step so far.

    Args:
        run: The run.

    Returns:
        The samples, in the order of the steps.

    Raises:
        RunError: The run has no samples: it does not train with ``ft.RFT`` on this machine, or has done no step yet.
    """
    samples = SampleLog(run.folder / SAMPLES).read()
    if not samples:
        raise RunError(
            f"run {run.id} has no samples; only runs with ft.RFT on this machine have, from their first step"
        )
    return samples


def samples_text(samples: Sequence[SampleRecord]) -> str:
    """Write samples for a terminal.

    Args:
        samples: The samples.

    Returns:
        The text.
    """
    lines = []
    for step, group in groupby(samples, key=lambda sample: sample.step):
        lines.append(f"step {step}")
        for sample in group:
            lines += [
                f"  {sample.which}: {_facts(sample)}",
                f"    prompt  {_one_line(sample.prompt)}",
                f"    answer  {_one_line(sample.answer)}",
            ]
    return "\n".join(lines)


def samples_page(run: Run, samples: Sequence[SampleRecord]) -> str:
    """Render samples as a page: each step with its metrics, its best and its worst answer.

    Args:
        run: The run, for the metrics of each step.
        samples: The samples.

    Returns:
        HTML.
    """
    events = {event.data["step"]: event for event in run.stored_events() if event.kind == "step"}
    steps = [
        (step, _metrics(events.get(step)), [(sample, _facts(sample)) for sample in group])
        for step, group in groupby(samples, key=lambda sample: sample.step)
    ]
    return render_page("samples", f"Samples of run {run.id}", run=run.id, steps=steps)


def _facts(sample: SampleRecord) -> str:
    facts = [f"reward {sample.reward:.3f}", *(f"{name} {value:.3g}" for name, value in sample.parts.items())]
    facts.append(f"{counted(sample.tokens, 'token')}")
    return ", ".join([*facts, *(["truncated"] if sample.truncated else []), *([sample.error] if sample.error else [])])


def _metrics(event: Event | None) -> str:
    if event is None:
        return ""
    known = [(name, event.data[name]) for name in _METRICS if isinstance(event.data.get(name), int | float)]
    return ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in known)


def _one_line(text: str) -> str:
    return " ⏎ ".join(text.strip().splitlines())
