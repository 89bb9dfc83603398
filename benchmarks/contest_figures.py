"""What each contender's process measures of itself. Imports nothing of ftkit or TRL."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Sequence


def clock() -> tuple[float, float]:
    """Seconds by the wall and of this process's processor time."""
    return time.perf_counter(), time.process_time()


def spent(began: tuple[float, float], ended: tuple[float, float]) -> tuple[float, float]:
    """Seconds between two clocks, by the wall and of processor time."""
    return ended[0] - began[0], ended[1] - began[1]


def figures(
    began: tuple[float, float],
    ended: tuple[float, float],
    examples: int,
    losses: list[float],
    lengths: Sequence[float] = (),
    steps: Sequence[tuple[float, float]] = (),
    scores: Sequence[tuple[int, float]] = (),
) -> str:
    """Format what a contender measured of itself.

    ``lengths`` are mean answer lengths and ``steps`` seconds by the wall and of processor time, one entry per step;
    ``scores`` are steps with the score of the model after them.
    """
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    wall, processor = spent(began, ended)
    found = {"seconds": wall, "processor": processor, "examples": examples, "peak": peak, "losses": losses}
    return json.dumps({**found, "lengths": list(lengths), "steps": list(steps), "scores": list(scores)})
