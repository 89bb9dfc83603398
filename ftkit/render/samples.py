"""The kept answers of a run of reinforcement, as text and as a page: what is rewarded is best seen by reading it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from ftkit.errors import RunError
from ftkit.render.markup import Markup, Piece, element, joined
from ftkit.render.markup import page as whole_page
from ftkit.runs.run import Run
from ftkit.store import Event
from ftkit.training.sample_log import SAMPLES, KeptSample, KeptSamples

__all__ = ["samples", "samples_page", "samples_text"]

_STYLE = """\
:root{color-scheme:light dark;--line:#8884;--good:#1a7f4b;--bad:#bf3030}
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}
h2{font-size:1rem;margin:1.6rem 0 .4rem}.quiet{opacity:.7;font-size:.9em}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr));gap:.8rem}
.card{border:1px solid var(--line);border-left:4px solid var(--line);border-radius:6px;padding:.6rem .8rem;min-width:0}
.best{border-left-color:var(--good)}.worst{border-left-color:var(--bad)}
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.3rem 0;font:inherit}
"""
_TOLD = ("reward", "completion_length", "truncated_share", "repetition", "entropy", "kl", "no_signal_share")


def samples(run: Run) -> list[KeptSample]:
    """The best and the worst answer of each step so far, in the order of the steps.

    Raises:
        RunError: the run kept none: it is not one of reinforcement on this machine, or has done no step yet.
    """
    found = KeptSamples(run.folder / SAMPLES).read()
    if not found:
        raise RunError(f"run {run.id} has kept no answers; a run with ft.RFT on this machine does, from its first step")
    return found


def samples_text(found: Sequence[KeptSample]) -> str:
    """The samples for a terminal."""
    lines = []
    for step, group in groupby(found, key=lambda one: one.step):
        lines.append(f"step {step}")
        for one in group:
            lines += [
                f"  {one.which}: {_worth(one)}",
                f"    asked   {_flat(one.prompt)}",
                f"    answer  {_flat(one.answer)}",
            ]
    return "\n".join(lines)


def samples_page(run: Run, found: Sequence[KeptSample]) -> str:
    """A whole page that loads nothing: each step with its figures, its best and its worst answer."""
    steps = {event.data["step"]: event for event in run.events() if event.kind == "step"}
    parts: list[Piece] = [element("h1", f"Run {run.id}: the best and the worst answer of each step")]
    for step, group in groupby(found, key=lambda one: one.step):
        parts += [
            element("h2", f"Step {step}"),
            element("div", _figures(steps.get(step)), class_="quiet"),
            element("div", *(_card(one) for one in group), class_="two"),
        ]
    return whole_page(f"Samples of run {run.id}", _STYLE, *parts)


def _card(one: KeptSample) -> Markup:
    return element(
        "div",
        element("div", element("b", one.which), f" {_worth(one)}"),
        element("details", element("summary", f"asked (row {one.row})"), element("pre", one.prompt)),
        element("pre", one.answer),
        class_=f"card {one.which}",
    )


def _worth(one: KeptSample) -> str:
    told = [f"reward {one.reward:.3f}", *(f"{name} {value:.3g}" for name, value in one.parts.items())]
    told += [f"{one.tokens} tokens"] + (["truncated"] if one.truncated else []) + ([one.error] if one.error else [])
    return ", ".join(told)


def _figures(event: Event | None) -> Piece:
    if event is None:
        return None
    known = [(name, event.data[name]) for name in _TOLD if isinstance(event.data.get(name), int | float)]
    return joined([", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in known)])


def _flat(text: str) -> str:
    return " ⏎ ".join(text.strip().splitlines())
