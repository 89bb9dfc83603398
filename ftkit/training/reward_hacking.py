"""Signs of reward hacking (the reward rises in an unintended way), and that nothing more is learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["RewardHackingMonitor"]

_WINDOW = 3
"""Steps whose means are compared: the first ones with the latest ones."""
_COLLAPSED = 0.1
"""Share of the first entropy below which the model hardly varies its answers."""
_LONGER = 2.0
"""Multiple of the first completion length."""
_REPEATED = 0.5
"""Share of 4-grams of tokens that are repeated; it must have grown by half of this."""
_TRUNCATED = 0.5
"""Share of truncated completions; it must have grown by half of this."""
_SAMPLER_DIFFERENCE = 0.1
"""Mean difference in nats between the sampler's and the trainer's log-probability of a token."""
_FAILED = 0.2
"""Share of completions that could not be graded."""
_NO_SIGNAL = 0.9
"""Share of groups whose rewards are equal."""

_METRICS = (
    "reward", "entropy", "completion_length", "repetition", "truncated_share", "sampler_difference",
    "no_signal_share",
)  # fmt: skip


class RewardHackingMonitor:
    """Watches the metrics of rollouts and warns of each sign once.

    Args:
        warn: called with each warning.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self.warn = warn
        self.first: dict[str, list[float]] = {}
        self.recent: dict[str, list[float]] = {}
        self.warned: list[str] = []

    def step(self, step: int, epoch: int, loss: float, metrics: Mapping[str, Any]) -> None:
        """Take the metrics of a step.

        Args:
            step: from 1.
            epoch: ignored.
            loss: ignored; a policy-gradient loss does not fall as the model learns.
            metrics: those of :func:`~ftkit.training.rollout_groups.rollout_metrics` and of the loss. Steps that reuse
                completions lack the former, and are ignored.
        """
        if "reward" not in metrics:
            return
        for name in _METRICS:
            if name in metrics:
                first = self.first.setdefault(name, [])
                if len(first) < _WINDOW:
                    first.append(metrics[name])
                self.recent[name] = [*self.recent.get(name, []), metrics[name]][-_WINDOW:]
        failed = sum(metrics["grader_errors"].values()) / max(1, metrics["answers"])
        if failed >= _FAILED:
            self._warn_once(
                "errors", f"step {step}: {failed:.0%} of answers could not be graded: {metrics['grader_errors']}"
            )
        if step > 2 * _WINDOW:
            self._compare(step)

    def validation(self, step: int, objective: float) -> None:
        """Ignore evaluations of the validation rows.

        Args:
            step: the last step done.
            objective: the mean reward, negated.
        """

    def _compare(self, step: int) -> None:
        before, now = (
            {name: sum(values) / len(values) for name, values in part.items()} for part in (self.first, self.recent)
        )

        def grew(name: str, least: float) -> bool:
            return name in now and now[name] >= least and now[name] - before[name] >= least / 2

        if "entropy" in now and now["entropy"] < _COLLAPSED * before["entropy"]:
            self._warn_once(
                "entropy",
                f"step {step}: the entropy has fallen from {before['entropy']:.3f} to {now['entropy']:.3f} nats per "
                "token, so the model hardly explores any more. beta, a lower learning_rate or a larger epsilon_high "
                "keep it exploring",
            )
        if now["completion_length"] > _LONGER * before["completion_length"]:
            self._warn_once(
                "length",
                f"step {step}: answers have grown from {before['completion_length']:.0f} to "
                f"{now['completion_length']:.0f} tokens, and the reward from {before['reward']:.3f} to "
                f"{now['reward']:.3f}; check whether the grader rewards length itself",
            )
        if grew("repetition", _REPEATED):
            self._warn_once(
                "repetition",
                f"step {step}: {now['repetition']:.0%} of the answers' tokens repeat earlier ones, "
                f"{before['repetition']:.0%} at first; read the samples of this run",
            )
        if grew("truncated_share", _TRUNCATED):
            self._warn_once(
                "truncated",
                f"step {step}: {now['truncated_share']:.0%} of answers are truncated, "
                f"{before['truncated_share']:.0%} at first; raise max_output_tokens, or let the grader punish it",
            )
        if now.get("sampler_difference", 0.0) > _SAMPLER_DIFFERENCE:
            self._warn_once(
                "sampler",
                f"step {step}: sampler and trainer differ by {now['sampler_difference']:.3f} nats per token; answers "
                "are not samples of the policy that is trained",
            )
        if now["no_signal_share"] >= _NO_SIGNAL:
            self._warn_once(
                "signal",
                f"step {step}: in {now['no_signal_share']:.0%} of groups all rewards are equal, so little is learned; "
                "stop here, or use harder prompts or dynamic_sampling",
            )

    def state(self) -> dict[str, Any]:
        """Return what to remember.

        Returns:
            Plain data.
        """
        return {"first": self.first, "recent": self.recent, "warned": self.warned}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned.

        Args:
            state: from a checkpoint.
        """
        self.first, self.recent, self.warned = dict(state["first"]), dict(state["recent"]), list(state["warned"])

    def _warn_once(self, sign: str, message: str) -> None:
        if sign not in self.warned:
            self.warned.append(sign)
            self.warn(message)
