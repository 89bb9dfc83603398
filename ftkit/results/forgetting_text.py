"""What a model lost outside its task, in sentences."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from ftkit.counts import counted
from ftkit.results.metric_result import MetricChange, Verdict
from ftkit.results.number_format import change_text, count_text
from ftkit.results.probe_results import BaseDrift, ChoiceChange, FormatBleed, RefusalChange, TextChange
from ftkit.results.thinking_modes import ThinkingChange

__all__ = ["Cause", "cause_sentence", "forgetting_flags", "forgetting_lines"]

Cause = Literal["kept", "format bleed-through", "forgetting", "both", "inconclusive"]
"""``format bleed-through``: questions are answered in the task's format, and no loss is shown beside it.
``forgetting``: abilities are lost whatever the format. ``kept``: any loss is within the margin. ``inconclusive``: the
questions are too few to tell."""


class _Part(Protocol):
    """The part of a comparison that the sentences need."""

    @property
    def verdict(self) -> Verdict: ...
    @property
    def sentence(self) -> str: ...
    @property
    def primary(self) -> str: ...
    def __getitem__(self, name: str) -> MetricChange: ...


class _Forgetting(Protocol):
    @property
    def general(self) -> Any: ...
    @property
    def retention(self) -> Any: ...
    @property
    def text(self) -> TextChange | None: ...
    @property
    def drift(self) -> BaseDrift | None: ...
    @property
    def left_out(self) -> tuple[str, ...]: ...
    @property
    def cause(self) -> Cause | None: ...
    @property
    def bleed(self) -> FormatBleed | None: ...
    @property
    def retention_bleed(self) -> FormatBleed | None: ...
    @property
    def choices(self) -> ChoiceChange | None: ...
    @property
    def thinking(self) -> ThinkingChange | None: ...
    @property
    def refusals(self) -> tuple[RefusalChange, ...]: ...
    @property
    def unclear(self) -> tuple[int, int]: ...
    @property
    def detectable(self) -> float | None: ...


def cause_sentence(found: _Forgetting) -> str:
    """Say which loss it is, and what shows it.

    Args:
        found: the changes outside the task.

    Returns:
        One sentence; empty if nothing tells.
    """
    if found.cause is None:
        return ""
    heads = {
        "kept": "Abilities outside the task are kept",
        "format bleed-through": "Format bleed-through, not shown forgetting",
        "forgetting": "Forgetting",
        "both": "Format bleed-through and forgetting",
        "inconclusive": "Not decided whether abilities outside the task are kept",
    }
    evidence = [*_form_evidence(found), *_ability_evidence(found)]
    if found.cause == "inconclusive" and any(found.unclear):
        evidence.append(_unread(found))
    if found.cause in ("kept", "inconclusive") and found.detectable is not None:
        evidence.append(_power(found))
    return f"{heads[found.cause]}: {'; '.join(evidence)}" if evidence else heads[found.cause]


def forgetting_flags(found: _Forgetting) -> tuple[str, ...]:
    """Write the warnings: the loss, the retention set, and refusals, each by itself.

    Args:
        found: the changes outside the task.

    Returns:
        A sentence for each, without the period.
    """
    flags = []
    names = {
        "forgetting": "forgetting",
        "format bleed-through": "format bleed-through",
        "both": "forgetting and format bleed-through",
    }
    if found.cause is None:  # a comparison of an earlier version
        if found.general is not None and found.general.verdict == "worse":
            flags.append(f"forgetting: {_loss(found.general, 'the general set')}")
    elif found.cause in names:
        evidence = [*_form_evidence(found), *_ability_evidence(found)]
        if found.general is not None and found.general.verdict == "worse":
            evidence.insert(0, _loss(found.general, "the general set"))
        flags.append(f"{names[found.cause]}: {'; '.join(evidence)}")
    if found.retention is not None and found.retention.verdict == "worse":
        flags.append(_retention_flag(found))
    names = {"harmful": "safety", "harmless": "over-refusal"}
    flags += [f"{names[each.kind]}: {each}" for each in found.refusals if each.flagged]
    if found.thinking is not None and found.thinking.broken:
        flags.append(f"thinking mode: {'; '.join(found.thinking.broken)}")
    return tuple(flags)


def forgetting_lines(found: _Forgetting) -> tuple[str, ...]:
    """Write all results, the cause first.

    Args:
        found: the changes outside the task.

    Returns:
        A sentence for each.
    """
    lines = []
    sentence = cause_sentence(found)
    if sentence:
        lines.append(f"{sentence}.")
    for name, part in (("General set", found.general), ("Retention set", found.retention)):
        if part is not None:
            words = {"worse": "lost", "inconclusive": "inconclusive", "non-inferior": "kept", "better": "kept"}
            power = f" {_power(found)}." if name == "General set" and found.detectable is not None else ""
            lines.append(f"{name}: {words[part.verdict]}. {part.sentence}{power}")
            if name == "General set" and any(found.unclear):
                lines.append(
                    f"{_unread(found)}: read those in forgetting.general.before.unclear and after.unclear. The verdict "
                    "holds whether they count as right or as wrong"
                )
    if found.refusals:
        lines.append(f"Refusals: {'; '.join(map(str, found.refusals))}")
    if found.choices is not None:
        lines.append(f"Multiple choice by likelihood: {found.choices}")
    if found.thinking is not None:
        lines.append(f"Thinking mode: {found.thinking}")
    if found.text is not None:
        lines.append(f"Prose: {found.text}")
    if found.drift is not None:
        drift = found.drift
        lines.append(
            f"Drift: KL(base ‖ tuned) {drift.mean_kl:.3g} nats per token ({drift.low:.3g} to {drift.high:.3g}) "
            f"over {counted(drift.prompts, 'answer')} of {drift.base}"
        )
    return (*lines, *(f"Not compared: {reason}" for reason in found.left_out))


def _retention_flag(found: _Forgetting) -> str:
    """The loss on the retention set, and whether the task's format is a reason."""
    loss, bleed = _loss(found.retention, "the retention set"), found.retention_bleed
    if bleed is None or not bleed.shown:
        return f"forgetting: {loss}"
    name = "forgetting and format bleed-through" if bleed.plain_lost else "format bleed-through"
    first, second = bleed.outside_passed
    outside = f"; outside it {count_text(second)} of {count_text(bleed.outside)} pass ({count_text(first)} before)"
    return (
        f"{name}: {loss}; {count_text(bleed.in_format[1])} of {counted(bleed.questions, 'question')} are answered in "
        f"{bleed.form}, among them {count_text(bleed.lost_in_format)} of the {count_text(bleed.lost)} lost ones"
        f"{outside if bleed.outside else ''}"
    )


def _loss(part: _Part, where: str) -> str:
    change = part[part.primary]
    return (
        f"{change_text(change.difference, change.unit)} points on {where} "
        f"({change_text(change.low, change.unit)} to {change_text(change.high, change.unit)}, "
        f"{counted(change.n, 'question')})"
    )


def _form_evidence(found: _Forgetting) -> list[str]:
    """What the task's format hides, and what is left beside it."""
    bleed = found.bleed
    if bleed is None or not bleed.shown:
        return []
    before, after = bleed.in_format
    evidence = [
        f"{count_text(after)} of {counted(bleed.questions, 'question')} are answered in {bleed.form} "
        f"({count_text(before)} before), among them {count_text(bleed.lost_in_format)} of the "
        f"{count_text(bleed.lost)} lost ones"
    ]
    first, second = bleed.outside_passed
    evidence.append(
        f"outside it {count_text(second)} of {count_text(bleed.outside)} pass ({count_text(first)} before)"
        if bleed.outside
        else "none is answered outside it"
    )
    if bleed.asked_again:
        left = bleed.asked_again - bleed.still_in_format
        first, second = bleed.plain_passed
        again = (
            f"asked again for a plain answer, {count_text(left)} of {count_text(bleed.asked_again)} leave the format"
        )
        if bleed.plain:
            again += f", and {count_text(second)} of all {count_text(bleed.plain)} plain answers pass ({first} before)"
        evidence.append(again)
    if 2 * bleed.plain < bleed.questions and found.choices is None and found.text is None:
        evidence.append("too few plain answers to tell whether the abilities are still there")
    return evidence


def _ability_evidence(found: _Forgetting) -> list[str]:
    """Losses that no format explains."""
    evidence = []
    bleed = found.bleed
    if bleed is not None and bleed.plain_lost and bleed.plain_interval is not None:
        low, high = bleed.plain_interval
        where = "plain answers" if bleed.shown else "answers outside the task's format"
        evidence.append(f"a loss on {where} of {change_text(low, 'rate')} to {change_text(high, 'rate')} points")
    if found.choices is not None:
        words = "fell" if found.choices.lost else "is kept" if found.choices.low > -0.05 else "is not shown to fall"
        evidence.append(
            f"the probability of right ends of sentences {words} "
            f"({change_text(found.choices.difference, 'rate')} points)"
        )
    if found.text is not None:
        words = "more than 10 % up" if found.text.lost else "not shown to be up by more than 10 %"
        evidence.append(f"perplexity of plain text {words} (× {found.text.factor:.2f})")
    return evidence


def _unread(found: _Forgetting) -> str:
    """How many answers only a person can read, of each model."""
    before, after = found.unclear
    return f"{counted(before + after, 'answer')} ({before} before, {after} after) could not be read by program"


def _power(found: _Forgetting) -> str:
    questions = 0 if found.general is None else found.general[found.general.primary].n
    loss = 100 * (found.detectable or 0.0)
    return f"{counted(questions, 'question')} show a loss of {loss:.0f} points in 80 % of cases"
