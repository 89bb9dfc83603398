"""Caveats of a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ftkit.counts import counted, verb
from ftkit.results.answer import Sampling
from ftkit.results.report_row import RowResult, folded_prompt
from ftkit.results.resources import ReusedAnswers

__all__ = ["FEW_ROWS", "majority_notes", "notes_on", "request_notes", "reuse_notes", "unclear_notes"]

FEW_ROWS = 30
"""Number of rows below which a note says that the intervals are wide."""

_SHOWN = 5
"""Answers that a note names."""


def notes_on(
    rows: Sequence[RowResult],
    sampling: Sampling,
    shots: Sequence[Mapping[str, Any]],
    limit_source: str | None = None,
) -> tuple[str, ...]:
    """Write caveats about failed requests, truncated answers, missing targets, groups and few rows.

    Args:
        rows: Rows of the report.
        sampling: How the answers were sampled.
        shots: Few-shot messages before each prompt.
        limit_source: What the longest answer follows from, if it was not written.

    Returns:
        A sentence for each caveat, without the period.
    """
    found = []
    if sampling.constrained:
        found.append(
            "decoding was constrained to the schema if the backend can: rates of valid answers say nothing of the model"
        )
    if shots:
        count = sum(message.get("role") == "assistant" for message in shots)
        found.append(f"each prompt has {counted(count, 'few-shot example')}")
    if rows[0].others:
        found.append(f"{counted(len(rows[0].answers), 'answer')} per row, averaged; tables show the first")
    answers = [answer for row in rows for answer in row.answers]
    what = "rows" if len(answers) == len(rows) else "answers"
    failed = [row for row in answers if row.finish_reason == "error"]
    if failed:
        cause = next((row.error for row in failed if row.error), "no error message")
        found.append(
            f"{_share(failed, answers, what)} got no answer and {_count_as(failed)} wrong; first error: {cause}"
        )
    found += unclear_notes([answer for answer in answers if answer.unclear])
    found += _failed_grades(answers, what)
    cut = [row for row in answers if row.finish_reason == "length"]
    if cut:
        why = f" (auto: {limit_source})" if limit_source else ""
        found.append(f"{_share(cut, answers, what)} cut off at max_output_tokens={sampling.token_limit}{why}")
        reasoned = [row for row in cut if row.reasoning_tokens and not row.text]
        if reasoned:
            found.append(
                f"{_share(reasoned, answers, what)} used every token for reasoning; raise max_reasoning_tokens"
            )
    aimless = [row for row in rows if not row.has_target]
    if aimless:
        found.append(f"{_share(aimless, rows, 'rows')} have no target; accuracies leave them out")
    groups = {row.group for row in rows if row.group is not None}
    grouped = sum(row.group is not None for row in rows)
    if len(groups) < grouped:
        found.append(
            f"{counted(grouped, 'row')} in {counted(len(groups), 'group')}: intervals treat rows of a group as "
            "dependent"
        )
    repeated = len(rows) - len({folded_prompt(row) for row in rows})
    if repeated:
        found.append(
            f"{counted(repeated, 'row')} {verb(repeated, 'repeats', 'repeat')} a prompt: intervals treat "
            "rows with the same prompt as dependent"
        )
    if len(rows) < FEW_ROWS:
        found.append(f"only {counted(len(rows), 'row')}: the intervals are wide")
    return tuple(found)


def unclear_notes(unclear: Sequence[RowResult]) -> list[str]:
    """Say how many answers a program could not read with certainty, and which.

    Args:
        unclear: The answers.

    Returns:
        A sentence, without the period; none without such answers.
    """
    if not unclear:
        return []
    shown = ", ".join(dict.fromkeys(row.id for row in unclear[:_SHOWN]))
    more = f" and {len(unclear) - _SHOWN} more" if len(unclear) > _SHOWN else ""
    return [
        f"{counted(len(unclear), 'answer')} could not be read by program and {_count_as(unclear)} wrong; read "
        f"{'it' if len(unclear) == 1 else 'them'}: {shown}{more}"
    ]


def majority_notes(rows: Sequence[RowResult], accuracy: float | None) -> tuple[str, ...]:
    """Say when an accuracy is no higher than that of one constant answer, which more than half of the rows want.

    Args:
        rows: Rows of the report, whose targets are choices.
        accuracy: Share of right answers.

    Returns:
        The sentence, without the period, or nothing.
    """
    targets = Counter(str(row.target) for row in rows if row.has_target)
    if accuracy is None or not targets:
        return ()
    choice, count = targets.most_common(1)[0]
    share = count / targets.total()
    if share <= 0.5 or accuracy > share:
        return ()
    return (f"always answering {choice!r} is right for {100 * share:.1f} % of these rows; this model is no better",)


def request_notes(about: Mapping[str, Any]) -> tuple[str, ...]:
    """Write caveats about how a hosted model was asked.

    Args:
        about: The backend's description of the model.

    Returns:
        A sentence for each caveat, without the period.
    """
    observed = about.get("observed")
    if not isinstance(observed, Mapping):
        return ()
    found = []
    efforts = observed.get("reasoning_effort")
    if efforts:
        found.append(f"asked with reasoning_effort {' and '.join(map(str, efforts))}")
    again = observed.get("perhaps_charged_twice")
    if isinstance(again, int) and again > 0:
        found.append(
            f"{counted(again, 'request')} got no complete answer and {'was' if again == 1 else 'were'} sent again: the "
            "host may have charged for them several times, and the cost here counts one answer each"
        )
    left = [str(name) for name in observed.get("parameters_not_taken") or ()]
    sampled = [name for name in left if name in ("temperature", "top_p")]
    if sampled:
        verb = "was" if len(sampled) == 1 else "were"
        found.append(
            f"{' and '.join(sampled)} {verb} not sent, because the model does not take it: answers are sampled"
        )
    return tuple(found)


def reuse_notes(reused: ReusedAnswers | None, count: int) -> tuple[str, ...]:
    """Say how many answers are those of an interrupted evaluation, and from when.

    Args:
        reused: Those answers.
        count: Number of all answers of the report.

    Returns:
        The sentence, without the period, or nothing.
    """
    if reused is None:
        return ()
    first, last = reused.first_at, reused.last_at
    when = "" if first is None else f" of {first}" if first == last else f" of {first} to {last}"
    verb = "is an answer" if reused.count == 1 else "are answers"
    return (f"{reused.count} of {count} {verb} to an interrupted evaluation{when}, not asked again",)


def _failed_grades(answers: Sequence[RowResult], what: str) -> list[str]:
    """For each grader: how many answers it could not grade, by reason, and the first error."""
    sentences = []
    for name in dict.fromkeys(name for row in answers for name in row.failures if name not in row.unclear):
        failures = [row.failures[name] for row in answers if name in row.failures and name not in row.unclear]
        reasons = Counter(failure.partition(":")[0] for failure in failures)
        counted = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
        sentences.append(
            f"{name} could not grade {len(failures)} of {len(answers)} {what} ({counted}); they count as 0. "
            f"First: {failures[0]}"
        )
    return sentences


def _share(some: Sequence[RowResult], among: Sequence[RowResult], what: str) -> str:
    return f"{len(some)} of {len(among)} {what}"


def _count_as(rows: Sequence[RowResult]) -> str:
    return "counts as" if len(rows) == 1 else "count as"
