"""Signs that a reward is earned in another way than was meant, and that nothing is learned any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Watch"]

_FIRST = 3
"""Steps whose mean is where the run began; as many are looked at later."""
_COLLAPSED = 0.1
"""Of the first entropy, what is left when the model always says the same."""
_LONGER = 2.0
"""Times the first length."""
_REPEATED = 0.5
"""Share of four tokens in a row that were there before; and by how much it must have grown."""
_TRUNCATED = 0.5
"""Share of answers that do not end; and as much more than at first."""
_APART = 0.1
"""Mean difference in nats between the sampler's and the trainer's log-probability of a token."""
_FAILED = 0.2
"""Share of answers that could not be graded."""
_MUTE = 0.9
"""Share of groups that tell nothing."""

_WATCHED = (
    "reward", "entropy", "completion_length", "repetition", "truncated_share", "sampler_difference",
    "no_signal_share",
)  # fmt: skip


class Watch:
    """Looks at the figures of steps of reinforcement, and warns of each sign once. What it remembers is plain data.

    Args:
        warn: told of each warning.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self.warn = warn
        self.first: dict[str, list[float]] = {}
        self.recent: dict[str, list[float]] = {}
        self.warned: list[str] = []

    def step(self, step: int, figures: Mapping[str, Any]) -> None:
        """Take the figures of a step that drew answers."""
        for name in _WATCHED:
            if name in figures:
                first = self.first.setdefault(name, [])
                if len(first) < _FIRST:
                    first.append(figures[name])
                self.recent[name] = [*self.recent.get(name, []), figures[name]][-_FIRST:]
        failed = sum(figures["grader_errors"].values()) / max(1, figures["answers"])
        if failed >= _FAILED:
            self._warn(
                "errors", f"step {step}: {failed:.0%} of answers could not be graded: {figures['grader_errors']}"
            )
        if step > 2 * _FIRST:
            self._compare(step)

    def _compare(self, step: int) -> None:
        began, now = ({name: sum(x) / len(x) for name, x in part.items()} for part in (self.first, self.recent))

        def grew(name: str, least: float) -> bool:
            return name in now and now[name] >= least and now[name] - began[name] >= least / 2

        if "entropy" in now and now["entropy"] < _COLLAPSED * began["entropy"]:
            self._warn(
                "entropy",
                f"step {step}: the entropy has fallen from {began['entropy']:.3f} to {now['entropy']:.3f} nats a "
                "token, so the model hardly tries anything else any more. beta, a lower learning_rate or a larger "
                "epsilon_high keep it trying",
            )
        if now["completion_length"] > _LONGER * began["completion_length"]:
            self._warn(
                "length",
                f"step {step}: answers have grown from {began['completion_length']:.0f} to "
                f"{now['completion_length']:.0f} tokens, and the reward from {began['reward']:.3f} to "
                f"{now['reward']:.3f}; look whether length itself is rewarded",
            )
        if grew("repetition", _REPEATED):
            self._warn(
                "repetition",
                f"step {step}: {now['repetition']:.0%} of what answers say they have said before, at first "
                f"{began['repetition']:.0%}; look at the samples of this run",
            )
        if grew("truncated_share", _TRUNCATED):
            self._warn(
                "truncated",
                f"step {step}: {now['truncated_share']:.0%} of answers are truncated, at first "
                f"{began['truncated_share']:.0%}; raise max_output_tokens, or let the grader punish it",
            )
        if now.get("sampler_difference", 0.0) > _APART:
            self._warn(
                "sampler",
                f"step {step}: sampler and trainer differ by {now['sampler_difference']:.3f} nats a token; answers are "
                "not those of the policy that is trained",
            )
        if now["no_signal_share"] >= _MUTE:
            self._warn(
                "signal",
                f"step {step}: in {now['no_signal_share']:.0%} of groups all answers are rewarded alike, so little is "
                "learned; end here, or take harder prompts or dynamic_sampling",
            )

    def state(self) -> dict[str, Any]:
        """What to remember."""
        return {"first": self.first, "recent": self.recent, "warned": self.warned}

    def restore(self, state: dict[str, Any]) -> None:
        """Remember what :meth:`state` gave."""
        self.first, self.recent, self.warned = dict(state["first"]), dict(state["recent"]), list(state["warned"])

    def _warn(self, sign: str, message: str) -> None:
        if sign not in self.warned:
            self.warned.append(sign)
            self.warn(message)
